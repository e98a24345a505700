/** Opens files for readers: only inside the scanned trees, within bounds, with a small cache. */
import { lstatSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname, join, resolve, sep } from 'node:path';
import type { Limits } from './limits.ts';
import { candidate } from './recognise.ts';
import type { SourceFile } from './source_file.ts';
import { shownPath } from './walk.ts';

/** Text of read files that is kept, in bytes, because units are read more than once. */
const CACHE_BYTES = 16 * 1024 * 1024;

export class TreeFiles {
  readonly #working: string;
  readonly #limits: Limits;
  readonly #roots: string[];
  readonly #cache = new Map<string, SourceFile>();
  readonly #given = new Map<string, SourceFile>();
  #cachedBytes = 0;

  /**
   * `paths` are the scanned files and directories. The repository that holds one counts as scanned too, because
   * a module next to the scanned directory belongs to the same code.
   */
  constructor(paths: readonly string[], working: string, limits: Limits) {
    this.#working = working;
    this.#limits = limits;
    this.#roots = paths.map((path) => treeOf(resolve(working, path)));
  }

  /** Adds a file that is on no disk, or that stands for the one on the disk: standard input, edited text. */
  give(file: SourceFile): void {
    this.#given.set(file.path, file);
  }

  /** Returns a file that was given, and null for files of the disk. */
  given(path: string): SourceFile | null {
    return this.#given.get(path) ?? null;
  }

  /** Returns null for a file that is outside, missing, too large or binary. */
  open(path: string): SourceFile | null {
    const given = this.#given.get(path) ?? this.#cache.get(path);
    if (given !== undefined) return given;
    const absolute = resolve(this.#working, path);
    if (!this.#isInside(absolute)) return null;
    let bytes: Uint8Array;
    try {
      const stat = statSync(absolute);
      if (!stat.isFile() || stat.size > this.#limits.fileBytes) return null;
      bytes = readFileSync(absolute);
    } catch {
      return null; // Missing or not readable: the reader says what follows from that.
    }
    const source = candidate(shownPath(absolute, this.#working), bytes)?.source() ?? null;
    if (source !== null) this.#keep(path, source);
    return source;
  }

  list(directory: string): string[] {
    const given = [...this.#given.keys()].filter((path) => dirname(path) === directory);
    return [...new Set([...given, ...this.#listDisk(directory)])].sort();
  }

  #listDisk(directory: string): string[] {
    const absolute = resolve(this.#working, directory);
    if (!this.#isInside(absolute)) return [];
    try {
      return readdirSync(absolute, { withFileTypes: true })
        .filter((entry) => entry.isFile() || entry.isSymbolicLink())
        .map(({ name }) => shownPath(join(absolute, name), this.#working));
    } catch {
      return [];
    }
  }

  #isInside(absolute: string): boolean {
    let real: string;
    try {
      real = realpathSync(absolute);
    } catch {
      return false;
    }
    return this.#roots.some((root) => real === root || real.startsWith(root === sep ? root : root + sep));
  }

  #keep(path: string, source: SourceFile): void {
    this.#cache.set(path, source);
    this.#cachedBytes += source.bytes.length;
    for (const [oldest, old] of this.#cache) {
      if (this.#cachedBytes <= CACHE_BYTES) break;
      this.#cache.delete(oldest);
      this.#cachedBytes -= old.bytes.length;
    }
  }
}

/** Returns the top of the repository that holds the path; the path's own directory where there is none. */
function treeOf(path: string): string {
  let real: string;
  try {
    real = realpathSync(path);
    if (!statSync(real).isDirectory()) real = dirname(real);
  } catch {
    return path;
  }
  for (let at = real; ; at = dirname(at)) {
    try {
      lstatSync(join(at, '.git'));
      return at;
    } catch {
      if (dirname(at) === at) return real;
    }
  }
}
