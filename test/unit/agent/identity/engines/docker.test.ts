import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { containerFacts, k8sFacts } from '../../../../../protocol/call.ts';
import {
  A,
  B,
  KUBELET_LABELS,
  POD,
  WAIT_MS,
  WorkloadFixture,
} from '../../../../support/agent/identity/workload_fixture.ts';

describe('named by Docker', () => {
  let fixture: WorkloadFixture;
  beforeEach(() => {
    fixture = new WorkloadFixture();
  });
  afterEach(() => fixture.close());

  const container = { id: A, name: 'web', image: 'nginx:1.27' };

  it('knows what runs already', async () => {
    fixture.docker.containers.set(A, container);
    const identity = await fixture.followDocker();
    const ref = fixture.begin();
    assert.ok(identity.isSettled(ref));
    assert.deepEqual(identity.facts(ref).container, {
      id: A,
      name: 'web',
      'image.name': 'nginx:1.27',
      runtime: 'docker',
    });
    assert.ok(!fixture.docker.asked.includes(`/containers/${A}/json`), 'the list was enough');
  });

  it('knows a job before its first call, and long after its end', async () => {
    await fixture.docker.start();
    const identity = fixture.watchDocker();
    await fixture.docker.followed();
    await fixture.until(() => fixture.count('docker_followed') === 1);
    fixture.docker.event('create', { ...container, labels: KUBELET_LABELS });
    fixture.docker.event('start', { ...container, labels: KUBELET_LABELS });
    fixture.docker.event('die', { ...container, labels: KUBELET_LABELS });
    await fixture.until(() => fixture.count('docker_told') === 3);
    fixture.nowMs += 3_600_000;
    const ref = fixture.begin();
    assert.ok(identity.isSettled(ref));
    assert.equal(identity.facts(ref).container?.name, 'web');
    assert.deepEqual(identity.facts(ref).k8s, {
      'pod.uid': POD,
      'pod.name': 'web-0',
      'namespace.name': 'shop',
      'container.name': 'app',
    });
    k8sFacts.parse(identity.facts(ref).k8s);
    assert.equal(fixture.count('looked_up'), 0);
  });

  it('follows a renaming', async () => {
    fixture.docker.containers.set(A, container);
    const identity = await fixture.followDocker();
    fixture.docker.event('rename', { ...container, name: '/shop' });
    await fixture.until(() => fixture.count('docker_told') === 2);
    assert.equal(identity.facts(fixture.begin()).container?.name, 'shop');
  });

  it('requests an unknown name once for any number of callers', async () => {
    const identity = await fixture.followDocker();
    fixture.docker.containers.set(A, { ...container, labels: KUBELET_LABELS });
    const refs = Array.from({ length: 50 }, () => fixture.begin());
    assert.equal(identity.facts(refs[0]!).container?.name, null);
    await Promise.all(refs.map((ref) => fixture.settled(ref)));
    for (const ref of refs) assert.equal(identity.facts(ref).container?.name, 'web');
    assert.equal(fixture.docker.asked.filter((path) => path.endsWith(`${A}/json`)).length, 1);
    assert.equal(identity.facts(refs[0]!).k8s?.['pod.name'], 'web-0');
    assert.equal(fixture.count('waited_in_vain'), 0);
  });

  it('names 200 containers that are met at one time', async () => {
    await fixture.docker.start();
    const identity = fixture.watchDocker();
    const ids = Array.from({ length: 200 }, (_, at) => at.toString(16).padStart(64, '0'));
    for (const id of ids) fixture.docker.containers.set(id, { id, name: `job-${id.slice(-4)}` });
    const refs = ids.map((id) => fixture.begin(`/docker/${id}`));
    await Promise.all(refs.map((ref) => fixture.settled(ref)));
    for (const ref of refs) assert.match(identity.facts(ref).container?.name ?? '', /^job-/);
  });

  it('asks for the image where the list has only its id', async () => {
    fixture.docker.containers.set(A, { ...container, image: `sha256:${'c'.repeat(64)}` });
    const identity = await fixture.followDocker();
    fixture.docker.containers.set(A, container);
    const ref = fixture.begin();
    await fixture.settled(ref);
    assert.equal(identity.facts(ref).container?.['image.name'], 'nginx:1.27');
  });

  it('waits at most the given time, and has the name when it comes', async () => {
    fixture.docker.containers.set(A, container);
    let release = () => {};
    fixture.docker.inspectFault = (response) => {
      release = () =>
        response.end(JSON.stringify({ Id: A, Name: '/late', Config: { Image: 'img', Labels: null } }));
    };
    await fixture.docker.start();
    fixture.docker.containers.clear();
    const identity = fixture.watchDocker();
    await fixture.until(() => fixture.count('docker_followed') === 1);
    const ref = fixture.begin();
    const before = performance.now();
    await fixture.settled(ref, WAIT_MS);
    const waitedMs = performance.now() - before;
    assert.ok(waitedMs >= WAIT_MS - 5, `${waitedMs} ms`);
    assert.equal(identity.facts(ref).container?.name, null);
    assert.equal(fixture.count('waited_in_vain'), 1);
    release();
    await fixture.settled(ref);
    assert.equal(identity.facts(ref).container?.name, 'late');
  });

  it('a name that arrives meanwhile ends the wait', async () => {
    fixture.docker.inspectFault = () => {};
    const identity = await fixture.followDocker();
    const ref = fixture.begin();
    setTimeout(() => fixture.docker.event('start', container), 20);
    await fixture.settled(ref);
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
      fixture.docker.inspectFault = (response) => response.end(answer);
      const identity = await fixture.followDocker();
      const ref = fixture.begin();
      await fixture.settled(ref);
      assert.deepEqual(identity.facts(ref).container, {
        id: A,
        name: null,
        'image.name': null,
        runtime: 'docker',
      });
      assert.equal(fixture.count('docker_errors'), 1);
      assert.equal(fixture.count('unnamed'), 1);
    });
  }

  it('names of wrong kinds are no names', async () => {
    fixture.docker.inspectFault = (response) =>
      response.end(JSON.stringify({ Id: A, Name: 7, Config: { Image: { a: 1 }, Labels: ['x'] } }));
    const identity = await fixture.followDocker();
    const ref = fixture.begin();
    await fixture.settled(ref);
    containerFacts.parse(identity.facts(ref).container);
    assert.equal(identity.facts(ref).container?.name, null);
  });

  it('a failing engine is called after growing delays, not for every call', async () => {
    fixture.docker.inspectFault = (response) => response.destroy();
    const identity = await fixture.followDocker();
    const meet = async (id: string) => {
      const ref = fixture.begin(`/docker/${id}`);
      await fixture.settled(ref);
    };
    for (let at = 0; at < 20; at++) await meet(at.toString(16).padStart(64, 'e'));
    assert.equal(fixture.count('docker_asked'), 1);
    assert.equal(fixture.count('docker_backed_off'), 19);
    fixture.nowMs += 1_001;
    for (let at = 0; at < 20; at++) await meet(at.toString(16).padStart(64, 'f'));
    assert.equal(fixture.count('docker_asked'), 2);
    fixture.nowMs += 1_500;
    await meet(A);
    assert.equal(fixture.count('docker_asked'), 2, 'the second time it is two seconds');
    fixture.docker.inspectFault = null;
    fixture.docker.containers.set(B, { id: B, name: 'back' });
    fixture.nowMs += 600;
    const ref = fixture.begin(`/docker/${B}`);
    await fixture.settled(ref);
    assert.equal(identity.facts(ref).container?.name, 'back');
  });

  it('a container that no engine knows is requested again after growing delays', async () => {
    await fixture.followDocker();
    const meet = async () => fixture.settled(fixture.begin());
    for (let at = 0; at < 10; at++) await meet();
    assert.equal(fixture.count('docker_unknown'), 1);
    fixture.nowMs += 1_001;
    for (let at = 0; at < 10; at++) await meet();
    assert.equal(fixture.count('docker_unknown'), 2);
    fixture.nowMs += 1_001;
    await meet();
    assert.equal(fixture.count('docker_unknown'), 2);
  });

  it('a socket that appears later is found when a container is met', async () => {
    const identity = fixture.watchDocker();
    fixture.begin();
    assert.equal(fixture.count('no_engine'), 1);
    fixture.docker.containers.set(A, container);
    await fixture.docker.start();
    fixture.nowMs += 2_001;
    const ref = fixture.begin();
    await fixture.settled(ref);
    assert.equal(identity.facts(ref).container?.name, 'web');
    await fixture.until(() => fixture.count('docker_followed') === 1);
  });

  it('a restarted engine is followed again, and containers that began meanwhile are known', async () => {
    const identity = await fixture.followDocker();
    await fixture.docker.stop();
    await fixture.until(() => fixture.count('docker_errors') >= 1);
    fixture.docker.containers.set(A, container);
    await fixture.docker.start();
    await fixture.until(() => fixture.count('docker_followed') === 2);
    const ref = fixture.begin();
    assert.ok(identity.isSettled(ref));
    assert.equal(identity.facts(ref).container?.name, 'web');
  });

  it('rubbish among the events ends the stream, which is opened again', async () => {
    await fixture.followDocker();
    fixture.docker.say('{"Type":"container","Actor":null}\n\n{"Actor":{"ID":7}}\nnull\n');
    await sleep(50);
    assert.equal(fixture.count('docker_errors'), 0, 'an event that says nothing is none');
    fixture.docker.say('this is no event\n');
    await fixture.until(() => fixture.count('docker_errors') === 1);
    await fixture.until(() => fixture.count('docker_followed') === 2);
  });

  it('events may come in pieces', async () => {
    await fixture.followDocker();
    const text = JSON.stringify({ Actor: { ID: A, Attributes: { name: 'wéb', image: 'i' } } });
    const bytes = Buffer.from(`${text}\n`);
    for (const byte of bytes) {
      fixture.docker.say(Buffer.from([byte]));
      if (byte > 0x7f) await sleep(5);
    }
    await fixture.until(() => fixture.count('docker_told') === 1);
    const ref = fixture.begin();
    assert.equal(fixture.facts(ref).container?.name, 'wéb');
  });

  it('an engine that sends the head of its events late is followed too', async () => {
    fixture.docker.isLateWithHead = true;
    fixture.docker.containers.set(A, container);
    await fixture.followDocker();
    fixture.docker.event('start', { id: B, name: 'job' });
    await fixture.until(() => fixture.count('docker_told') === 2);
  });

  it('podman is recognised by its own name', async () => {
    fixture.docker.serverHeader = 'Libpod/4.3.1 (linux)';
    fixture.docker.containers.set(A, container);
    await fixture.docker.start();
    const identity = fixture.watchDocker();
    const ref = fixture.begin(`/actions/${A}`);
    await fixture.settled(ref);
    assert.equal(identity.facts(ref).container?.runtime, 'podman');
  });

  it('resolves all waiting requests when it is closed', async () => {
    fixture.docker.inspectFault = () => {};
    await fixture.docker.start();
    const identity = fixture.watchDocker();
    const ref = fixture.begin();
    const waiting = fixture.settled(ref, 60_000);
    identity.close();
    await waiting;
  });
});

describe('a socket whose server does not speak the protocol', () => {
  let fixture: WorkloadFixture;
  beforeEach(() => {
    fixture = new WorkloadFixture();
  });
  afterEach(() => fixture.close());

  let server: Server;
  afterEach(() => server.close());
  const listen = async (onConnection: (socket: Socket) => void) => {
    server = createServer(onConnection);
    server.listen(fixture.docker.socketPath);
    await once(server, 'listening');
  };

  it('that says something else', async () => {
    await listen((socket) => {
      socket.on('error', () => {});
      socket.end('SSH-2.0-OpenSSH_9.2\r\n');
    });
    const identity = fixture.watchDocker();
    const ref = fixture.begin();
    await fixture.settled(ref);
    assert.equal(identity.facts(ref).container?.name, null);
    assert.ok(fixture.count('docker_errors') >= 1);
  });

  it('that says nothing', async () => {
    await listen((socket) => socket.on('error', () => {}));
    const identity = fixture.watchDocker();
    const ref = fixture.begin();
    await fixture.settled(ref, WAIT_MS);
    assert.equal(identity.facts(ref).container?.id, A);
    assert.equal(fixture.count('waited_in_vain'), 1);
    await fixture.settled(ref);
    assert.equal(fixture.count('docker_errors'), 1, 'given up after its own time');
  });
});
