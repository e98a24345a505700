/**
 * Makes the data directory of a new PostgreSQL server. `initdb` takes 2 s of a processor, and a run of all tests needs it
 * some forty times, so its result is kept in `.runtime` and copied.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';

const KEPT_IN = join(import.meta.dirname, '../../.runtime/postgres-data');
const KEY_CHARACTERS = 16;

/** `initdb` runs the program with these arguments, as the owner. `owner` is null where that is this user. */
export function makeDataDirectory(
  data: string,
  programs: string,
  owner: { uid: number } | null,
  initdb: (args: readonly string[]) => void,
): void {
  const { mtimeMs } = statSync(join(programs, 'initdb'));
  const made = createHash('sha256').update(`${programs} ${mtimeMs} ${owner?.uid}`).digest('hex');
  const kept = join(KEPT_IN, made.slice(0, KEY_CHARACTERS));
  if (existsSync(kept)) {
    execFileSync('cp', ['-a', '--reflink=auto', kept, data]);
    return;
  }
  initdb(['-D', data, '-U', 'postgres', '-E', 'UTF8', '--locale=C', '--auth=trust', '--no-sync']);
  mkdirSync(KEPT_IN, { recursive: true });
  const apart = `${kept}.${process.pid}`;
  execFileSync('cp', ['-a', '--reflink=auto', data, apart]);
  try {
    renameSync(apart, kept);
  } catch {
    // Another test has kept its own meanwhile.
    rmSync(apart, { recursive: true, force: true });
  }
}
