/** Control groups that an engine makes and forgets: removed with the lab, whatever the layout (v1, v2, hybrid). */
import { appendFileSync, readdirSync, readFileSync, rmdirSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';

const RETRIES = 20;
const RETRY_MS = 10;

/** Returns where cgroup file systems are mounted: one for v2, one a controller for v1, both for hybrid (proc(5), mounts). */
export function cgroupMounts(): string[] {
  return readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .flatMap(([, path, type]) => (path && (type === 'cgroup' || type === 'cgroup2') ? [path] : []));
}

/** Below the lab's home, for `sweepCgroups`: one path a line. */
const RECORD = 'cgroups_made';

/**
 * The cgroups of one part of a lab. Which of the `parents` (as `docker`) are not there yet is remembered, so that only
 * those are removed. All is also written down below `home`, for whoever finds the home of a lab that was killed.
 */
export class MadeCgroups {
  readonly #record: string;
  readonly #parents: string[];
  readonly #own = new Set<string>();

  constructor(home: string, parents: readonly string[]) {
    this.#record = join(home, RECORD);
    this.#parents = cgroupMounts()
      .flatMap((mount) => parents.map((parent) => join(mount, parent)))
      .filter((path) => !exists(path));
    for (const path of this.#parents) appendFileSync(this.#record, `${path}\n`);
  }

  /** A cgroup that is ours alone, as `docker/ID`: removed with all below. */
  add(path: string): void {
    for (const mount of cgroupMounts()) {
      this.#own.add(join(mount, path));
      appendFileSync(this.#record, `${join(mount, path)}\n`);
    }
  }

  /** Removes them. Returns what could not be removed although it is ours alone. */
  remove(): string[] {
    return removeAll([...this.#own], this.#parents);
  }
}

/** Returns what the parts of a lab that was killed made, by its home. Its processes must have been ended before. */
export function sweepCgroups(home: string): void {
  let record: string;
  try {
    record = readFileSync(join(home, RECORD), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  const paths = record.split('\n').filter(Boolean);
  const mounts = cgroupMounts();
  // Those with an id in their path are a container's, a pod's or a lab's own.
  const isOwn = (path: string) =>
    /[0-9a-f]{8}/.test(basename(path)) && mounts.some((mount) => path.startsWith(mount));
  removeAll(
    paths.filter(isOwn),
    paths.filter((path) => !isOwn(path)),
  );
}

/**
 * Removes the empty ones; waits up to 200 ms for processes that are just ending. It is synchronous, so that it works while
 * the process exits.
 */
function removeAll(own: readonly string[], parents: readonly string[]): string[] {
  for (let tries = 0; own.some(exists) && tries < RETRIES; tries++) {
    for (const path of own) removeTree(path);
    if (own.some(exists)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
  }
  // The longest first: parents of parents. One that holds another's cgroups stays.
  for (const path of parents.toSorted((a, b) => b.length - a.length)) removeEmpty(path);
  return own.filter(exists);
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
