import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SocketOwner } from '../../../agent/attribution/attributor.ts';
import type { Engine } from '../../../agent/identity/engines/engine.ts';
import { openEngines } from '../../../agent/identity/engines/open_engines.ts';
import { WorkloadIdentity, type WorkloadRef } from '../../../agent/identity/workload.ts';
import { containerFacts, k8sFacts, systemdFacts } from '../../../protocol/call.ts';
import { ProcFixture } from '../attribution/proc_fixture.ts';
import { FakeCri } from './engines/fake_cri.ts';
import { FakeDocker } from './engines/fake_docker.ts';

const A = 'a1'.repeat(32);
const B = 'b2'.repeat(32);
const SANDBOX = '5a'.repeat(32);
const POD = '3f1a7c2e-8d4b-4c1e-9f70-0123456789ab';
const DOCKER_PATH = `/system.slice/docker-${A}.scope`;
const CRI_PATH = `/kubepods.slice/kubepods-pod${POD.replaceAll('-', '_')}.slice/cri-containerd-${A}.scope`;
const KUBELET_LABELS = {
  'io.kubernetes.pod.name': 'web-0',
  'io.kubernetes.pod.namespace': 'shop',
  'io.kubernetes.pod.uid': POD,
  'io.kubernetes.container.name': 'app',
};
const WAIT_MS = 250;
const quiet = { debug: () => {}, warn: () => {} };

function owner(change: Partial<SocketOwner> & { cgroupPaths?: string[] } = {}): SocketOwner {
  return {
    pid: 100,
    startTicks: 1234,
    name: 'curl',
    executable: '/usr/bin/curl',
    uid: 0,
    args: null,
    argsTruncated: false,
    netns: null,
    cgroupId: null,
    ancestors: null,
    method: 'ebpf',
    confidence: 'exact',
    ...change,
  };
}

describe('the workload of a socket’s owner', () => {
  let directory: string;
  let docker: FakeDocker;
  let cri: FakeCri;
  let nowMs: number;
  let workload: WorkloadIdentity | null;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'imdswatch-engines-'));
    docker = new FakeDocker(join(directory, 'docker.sock'));
    cri = new FakeCri(join(directory, 'cri.sock'));
    nowMs = 10_000;
    workload = null;
  });
  afterEach(async () => {
    workload?.close();
    await docker.stop();
    cri.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  const engines = (change: { docker?: string; cri?: string } = {}): Engine[] =>
    openEngines(
      { docker_socket: change.docker ?? docker.socketPath, cri_socket: change.cri ?? 'none' },
      quiet,
      () => nowMs,
    );
  const watch = (opened: Engine[], procRoot?: string) => {
    workload = new WorkloadIdentity({ engines: opened, now: () => nowMs, ...(procRoot ? { procRoot } : {}) });
    return workload;
  };
  const settled = (ref: WorkloadRef | null, timeoutMs = 5_000) =>
    new Promise<void>((resolve) => workload!.whenSettled(ref, timeoutMs, resolve));
  const count = (name: string) => workload!.counters()[name] ?? 0;
  const until = async (condition: () => boolean) => {
    for (let tries = 0; tries < 500 && !condition(); tries++) await sleep(10);
    assert.ok(condition(), `${condition}: ${JSON.stringify(workload?.counters())}`);
  };

  describe('where no engine is needed', () => {
    it('gives the unit at once', () => {
      const identity = watch([]);
      const ref = identity.begin(owner({ cgroupPaths: ['/system.slice/ssh.service'] }));
      assert.deepEqual(identity.facts(ref), {
        container: null,
        k8s: null,
        systemd: { unit: 'ssh.service', slice: 'system.slice' },
      });
      systemdFacts.parse(identity.facts(ref).systemd);
      let isCalled = false;
      identity.whenSettled(ref, WAIT_MS, () => {
        isCalled = true;
      });
      assert.ok(isCalled, 'nothing to wait for');
    });

    it('gives a container’s id without any engine, at once', () => {
      const identity = watch(engines({ docker: join(directory, 'nobody.sock') }));
      const ref = identity.begin(owner({ cgroupPaths: [DOCKER_PATH] }));
      assert.ok(identity.isSettled(ref));
      assert.deepEqual(identity.facts(ref), {
        container: { id: A, name: null, 'image.name': null, runtime: 'docker' },
        k8s: null,
        systemd: null,
      });
      containerFacts.parse(identity.facts(ref).container);
      assert.equal(count('no_engine'), 1);
    });

    it('says docker of ECS, which runs it', () => {
      const identity = watch([]);
      const ref = identity.begin(owner({ cgroupPaths: [`/ecs/0123456789abcdef0123456789abcdef/${A}`] }));
      assert.equal(identity.facts(ref).container?.runtime, 'docker');
    });
  });

  describe('the cgroup read from /proc', () => {
    let proc: ProcFixture;
    beforeEach(() => {
      proc = new ProcFixture();
      proc.put({ pid: 100, name: 'curl', startTicks: 1234 });
    });
    afterEach(() => proc.remove());
    const moveTo = (path: string) => writeFileSync(join(proc.root, '100', 'cgroup'), `0::${path}\n`);

    it('is that of exactly this process', () => {
      moveTo('/system.slice/cron.service');
      const identity = watch([], proc.root);
      assert.equal(identity.facts(identity.begin(owner())).systemd?.unit, 'cron.service');
      assert.equal(identity.begin(owner({ startTicks: 99 })), null);
      assert.equal(identity.begin(owner({ pid: 101 })), null);
      assert.equal(count('gone'), 2);
      assert.deepEqual(identity.facts(null), { container: null, k8s: null, systemd: null });
    });

    it('is read again after a second, for a process may be moved; where it last was is where it ended', () => {
      moveTo('/user.slice/user-0.slice/session-1.scope');
      const identity = watch([], proc.root);
      const unit = () => identity.facts(identity.begin(owner())).systemd?.unit;
      assert.equal(unit(), 'session-1.scope');
      moveTo('/system.slice/job.service');
      assert.equal(unit(), 'session-1.scope');
      nowMs += 1_001;
      assert.equal(unit(), 'job.service');
      proc.end(100);
      nowMs += 1_001;
      assert.equal(unit(), 'job.service');
    });

    it('is not read where the kernel recorded it', () => {
      moveTo('/system.slice/cron.service');
      const identity = watch([], proc.root);
      const ref = identity.begin(owner({ cgroupPaths: ['/system.slice/ssh.service'] }));
      assert.equal(identity.facts(ref).systemd?.unit, 'ssh.service');
      assert.equal(count('read'), 0);
      const empty = identity.begin(owner({ cgroupPaths: [] }));
      assert.equal(identity.facts(empty).systemd?.unit, 'cron.service');
    });
  });

  describe('named by Docker', () => {
    const container = { id: A, name: 'web', image: 'nginx:1.27' };

    it('knows what runs already', async () => {
      docker.containers.set(A, container);
      await docker.start();
      const identity = watch(engines());
      await until(() => count('docker_followed') === 1);
      const ref = identity.begin(owner({ cgroupPaths: [DOCKER_PATH] }));
      assert.ok(identity.isSettled(ref));
      assert.deepEqual(identity.facts(ref).container, {
        id: A,
        name: 'web',
        'image.name': 'nginx:1.27',
        runtime: 'docker',
      });
      assert.ok(!docker.asked.includes(`/containers/${A}/json`), 'the list was enough');
    });

    it('knows a job before its first call, and long after its end', async () => {
      await docker.start();
      const identity = watch(engines());
      await docker.followed();
      await until(() => count('docker_followed') === 1);
      docker.event('create', { ...container, labels: KUBELET_LABELS });
      docker.event('start', { ...container, labels: KUBELET_LABELS });
      docker.event('die', { ...container, labels: KUBELET_LABELS });
      await until(() => count('docker_told') === 3);
      nowMs += 3_600_000;
      const ref = identity.begin(owner({ cgroupPaths: [DOCKER_PATH] }));
      assert.ok(identity.isSettled(ref));
      assert.equal(identity.facts(ref).container?.name, 'web');
      assert.deepEqual(identity.facts(ref).k8s, {
        'pod.uid': POD,
        'pod.name': 'web-0',
        'namespace.name': 'shop',
        'container.name': 'app',
      });
      k8sFacts.parse(identity.facts(ref).k8s);
      assert.equal(count('looked_up'), 0);
    });

    it('follows a renaming', async () => {
      docker.containers.set(A, container);
      await docker.start();
      const identity = watch(engines());
      await until(() => count('docker_followed') === 1);
      docker.event('rename', { ...container, name: '/shop' });
      await until(() => count('docker_told') === 2);
      assert.equal(
        identity.facts(identity.begin(owner({ cgroupPaths: [DOCKER_PATH] }))).container?.name,
        'shop',
      );
    });

    it('asks once for what nobody told, however many ask', async () => {
      await docker.start();
      const identity = watch(engines());
      await until(() => count('docker_followed') === 1);
      docker.containers.set(A, { ...container, labels: KUBELET_LABELS });
      const refs = Array.from({ length: 50 }, () => identity.begin(owner({ cgroupPaths: [DOCKER_PATH] })));
      assert.equal(identity.facts(refs[0]!).container?.name, null);
      await Promise.all(refs.map((ref) => settled(ref)));
      for (const ref of refs) assert.equal(identity.facts(ref).container?.name, 'web');
      assert.equal(docker.asked.filter((path) => path.endsWith(`${A}/json`)).length, 1);
      assert.equal(identity.facts(refs[0]!).k8s?.['pod.name'], 'web-0');
      assert.equal(count('waited_in_vain'), 0);
    });

    it('names 200 containers that are met at one time', async () => {
      await docker.start();
      const identity = watch(engines());
      const ids = Array.from({ length: 200 }, (_, at) => at.toString(16).padStart(64, '0'));
      for (const id of ids) docker.containers.set(id, { id, name: `job-${id.slice(-4)}` });
      const refs = ids.map((id) => identity.begin(owner({ cgroupPaths: [`/docker/${id}`] })));
      await Promise.all(refs.map((ref) => settled(ref)));
      for (const ref of refs) assert.match(identity.facts(ref).container?.name ?? '', /^job-/);
    });

    it('asks for the image where the list has only its id', async () => {
      docker.containers.set(A, { ...container, image: `sha256:${'c'.repeat(64)}` });
      await docker.start();
      const identity = watch(engines());
      await until(() => count('docker_followed') === 1);
      docker.containers.set(A, container);
      const ref = identity.begin(owner({ cgroupPaths: [DOCKER_PATH] }));
      await settled(ref);
      assert.equal(identity.facts(ref).container?.['image.name'], 'nginx:1.27');
    });

    it('waits no longer than it is told to, and has the name when it comes', async () => {
      docker.containers.set(A, container);
      let release = () => {};
      docker.inspectFault = (response) => {
        release = () =>
          response.end(JSON.stringify({ Id: A, Name: '/late', Config: { Image: 'img', Labels: null } }));
      };
      await docker.start();
      docker.containers.clear();
      const identity = watch(engines());
      await until(() => count('docker_followed') === 1);
      const ref = identity.begin(owner({ cgroupPaths: [DOCKER_PATH] }));
      const before = performance.now();
      await settled(ref, WAIT_MS);
      const waitedMs = performance.now() - before;
      assert.ok(waitedMs >= WAIT_MS - 5 && waitedMs < WAIT_MS + 500, `${waitedMs} ms`);
      assert.equal(identity.facts(ref).container?.name, null);
      assert.equal(count('waited_in_vain'), 1);
      release();
      await settled(ref);
      assert.equal(identity.facts(ref).container?.name, 'late');
    });

    it('a name that is told meanwhile ends the wait', async () => {
      docker.inspectFault = () => {};
      await docker.start();
      const identity = watch(engines());
      await until(() => count('docker_followed') === 1);
      const ref = identity.begin(owner({ cgroupPaths: [DOCKER_PATH] }));
      setTimeout(() => docker.event('start', container), 20);
      await settled(ref);
      assert.equal(identity.facts(ref).container?.name, 'web');
      assert.ok(identity.isSettled(ref));
    });

    for (const [fault, answer] of Object.entries({
      rubbish: '\u0000\u0001{{{',
      'something else than an object': '[1,2]',
      'another container': JSON.stringify({ Id: B, Name: '/x', Config: {} }),
      nothing: '',
    })) {
      it(`an engine that answers ${fault} costs the name only`, async () => {
        docker.inspectFault = (response) => response.end(answer);
        await docker.start();
        const identity = watch(engines());
        await until(() => count('docker_followed') === 1);
        const ref = identity.begin(owner({ cgroupPaths: [DOCKER_PATH] }));
        await settled(ref);
        assert.deepEqual(identity.facts(ref).container, {
          id: A,
          name: null,
          'image.name': null,
          runtime: 'docker',
        });
        assert.equal(count('docker_errors'), 1);
        assert.equal(count('unnamed'), 1);
      });
    }

    it('names of wrong kinds are no names', async () => {
      docker.inspectFault = (response) =>
        response.end(JSON.stringify({ Id: A, Name: 7, Config: { Image: { a: 1 }, Labels: ['x'] } }));
      await docker.start();
      const identity = watch(engines());
      await until(() => count('docker_followed') === 1);
      const ref = identity.begin(owner({ cgroupPaths: [DOCKER_PATH] }));
      await settled(ref);
      containerFacts.parse(identity.facts(ref).container);
      assert.equal(identity.facts(ref).container?.name, null);
    });

    it('an engine that fails is left alone for a growing while, not asked for every call', async () => {
      docker.inspectFault = (response) => response.destroy();
      await docker.start();
      const identity = watch(engines());
      await until(() => count('docker_followed') === 1);
      const meet = async (id: string) => {
        const ref = identity.begin(owner({ cgroupPaths: [`/docker/${id}`] }));
        await settled(ref);
      };
      for (let at = 0; at < 20; at++) await meet(at.toString(16).padStart(64, 'e'));
      assert.equal(count('docker_asked'), 1);
      assert.equal(count('docker_backed_off'), 19);
      nowMs += 1_001;
      for (let at = 0; at < 20; at++) await meet(at.toString(16).padStart(64, 'f'));
      assert.equal(count('docker_asked'), 2);
      nowMs += 1_500;
      await meet(A);
      assert.equal(count('docker_asked'), 2, 'the second time it is two seconds');
      docker.inspectFault = null;
      docker.containers.set(B, { id: B, name: 'back' });
      nowMs += 600;
      const ref = identity.begin(owner({ cgroupPaths: [`/docker/${B}`] }));
      await settled(ref);
      assert.equal(identity.facts(ref).container?.name, 'back');
    });

    it('a container that no engine knows is asked for again later, less and less often', async () => {
      await docker.start();
      const identity = watch(engines());
      await until(() => count('docker_followed') === 1);
      const meet = async () => settled(identity.begin(owner({ cgroupPaths: [DOCKER_PATH] })));
      for (let at = 0; at < 10; at++) await meet();
      assert.equal(count('docker_unknown'), 1);
      nowMs += 1_001;
      for (let at = 0; at < 10; at++) await meet();
      assert.equal(count('docker_unknown'), 2);
      nowMs += 1_001;
      await meet();
      assert.equal(count('docker_unknown'), 2);
    });

    it('a socket that appears later is found when a container is met', async () => {
      const identity = watch(engines());
      identity.begin(owner({ cgroupPaths: [DOCKER_PATH] }));
      assert.equal(count('no_engine'), 1);
      docker.containers.set(A, container);
      await docker.start();
      nowMs += 2_001;
      const ref = identity.begin(owner({ cgroupPaths: [DOCKER_PATH] }));
      await settled(ref);
      assert.equal(identity.facts(ref).container?.name, 'web');
      await until(() => count('docker_followed') === 1);
    });

    it('a restarted engine is followed again, and what began meanwhile is known', async () => {
      await docker.start();
      const identity = watch(engines());
      await until(() => count('docker_followed') === 1);
      await docker.stop();
      await until(() => count('docker_errors') >= 1);
      docker.containers.set(A, container);
      await docker.start();
      await until(() => count('docker_followed') === 2);
      const ref = identity.begin(owner({ cgroupPaths: [DOCKER_PATH] }));
      assert.ok(identity.isSettled(ref));
      assert.equal(identity.facts(ref).container?.name, 'web');
    });

    it('rubbish among the events ends the stream, which is opened again', async () => {
      await docker.start();
      watch(engines());
      await until(() => count('docker_followed') === 1);
      docker.say('{"Type":"container","Actor":null}\n\n{"Actor":{"ID":7}}\nnull\n');
      await sleep(50);
      assert.equal(count('docker_errors'), 0, 'an event that says nothing is none');
      docker.say('this is no event\n');
      await until(() => count('docker_errors') === 1);
      await until(() => count('docker_followed') === 2);
    });

    it('events may come in pieces', async () => {
      await docker.start();
      watch(engines());
      await until(() => count('docker_followed') === 1);
      const text = JSON.stringify({ Actor: { ID: A, Attributes: { name: 'wéb', image: 'i' } } });
      const bytes = Buffer.from(`${text}\n`);
      for (const byte of bytes) {
        docker.say(Buffer.from([byte]));
        if (byte > 0x7f) await sleep(5);
      }
      await until(() => count('docker_told') === 1);
      const ref = workload!.begin(owner({ cgroupPaths: [DOCKER_PATH] }));
      assert.equal(workload!.facts(ref).container?.name, 'wéb');
    });

    it('an engine that sends the head of its events late is followed too', async () => {
      docker.isLateWithHead = true;
      docker.containers.set(A, container);
      await docker.start();
      watch(engines());
      await until(() => count('docker_followed') === 1);
      docker.event('start', { id: B, name: 'job' });
      await until(() => count('docker_told') === 2);
    });

    it('podman is told by what it calls itself', async () => {
      docker.serverHeader = 'Libpod/4.3.1 (linux)';
      docker.containers.set(A, container);
      await docker.start();
      const identity = watch(engines());
      const ref = identity.begin(owner({ cgroupPaths: [`/actions/${A}`] }));
      await settled(ref);
      assert.equal(identity.facts(ref).container?.runtime, 'podman');
    });

    it('calls back whoever waits when it is closed', async () => {
      docker.inspectFault = () => {};
      await docker.start();
      const identity = watch(engines());
      const ref = identity.begin(owner({ cgroupPaths: [DOCKER_PATH] }));
      const waiting = settled(ref, 60_000);
      identity.close();
      await waiting;
    });
  });

  describe('a socket behind which nobody speaks the protocol', () => {
    let server: Server;
    afterEach(() => server.close());
    const listen = async (onConnection: (socket: Socket) => void) => {
      server = createServer(onConnection);
      server.listen(docker.socketPath);
      await once(server, 'listening');
    };

    it('that says something else', async () => {
      await listen((socket) => {
        socket.on('error', () => {});
        socket.end('SSH-2.0-OpenSSH_9.2\r\n');
      });
      const identity = watch(engines());
      const ref = identity.begin(owner({ cgroupPaths: [DOCKER_PATH] }));
      await settled(ref);
      assert.equal(identity.facts(ref).container?.name, null);
      assert.ok(count('docker_errors') >= 1);
    });

    it('that says nothing', async () => {
      await listen((socket) => socket.on('error', () => {}));
      const identity = watch(engines());
      const ref = identity.begin(owner({ cgroupPaths: [DOCKER_PATH] }));
      await settled(ref, WAIT_MS);
      assert.equal(identity.facts(ref).container?.id, A);
      assert.equal(count('waited_in_vain'), 1);
      await settled(ref);
      assert.equal(count('docker_errors'), 1, 'given up after its own time');
    });
  });

  describe('named by the container runtime interface', () => {
    const sandbox = { id: SANDBOX, uid: POD, name: 'web-0', namespace: 'shop' };
    const container = {
      id: A,
      sandbox,
      name: 'app',
      image: 'docker.io/library/nginx:1.27',
      labels: KUBELET_LABELS,
    };
    const begin = async (path = CRI_PATH) => {
      const ref = workload!.begin(owner({ cgroupPaths: [path] }));
      await settled(ref);
      return workload!.facts(ref);
    };
    const watchCri = () => watch(engines({ docker: 'none', cri: `unix://${cri.socketPath}` }));
    const named = {
      container: { id: A, name: 'app', 'image.name': 'docker.io/library/nginx:1.27', runtime: 'containerd' },
      k8s: { 'pod.uid': POD, 'pod.name': 'web-0', 'namespace.name': 'shop', 'container.name': 'app' },
      systemd: null,
    };

    it('names container and pod by the kubelet’s labels', async () => {
      cri.containers.set(A, container);
      await cri.start();
      watchCri();
      assert.deepEqual(await begin(), named);
      assert.deepEqual(cri.asked, ['Version', 'ContainerStatus']);
      assert.deepEqual(await begin(), named);
      assert.equal(cri.asked.length, 2, 'asked once');
    });

    it('is not asked, nor loaded, before a container of its kind is met', async () => {
      cri.containers.set(A, container);
      await cri.start();
      const identity = watchCri();
      identity.begin(owner({ cgroupPaths: [DOCKER_PATH] }));
      await sleep(50);
      assert.deepEqual(cri.asked, []);
    });

    it('finds the pod by its sandbox where the container has no labels', async () => {
      cri.containers.set(A, { ...container, labels: {} });
      await cri.start();
      watchCri();
      assert.deepEqual(await begin(), named);
    });

    it('gives the pod of a container that another engine runs inside of it', async () => {
      cri.containers.set(B, { ...container, id: B });
      await cri.start();
      watchCri();
      const facts = await begin(`/kubepods/pod${POD}/${B}/inner/${A}`);
      assert.deepEqual(facts.container, { id: A, name: null, 'image.name': null, runtime: null });
      assert.deepEqual(facts.k8s, { ...named.k8s, 'container.name': null });
    });

    it('prefers the image’s name to its id', async () => {
      cri.runtimeName = 'cri-o';
      cri.containers.set(A, {
        ...container,
        image: `sha256:${'d'.repeat(64)}`,
        userImage: 'quay.io/shop/app:2',
      });
      await cri.start();
      watchCri();
      const facts = await begin(`/kubepods.slice/crio-${A}.scope`);
      assert.equal(facts.container?.['image.name'], 'quay.io/shop/app:2');
      assert.equal(facts.container?.runtime, 'cri-o');
    });

    it('what it does not know stays an id, with the pod’s uid from the cgroup', async () => {
      await cri.start();
      watchCri();
      assert.deepEqual(await begin(), {
        container: { id: A, name: null, 'image.name': null, runtime: 'containerd' },
        k8s: { 'pod.uid': POD, 'pod.name': null, 'namespace.name': null, 'container.name': null },
        systemd: null,
      });
      assert.equal(count('cri_unknown'), 1);
      assert.equal(count('cri_errors'), 0);
    });

    it('a runtime that answers rubbish costs the name only', async () => {
      cri.fault = () => Buffer.from('ffffffffffffffffffffff', 'hex');
      await cri.start();
      watchCri();
      assert.equal((await begin()).container?.name, null);
      assert.equal(count('cri_errors'), 1);
    });

    it('a runtime that answers nothing costs no more than the wait', async () => {
      cri.fault = () => null;
      await cri.start();
      const identity = watchCri();
      const ref = identity.begin(owner({ cgroupPaths: [CRI_PATH] }));
      await settled(ref, WAIT_MS);
      assert.equal(identity.facts(ref).container?.name, null);
      await settled(ref);
      assert.equal(count('cri_errors'), 1);
    });

    it('a runtime that was restarted is asked again', async () => {
      cri.containers.set(A, container);
      cri.containers.set(B, { ...container, id: B, name: 'side', labels: {} });
      await cri.start();
      watchCri();
      assert.deepEqual(await begin(), named);
      cri.stop();
      const other = CRI_PATH.replace(A, B);
      assert.equal((await begin(other)).container?.name, null);
      await cri.start();
      nowMs += 5_000;
      assert.equal((await begin(other)).container?.name, 'side');
    });
  });
});
