/** Podman inside a lab: its own storage, its API by `podman system service`, its bridge by CNI plug-ins. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Started } from '../../../lab/engines/container.ts';
import { missingHere, programPath } from '../../../lab/engines/need.ts';
import { SocketEngine } from '../../../lab/engines/socket_engine.ts';
import type { Lab } from '../../../lab/lab.ts';
import { setSysctl } from '../../../lab/namespaces.ts';

const START_TIMEOUT_MS = 60_000;
const CNI_BRIDGE = { path: '/usr/lib/cni/bridge', debianPackage: 'containernetworking-plugins' };

/** Starts Podman's service in the lab's host namespace. Throws when it is there but does not come up within 20 s. */
export async function startPodman(lab: Lab): Promise<Started<SocketEngine>> {
  const needs = ['podman', 'conmon', 'runc', 'iptables', 'busybox', 'cc', 'unshare', 'tar'] as const;
  const why = missingHere(needs, [CNI_BRIDGE]);
  if (why !== null) return { engine: null, notAvailable: why };
  const home = join(lab.home, 'podman');
  mkdirSync(join(home, 'networks'), { recursive: true });
  setSysctl(lab.hostNamespace, 'net/ipv4/ip_forward', '1');
  const socket = join(home, 'podman.sock');
  const engine = await SocketEngine.start(lab, {
    name: 'podman',
    runtime: 'podman',
    socket,
    argv: [
      programPath('podman')!,
      `--root=${join(home, 'storage')}`,
      // Its own /run: below the lab's home the paths would be longer than it takes.
      '--runroot=/run/podman',
      '--tmpdir=/run/podman/tmp',
      `--network-config-dir=${join(home, 'networks')}`,
      '--cgroup-manager=cgroupfs',
      '--events-backend=file',
      // crun refuses the hybrid layout of cgroups.
      '--runtime=runc',
      'system',
      'service',
      '--time=0',
      `unix://${socket}`,
    ],
    cgroupParents: ['libpod_parent', 'libpod_parent/conmon'],
    cgroupsOf: (id) => [`libpod_parent/libpod-${id}`, `libpod_parent/libpod-conmon-${id}`],
    timeoutMs: START_TIMEOUT_MS,
  });
  return { engine, notAvailable: null };
}
