/**
 * Advisory locks on open files (flock(2)), which the kernel releases when their holder ends, however it ends.
 */
import { closeSync, openSync } from 'node:fs';
import { libc } from './libc.ts';

/** include/uapi/asm-generic/fcntl.h; the same on x86-64 and arm64. */
const LOCK_EX = 2;
const LOCK_NB = 4;

/**
 * Runs `action` while this process alone holds the lock of `path` (a file or a directory that exists).
 * Returns null, without running it, when another open file holds that lock now.
 */
export function whileLocked<T>(path: string, action: () => T): { result: T } | null {
  const fd = openSync(path, 'r');
  try {
    if (libc().flock(fd, LOCK_EX | LOCK_NB) !== 0) return null;
    return { result: action() };
  } finally {
    closeSync(fd);
  }
}
