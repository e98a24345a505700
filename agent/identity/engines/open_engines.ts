/** Which container engines this host may have, and where. */
import { realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Logger } from 'pino';
import type { RuntimeHint } from '../../linux/cgroup.ts';
import { CriClient } from './cri.ts';
import { DockerClient } from './docker.ts';
import { Engine } from './engine.ts';

const DOCKER_SOCKETS = ['/run/docker.sock', '/var/run/docker.sock', '/run/podman/podman.sock'];
/**
 * Docker under a kubelet needs none: its own API gives the kubelet's labels. /run/dockershim.sock is
 * containerd on Bottlerocket.
 */
const CRI_SOCKETS = [
  '/run/containerd/containerd.sock',
  '/run/k3s/containerd/containerd.sock',
  '/run/k0s/containerd.sock',
  '/var/snap/microk8s/common/run/containerd.sock',
  '/run/crio/crio.sock',
  '/run/dockershim.sock',
];
const DOCKER_SERVES: RuntimeHint[] = ['docker', 'podman', 'ecs'];
const CRI_SERVES: RuntimeHint[] = ['containerd', 'cri-o'];

export interface EngineSettings {
  /** `auto`: the usual places; `none`; or paths, separated by commas. */
  docker_socket: string;
  cri_socket: string;
}

/** Opens nothing yet: an engine's socket may appear later. Two paths to one place are one engine. */
export function openEngines(
  settings: EngineSettings,
  log: Pick<Logger, 'debug' | 'warn'>,
  now: () => number = () => performance.now(),
): Engine[] {
  const { docker, cri } = engineSockets(settings);
  const dockers = docker.map(
    (socketPath) =>
      new Engine({
        name: basename(socketPath).startsWith('podman') ? 'podman' : 'docker',
        socketPath,
        serves: DOCKER_SERVES,
        connect: (path) => new DockerClient(path),
        canFollow: true,
        log,
        now,
      }),
  );
  const cris = cri.map(
    (socketPath) =>
      new Engine({
        name: 'cri',
        socketPath,
        serves: CRI_SERVES,
        connect: (path) => new CriClient(path),
        canFollow: false,
        log,
        now,
      }),
  );
  return [...dockers, ...cris];
}

/** Returns the paths of sockets where engines may be, existing or not. */
export function engineSockets(settings: EngineSettings): { docker: string[]; cri: string[] } {
  return {
    docker: socketPaths(settings.docker_socket, DOCKER_SOCKETS),
    cri: socketPaths(settings.cri_socket, CRI_SOCKETS),
  };
}

function socketPaths(setting: string, usual: readonly string[]): string[] {
  if (setting === 'none') return [];
  const paths =
    setting === 'auto' ? usual : setting.split(',').map((each) => each.trim().replace(/^unix:\/\//, ''));
  return [...new Set(paths.filter((path) => path !== '').map(canonical))];
}

/**
 * /var/run is a link to /run nearly everywhere. The socket itself need not be there yet, nor its directory.
 */
function canonical(path: string): string {
  try {
    return join(realpathSync(dirname(path)), basename(path));
  } catch {
    return path;
  }
}
