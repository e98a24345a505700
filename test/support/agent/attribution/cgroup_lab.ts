/**
 * Creates cgroups for a test, one in each kind of hierarchy that this machine has: systemd's, unified, a
 * controller's.
 */
import { mkdirSync, readFileSync, rmdirSync } from 'node:fs';
import { dirname, join } from 'node:path';

export interface OwnCgroups {
  /** Files to write a pid to: one of each kind, in the order of the record. */
  directories: string[];
  /** The paths within their hierarchies, all different. */
  paths: string[];
  /** Removes the cgroups. No process may be in them any more. */
  remove(): void;
}

/**
 * Creates `name-0`, `name-1`, …, and the nested cgroups `below` in each. Returns null if that is not
 * permitted.
 */
export function ownCgroups(name: string, below: string[]): OwnCgroups | null {
  const made: { mount: string; directory: string }[] = [];
  for (const [kind, mount] of mounts().entries()) {
    const directory = join(mount, `${name}-${kind}`, ...below, `leaf-${kind}`);
    try {
      mkdirSync(directory, { recursive: true });
    } catch {
      continue;
    }
    made.push({ mount, directory });
  }
  if (made.length === 0) return null;
  return {
    directories: made.map(({ directory }) => directory),
    paths: made.map(({ mount, directory }) => directory.slice(mount.length)),
    remove() {
      for (const { mount, directory } of made) {
        for (let at = directory; at !== mount; at = dirname(at)) rmdirSync(at);
      }
    },
  };
}

/** Returns the mount points of systemd's hierarchy, of the unified one, and of the pids controller. */
function mounts(): string[] {
  const all = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '));
  const find = (type: string, option: string) =>
    all.find(([, , found, options]) => found === type && (options ?? '').split(',').includes(option))?.[1];
  return [find('cgroup', 'name=systemd'), find('cgroup2', 'rw'), find('cgroup', 'pids')].filter(
    (mount) => mount !== undefined,
  );
}
