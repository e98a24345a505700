/**
 * A lock that lets one process use a directory. It names its holder by pid, start time (field 22 of
 * /proc/PID/stat) and boot, so that the lock of a killed holder can be distinguished from that of a living
 * one.
 */
import { readFileSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { OperatorError } from '../../common/operator_error.ts';
import { bootId } from './boot_id.ts';
import { whileLocked } from './file_lock.ts';
import { parseStat } from './proc_stat.ts';

/** The lock of the directory is held for microseconds, by a process that claims or replaces the lock file. */
const CLAIM_ATTEMPTS = 100;
const CLAIM_RETRY_MS = 10;

/** Texts for an operator whose process does not get the lock: whole sentences that say what to do. */
export interface LockTexts {
  /** Another process takes or replaces the lock all the time. */
  contested: string;
  heldBy: (pid: number) => string;
}

/**
 * Takes the lock of a directory. Returns the function that releases it. Throws `OperatorError` when a living
 * process has it.
 *
 * A dead holder's file is checked and replaced under a lock of the directory itself. Without that, two
 * processes that both read the dead holder's file could each delete "it", and the second would delete the
 * fresh lock of the first.
 */
export function lockDirectory(directory: string, texts: LockTexts): () => void {
  const path = join(directory, 'lock');
  for (let attempt = 0; ; attempt += 1) {
    if (whileLocked(directory, () => claim(path, texts)) !== null) break;
    if (attempt >= CLAIM_ATTEMPTS) {
      throw new OperatorError(1, texts.contested);
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, CLAIM_RETRY_MS);
  }
  return () => {
    try {
      unlinkSync(path);
    } catch (error) {
      // A lock that is already gone needs nothing. After any other failure the next start sees that its
      // holder is dead.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') return;
    }
  };
}

function claim(path: string, { heldBy }: LockTexts): void {
  const ownText = holderText(process.pid)!;
  const other = readIfThere(path);
  const pid = Number(other?.split(' ')[0]);
  if (other !== null && other !== ownText && isLiving(pid, other)) {
    throw new OperatorError(1, heldBy(pid));
  }
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, ownText, { mode: 0o600 });
  renameSync(draft, path);
}

function readIfThere(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

function isLiving(pid: number, text: string): boolean {
  return Number.isInteger(pid) && pid > 0 && holderText(pid) === text;
}

/**
 * Returns the pid of the living process that has the directory; null without one. Throws file errors, except
 * ENOENT.
 */
export function directoryHolder(directory: string): number | null {
  const text = readIfThere(join(directory, 'lock'));
  const pid = Number(text?.split(' ')[0]);
  return text !== null && isLiving(pid, text) ? pid : null;
}

function holderText(pid: number): string | null {
  try {
    const stat = parseStat(readFileSync(`/proc/${pid}/stat`));
    return stat === null ? null : `${pid} ${stat.startTicks} ${bootId()}`;
  } catch {
    return null;
  }
}
