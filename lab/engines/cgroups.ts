/** Removes the control groups that an engine leaves behind, with the layouts v1, v2 and hybrid. */
import { appendFileSync, readdirSync, readFileSync, rmdirSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';

const RETRIES = 20;
const RETRY_MS = 10;

/**
 * Returns the mounts of cgroup file systems: one for v2, one for each controller of v1, both for hybrid
 * (proc(5), mounts).
 */
export function cgroupMounts(): string[] {
  return readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .flatMap(([, path, type]) => (path && (type === 'cgroup' || type === 'cgroup2') ? [path] : []));
}

/** File in the lab's home for `sweepCgroups`, with one path in each line. */
const RECORD = 'cgroups_made';

/**
 * The cgroups of one part of a lab. Only those of the `parents` (such as `docker`) are removed that did not
 * exist before. They are also listed in a file below `home`, so that a later run can remove those of a lab
 * that was killed.
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

  /** Adds a cgroup that is only ours, such as `docker/ID`. It is removed with all below it. */
  add(path: string): void {
    for (const mount of cgroupMounts()) {
      this.#own.add(join(mount, path));
      appendFileSync(this.#record, `${join(mount, path)}\n`);
    }
  }

  /** Removes them. Returns those that are only ours and could not be removed. */
  remove(): string[] {
    return removeAll([...this.#own], this.#parents);
  }
}

/** Removes the cgroups of a lab that was killed, by its home. Its processes must have been killed before. */
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
  // A path with an id belongs to a container, a pod or a lab.
  const isOwn = (path: string) =>
    /[0-9a-f]{8}/.test(basename(path)) && mounts.some((mount) => path.startsWith(mount));
  removeAll(
    paths.filter(isOwn),
    paths.filter((path) => !isOwn(path)),
  );
}

/**
 * Removes the empty ones. Waits up to 200 ms for processes that are just ending. It is synchronous, so that
 * it works while the process exits.
 */
function removeAll(own: readonly string[], parents: readonly string[]): string[] {
  for (let tries = 0; own.some(exists) && tries < RETRIES; tries++) {
    for (const path of own) removeTree(path);
    if (own.some(exists)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
  }
  // The longest paths come first, because a parent must be empty. A parent with cgroups of others stays.
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
