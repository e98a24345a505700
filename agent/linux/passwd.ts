/** User names by uid, from a passwd file (passwd(5)), read again when it changes. */
import { readFileSync, statSync } from 'node:fs';
import type { Counters } from '../../protocol/records.ts';
import { maskPath } from '../secrets/mask.ts';

/** Shortest time between two checks of the file, in milliseconds. */
const RECHECK_MS = 1000;

/**
 * Parses lines `name:password:uid:gid:comment:home:shell`. Lines with less than four fields, without a name
 * or with a uid that is no number are skipped, as are NIS entries (`+…`, `-…`). The first line of a uid
 * counts, as in getpwuid(3).
 */
export function parsePasswd(text: string): Map<number, string> {
  const names = new Map<number, string>();
  for (const line of text.split('\n')) {
    if (line.startsWith('#') || line.startsWith('+') || line.startsWith('-')) continue;
    const fields = line.split(':');
    const [name, , uid] = fields;
    if (fields.length < 4 || !name || uid === undefined || !/^\d{1,10}$/.test(uid)) continue;
    if (!names.has(Number(uid))) names.set(Number(uid), maskPath(name));
  }
  return names;
}

export class UserNames {
  readonly #path: string;
  readonly #now: () => number;
  #names = new Map<number, string>();
  #version = '';
  #checkedAtMs = Number.NEGATIVE_INFINITY;
  #readings = 0;
  #unreadable = 0;

  constructor(path: string, now: () => number) {
    this.#path = path;
    this.#now = now;
  }

  /** Returns null when the file does not have the uid, or cannot be read. */
  nameOf(uid: number): string | null {
    const now = this.#now();
    if (now - this.#checkedAtMs >= RECHECK_MS) {
      this.#checkedAtMs = now;
      this.#refresh();
    }
    return this.#names.get(uid) ?? null;
  }

  #refresh(): void {
    try {
      const { mtimeMs, ino, size } = statSync(this.#path);
      const version = `${ino}/${size}/${mtimeMs}`;
      if (version === this.#version) return;
      this.#names = parsePasswd(readFileSync(this.#path, 'utf8'));
      this.#version = version;
      this.#readings++;
    } catch {
      // An image without users has no such file: then no uid has a name.
      this.#names = new Map();
      this.#version = '';
      this.#unreadable++;
    }
  }

  counters(): Counters {
    return { passwd_readings: this.#readings, passwd_unreadable: this.#unreadable };
  }
}
