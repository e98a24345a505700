/** Cgroups of a test's own, one in each kind of hierarchy that this machine has: systemd's, unified, a controller's. */
import { mkdirSync, readFileSync, rmdirSync } from 'node:fs';
import { dirname, join } from 'node:path';

export interface OwnCgroups {
  /** Where to write a pid: one of each kind, in the order that the record has them in. */
  directories: string[];
  /** The paths within their hierarchies, all different. */
  paths: string[];
  /** To be called when no process is in them any more. */
  remove(): void;
}

/** Makes `name-0`, `name-1`, …, and in each `below`, one in another. Null where none may be made. */
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

/** Mount points: of the named hierarchy, of the unified one, and of the one that counts processes. */
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
