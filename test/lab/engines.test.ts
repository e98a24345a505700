/** The lab's container engines: what the metadata service and the kernel say of every container that the lab starts. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { cgroupMounts } from '../../lab/engines/cgroups.ts';
import type { ContainerSpec, LabContainer, Started } from '../../lab/engines/container.ts';
import { REMAPPED_ROOT_UID, startDocker } from '../../lab/engines/docker.ts';
import type { SocketEngine } from '../../lab/engines/socket_engine.ts';
import { Lab } from '../../lab/lab.ts';
import { namespacePath, pidsWithTag, startTicksOf, sweepLeftovers } from '../../lab/namespaces.ts';
import { startContainerd } from '../support/lab/containerd.ts';
import { startPodman } from '../support/lab/podman.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root: builds network namespaces and runs containers';
const LAB_ROOM = join(import.meta.dirname, '../../lab');
/** A program that builds a lab with a container in it, says where, and waits. */
const MAKER = `
  import { Lab } from ${JSON.stringify(join(LAB_ROOM, 'lab.ts'))};
  import { startDocker } from ${JSON.stringify(join(LAB_ROOM, 'engines/docker.ts'))};
  const lab = await Lab.create({ name: 'engines', ipv6: false });
  const { engine, notAvailable } = await startDocker(lab);
  const container = await engine?.run({ argv: ['sleep', '60'] });
  console.log(JSON.stringify({ notAvailable, tag: lab.tag, id: container?.id }));
`;
/** Waits a little, calls, and lives on long enough to be looked at. The shell becomes the caller by exec. */
const caller = (target: string) => ['sh', '-c', `sleep 0.1; exec fetch ${target} 0.5`];
const anyTarget = () => `/latest/meta-data/${randomUUID()}`;
const namespaceOf = (pid: number, kind: string) => readlinkSync(`/proc/${pid}/ns/${kind}`);
const cgroupsOf = (pid: number) => readFileSync(`/proc/${pid}/cgroup`, 'utf8');

/** Runs `use` with a lab and an engine in it, skips where there is none, and looks at what is left afterwards. */
async function withEngine<E extends { close(): Promise<void> }>(
  t: TestContext,
  start: (lab: Lab) => Promise<Started<E>>,
  use: (lab: Lab, engine: E) => Promise<LabContainer[]>,
): Promise<void> {
  const lab = await Lab.create({ name: 'engines', ipv6: false });
  let left: string[] = [];
  try {
    const { engine, notAvailable } = await start(lab);
    if (notAvailable !== null) return t.skip(notAvailable);
    left = (await use(lab, engine)).flatMap(cgroupPaths);
  } finally {
    await lab.close();
  }
  await nothingLeft(lab.tag, left);
}

async function nothingLeft(tag: string, cgroups: string[]): Promise<void> {
  for (let tries = 0; tries < 50 && pidsWithTag(tag).some(lives); tries++) await sleep(20);
  assert.deepEqual(pidsWithTag(tag).filter(lives), [], 'processes left');
  assert.equal(existsSync(join(tmpdir(), tag)), false);
  assert.equal(readFileSync('/proc/self/mounts', 'utf8').includes(tag), false, 'mounts left');
  assert.deepEqual(cgroups.filter(existsSync), [], 'cgroups left');
}

function cgroupPaths(container: { id: string; podUid?: string }): string[] {
  const { id } = container;
  const below = [`docker/${id}`, `libpod_parent/libpod-${id}`, `libpod_parent/libpod-conmon-${id}`];
  if (container.podUid !== undefined) below.push(`kubepods/besteffort/pod${container.podUid}`);
  return cgroupMounts().flatMap((mount) => below.map((path) => join(mount, path)));
}

const lives = (pid: number) => startTicksOf(pid) !== null;

/** The one request that `container` made, after the caller was seen to be what it should be. */
async function oneCall(lab: Lab, container: LabContainer, target: string) {
  assert.match(container.id, /^[0-9a-f]{64}$/);
  assert.ok(container.pid !== null, 'pid known');
  for (let tries = 0; !(await lab.metadata.log()).some((seen) => seen.target === target); tries++) {
    assert.ok(tries < 250, 'the metadata service was not asked in time');
    await sleep(20);
  }
  assert.equal(readlinkSync(`/proc/${container.pid}/exe`), '/bin/fetch');
  assert.match(cgroupsOf(container.pid), new RegExp(container.id));
  const facts = {
    net: namespaceOf(container.pid, 'net'),
    status: readFileSync(`/proc/${container.pid}/status`, 'utf8'),
  };
  const { status, output } = await container.wait();
  assert.equal(status, 0, output);
  const requests = (await lab.metadata.log()).filter((seen) => seen.target === target);
  assert.equal(requests.length, 1);
  assert.deepEqual([requests[0]!.version, requests[0]!.status], [1, 404]);
  return { ...facts, request: requests[0]! };
}

/** Every way of being connected that Docker and Podman share. */
async function everyNetwork(lab: Lab, engine: SocketEngine): Promise<LabContainer[]> {
  const hostNet = `net:[${statSync(namespacePath(lab.hostNamespace)).ino}]`;
  const run = (spec: Omit<ContainerSpec, 'argv'>, target: string) =>
    engine.run({ ...spec, argv: caller(target) });
  const containers: LabContainer[] = [];
  for (const spec of [
    { network: 'bridge' },
    { cgroupns: 'private' },
    { name: 'named', labels: { tier: 'web' } },
  ] as const) {
    const target = anyTarget();
    const container = await run(spec, target);
    containers.push(container);
    assert.match(container.address ?? '', /^(172\.17|10\.88)\./);
    const { request, net } = await oneCall(lab, container, target);
    assert.equal(request.clientAddress, lab.hostAddresses.ipv4, 'translated by the host');
    assert.notEqual(net, hostNet);
    if ('name' in spec) assert.equal(container.name, 'named');
  }
  const target = anyTarget();
  const onHost = await run({ network: 'host' }, target);
  assert.equal(onHost.address, null);
  assert.equal((await oneCall(lab, onHost, target)).net, hostNet);

  const owner = await engine.run({ argv: ['sleep', '60'] });
  const shared = anyTarget();
  const guest = await run({ network: `container:${owner.id}` }, shared);
  const { net } = await oneCall(lab, guest, shared);
  assert.equal(net, namespaceOf(owner.pid!, 'net'));
  return [...containers, onHost, owner, guest];
}

describe('container engines in the lab', () => {
  it(
    'Docker: bridge, private cgroup namespace, host network, the network of another container',
    { skip },
    (t) =>
      withEngine(t, startDocker, async (lab, engine) => {
        const containers = await everyNetwork(lab, engine);
        const target = anyTarget();
        const curl = await engine.run({
          machinePrograms: true,
          argv: ['curl', '-s', `http://169.254.169.254${target}`],
        });
        assert.equal((await curl.wait()).status, 0);
        assert.equal(
          (await lab.metadata.log()).at(-1)?.target,
          target,
          "the machine's own programs run in containers",
        );
        return [...containers, curl];
      }),
  );

  it('Docker in a lab whose maker was killed is swept away', { skip }, async (t) => {
    const maker = spawn(process.execPath, ['--input-type=module', '-e', MAKER], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [said] = await once(maker.stdout!, 'data');
    const { notAvailable, tag, id } = JSON.parse(String(said));
    maker.kill('SIGKILL');
    await once(maker, 'exit');
    if (notAvailable !== null) return t.skip(notAvailable);
    assert.notDeepEqual(pidsWithTag(tag), [], 'nobody could clean up');
    sweepLeftovers();
    await nothingLeft(tag, cgroupPaths({ id }));
  });

  it('Docker with user namespaces', { skip }, (t) =>
    withEngine(
      t,
      (lab) => startDocker(lab, { usernsRemap: true }),
      async (lab, engine) => {
        const target = anyTarget();
        const container = await engine.run({ argv: caller(target) });
        const { status } = await oneCall(lab, container, target);
        assert.match(status, new RegExp(`^Uid:\\t${REMAPPED_ROOT_UID}\\t`, 'm'));
        return [container];
      },
    ),
  );

  it(
    'Podman: bridge, private cgroup namespace, host network, the network of another container',
    { skip },
    (t) => withEngine(t, startPodman, everyNetwork),
  );

  it('containerd: a pod through the CRI, on its own network and on the host', { skip }, (t) =>
    withEngine(t, startContainerd, async (lab, engine) => {
      const pods = [];
      for (const hostNetwork of [false, true]) {
        const target = anyTarget();
        const pod = await engine.run({
          podName: 'web-0',
          namespace: 'shop',
          containerName: 'app',
          hostNetwork,
          argv: caller(target),
        });
        pods.push(pod);
        await oneCall(lab, pod, target);
        assert.equal(pod.address === null, hostNetwork);
        await pod.remove();
      }
      return pods;
    }),
  );
});
