/**
 * One process per spool. The lock names its holder by pid, start time and boot, so that what a killed holder left
 * is told from a living one: start time is field 22 of /proc/PID/stat (proc(5)), in clock ticks since boot.
 */
import { linkSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { OperatorError } from '../../protocol/operator_error.ts';

export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

/** Takes the lock of a spool's directory; returns what gives it back. Throws `OperatorError` when another has it. */
export function lockSpool(directory: string): () => void {
  const path = join(directory, 'lock');
  const claim = `${path}.${process.pid}`;
  const own = holder(process.pid)!;
  writeFileSync(claim, own, { mode: 0o600 });
  try {
    // A link is made only where none is: of two processes that start at once one wins.
    for (let attempt = 0; ; attempt += 1) {
      try {
        linkSync(claim, path);
        break;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
        const other = readFileSync(path, 'utf8');
        const pid = Number(other.split(' ')[0]);
        const alive = other !== own && Number.isInteger(pid) && pid > 0 && holder(pid) === other;
        if (alive || attempt > 0) {
          throw new OperatorError(
            1,
            `The spool ${directory} is in use by the process ${pid}. Stop it, or give this agent its own spool_dir.`,
          );
        }
        unlinkSync(path);
      }
    }
  } finally {
    unlinkSync(claim);
  }
  return () => {
    try {
      unlinkSync(path);
    } catch (error) {
      // A lock that is already gone is what was wanted; any other failure leaves one that the next start sees through.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') return;
    }
  };
}

/** Pid of the living process that has the spool; null when none has. Throws what the file system throws, but for ENOENT. */
export function spoolHolder(directory: string): number | null {
  let text: string;
  try {
    text = readFileSync(join(directory, 'lock'), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  const pid = Number(text.split(' ')[0]);
  return Number.isInteger(pid) && pid > 0 && holder(pid) === text ? pid : null;
}

function holder(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const startTicks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
    return `${pid} ${startTicks} ${bootId()}`;
  } catch {
    return null;
  }
}
