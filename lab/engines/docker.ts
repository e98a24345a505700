/**
 * Runs Docker inside a lab, with its own daemon and containerd, data, sockets, bridge and address
 * translation.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Lab } from '../lab.ts';
import { setSysctl } from '../namespaces.ts';
import type { Started } from './container.ts';
import { missingHere, programPath } from './need.ts';
import { SocketEngine } from './socket_engine.ts';

const START_TIMEOUT_MS = 60_000;
/** The subordinate ids of `usernsRemap`: container root is this uid on the host. */
export const REMAPPED_ROOT_UID = 200_000;
const REMAPPED_IDS = 65_536;

export interface DockerOptions {
  /**
   * Maps the users of containers to others on the host, for all containers of the daemon. A lab has one
   * daemon at a time.
   */
  usernsRemap?: boolean;
}

/** Starts `dockerd` in the lab's host namespace. Throws if it is installed but does not start within 20 s. */
export async function startDocker(lab: Lab, options: DockerOptions = {}): Promise<Started<SocketEngine>> {
  const why = missingHere(['dockerd', 'containerd', 'runc', 'iptables', 'busybox', 'cc', 'unshare', 'tar']);
  if (why !== null) return { engine: null, notAvailable: why };
  const home = join(lab.home, options.usernsRemap ? 'docker-remapped' : 'docker');
  mkdirSync(home, { mode: 0o711, recursive: true });
  const config = join(home, 'daemon.json');
  // Without an empty file of our own, dockerd would read the machine's.
  writeFileSync(config, '{}');
  const subordinate = join(home, 'subordinate_ids');
  writeFileSync(subordinate, `nobody:${REMAPPED_ROOT_UID}:${REMAPPED_IDS}\n`);
  // If Docker turns forwarding on itself, it allows only its own packets: the lab's pod would be cut off.
  setSysctl(lab.hostNamespace, 'net/ipv4/ip_forward', '1');
  const engine = await SocketEngine.start(lab, {
    name: 'dockerd',
    runtime: 'docker',
    socket: join(home, 'docker.sock'),
    argv: [
      programPath('dockerd')!,
      `--config-file=${config}`,
      `--data-root=${join(home, 'data')}`,
      `--host=unix://${join(home, 'docker.sock')}`,
      '--exec-opt=native.cgroupdriver=cgroupfs',
      ...(options.usernsRemap ? ['--userns-remap=nobody:nogroup'] : []),
    ],
    ...(options.usernsRemap && {
      before: `mount --bind '${subordinate}' /etc/subuid && mount --bind '${subordinate}' /etc/subgid`,
    }),
    cgroupParents: ['docker'],
    cgroupsOf: (id) => [`docker/${id}`],
    timeoutMs: START_TIMEOUT_MS,
  });
  return { engine, notAvailable: null };
}
