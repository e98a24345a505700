/** Calls of real containers: each once, with the addresses of its own socket, its process and its names. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LabContainer, Started } from '../../lab/engines/container.ts';
import { startDocker } from '../../lab/engines/docker.ts';
import { Lab } from '../../lab/lab.ts';
import type { Call } from '../../protocol/call.ts';
import { startContainerd } from '../support/lab/containerd.ts';
import { startPodman } from '../support/lab/podman.ts';
import { Watcher } from '../support/lab/watcher.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root: builds network namespaces and runs containers';
const MAIN = join(import.meta.dirname, '../../cli/main.ts');
const MODES = ['ebpf', 'proc'] as const;
type Mode = (typeof MODES)[number];

/** The shell becomes the caller by exec, which lives on a little after its answer. */
const caller = (target: string) => ['sh', '-c', `sleep 0.1; exec fetch ${target} 0.1`];
const anyTarget = () => `/latest/meta-data/${randomUUID()}`;

interface Watched<E> {
  lab: Lab;
  engine: E;
  mode: Mode;
  /** The calls for these targets, once each of them was seen and nothing more came. */
  callsFor(targets: string[]): Promise<Call[][]>;
}

async function withWatch<E extends { socket: string }>(
  t: TestContext,
  mode: Mode,
  start: (lab: Lab) => Promise<Started<E>>,
  use: (watched: Watched<E>) => Promise<void>,
): Promise<void> {
  const lab = await Lab.create({ name: 'contain', ipv6: false });
  try {
    const { engine, notAvailable } = await start(lab);
    if (notAvailable !== null) return t.skip(notAvailable);
    // Without eBPF a caller is found while its connection is there. Half a second is enough on a busy machine too.
    if (mode === 'proc') await lab.metadata.set({ delayMs: 500 });
    // Without eBPF a container's socket is found in its own namespace, which has to be watched for that.
    const env = {
      IMDSWATCH_DOCKER_SOCKET: engine.socket,
      IMDSWATCH_CRI_SOCKET: engine.socket,
      IMDSWATCH_MAX_NAMESPACES: mode === 'ebpf' ? '0' : '64',
    };
    const watcher = await Watcher.start(
      lab,
      [process.execPath, MAIN, 'watch', '--json', '--attribution', mode],
      env,
    );
    const callsFor = async (targets: string[]) => {
      const found = () =>
        targets.map((target) => watcher.calls.filter((call) => call['url.path'] === target));
      for (let tries = 0; tries < 1_500 && found().some((calls) => calls.length === 0); tries++)
        await sleep(20);
      await sleep(400);
      return found();
    };
    await use({ lab, engine, mode, callsFor });
    assert.deepEqual(watcher.invalid, []);
    const end = await watcher.stop();
    assert.equal(end.status, 0, watcher.complaints);
  } finally {
    await lab.close();
  }
}

function holds(calls: Call[] | undefined, container: LabContainer, mode: Mode): void {
  assert.equal(calls?.length, 1, 'reported once');
  const call = calls[0]!;
  assert.equal(call['imds.version'], 1);
  assert.equal(call['http.response.status_code'], 404);
  assert.deepEqual(
    {
      pid: call.process?.pid,
      executable: call.process?.['executable.path'],
      method: call['attribution.method'],
      container: call.container,
    },
    {
      pid: container.pid,
      executable: '/bin/fetch',
      method: mode === 'ebpf' ? 'ebpf' : 'sock_diag',
      container: {
        id: container.id,
        name: container.name,
        'image.name': container.image,
        runtime: container.runtime,
      },
    },
  );
  if (container.address !== null)
    assert.equal(call['source.address'], container.address, "its own socket's address");
}

for (const mode of MODES) {
  describe(`calls of containers, by ${mode}`, () => {
    for (const [name, start] of [
      ['Docker', startDocker],
      ['Docker with user namespaces', (lab: Lab) => startDocker(lab, { usernsRemap: true })],
      ['Podman', startPodman],
    ] as const) {
      it(`${name}: bridge, private cgroups, host network, another container's network`, { skip }, (t) =>
        withWatch(t, mode, start, async ({ lab, engine, callsFor }) => {
          const made: [LabContainer, string][] = [];
          const run = async (spec: Parameters<typeof engine.run>[0] | object) => {
            const target = anyTarget();
            const container = await engine.run({ ...spec, argv: caller(target) });
            made.push([container, target]);
            await container.wait();
          };
          await run({ network: 'bridge' });
          await run({ cgroupns: 'private', name: `${lab.tag}-private`, labels: { tier: 'web' } });
          const owner = await engine.run({ name: `${lab.tag}-owner`, argv: ['sleep', '60'] });
          await run({ network: `container:${owner.id}` });
          if (name !== 'Docker with user namespaces') await run({ network: 'host' });
          const calls = await callsFor(made.map(([, target]) => target));
          for (const [i, [container]] of made.entries()) holds(calls[i], container, mode);
        }),
      );
    }

    it('containerd: a pod through the CRI, with its names from the kubelet', { skip }, (t) =>
      withWatch(t, mode, startContainerd, async ({ engine, callsFor }) => {
        for (const hostNetwork of [false, true]) {
          const target = anyTarget();
          const pod = await engine.run({
            podName: 'web-0',
            namespace: 'shop',
            containerName: 'app',
            hostNetwork,
            argv: caller(target),
          });
          await pod.wait();
          const [calls] = await callsFor([target]);
          assert.equal(calls?.length, 1, 'reported once');
          assert.equal(calls[0]!.process?.pid, pod.pid);
          assert.equal(calls[0]!.container?.id, pod.id);
          assert.equal(calls[0]!.container?.runtime, 'containerd');
          assert.deepEqual(calls[0]!.k8s, {
            'pod.uid': pod.podUid,
            'pod.name': 'web-0',
            'namespace.name': 'shop',
            'container.name': 'app',
          });
          await pod.remove();
        }
      }),
    );
  });
}
