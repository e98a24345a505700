/** Control groups that an engine makes and forgets: removed with the lab, whatever the layout (v1, v2, hybrid). */
import { readdirSync, readFileSync, rmdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

const RETRIES = 20;
const RETRY_MS = 10;

/** Where cgroup file systems are mounted: one for v2, one a controller for v1, both for hybrid (proc(5), mounts). */
export function cgroupMounts(): string[] {
  return readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .flatMap(([, path, type]) => (path && (type === 'cgroup' || type === 'cgroup2') ? [path] : []));
}

/** Remembers which of the `parents` (as `docker`) are not there yet, so that only those are removed. */
export class MadeCgroups {
  readonly #absent: string[];
  readonly #own = new Set<string>();

  constructor(parents: readonly string[]) {
    this.#absent = cgroupMounts()
      .flatMap((mount) => parents.map((parent) => join(mount, parent)))
      .filter((path) => !exists(path));
  }

  /** A cgroup that is ours alone, as `docker/ID`: removed with all below. */
  add(path: string): void {
    this.#own.add(path);
  }

  /**
   * Removes them, as far as they are empty; waits up to 200 ms for processes that are just ending. Synchronous, so that
   * it works while the process exits. Returns what could not be removed although it is ours alone.
   */
  remove(): string[] {
    const own = cgroupMounts().flatMap((mount) => [...this.#own].map((path) => join(mount, path)));
    for (let tries = 0; own.some(exists) && tries < RETRIES; tries++) {
      for (const path of own) removeTree(path);
      if (own.some(exists)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
    }
    // The longest first: parents of parents. One that holds another's cgroups stays.
    for (const path of this.#absent.toSorted((a, b) => b.length - a.length)) removeEmpty(path);
    return own.filter(exists);
  }
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

function removeTree(path: string): void {
  if (!exists(path)) return;
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (entry.isDirectory()) removeTree(join(path, entry.name));
  }
  removeEmpty(path);
}

function removeEmpty(path: string): void {
  try {
    rmdirSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'EBUSY' && code !== 'ENOTEMPTY') throw error;
  }
}
