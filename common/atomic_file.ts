/**
 * Small files that only their owner may read, and that are replaced as a whole: a reader finds the old one or
 * the new one.
 */
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Writes the file durably: when this returns, a power cut does not undo it. A symbolic link under that name
 * is replaced, not followed. Throws errors of the file system.
 *
 * @param isDurable false for a file whose loss in a power cut does no harm: then nothing is synced.
 */
export function writePrivateFile(directory: string, name: string, text: string, isDurable = true): void {
  const path = join(directory, name);
  const draft = `${path}.new`;
  rmSync(draft, { force: true });
  const fd = openSync(draft, 'wx', 0o600);
  try {
    writeSync(fd, text);
    if (isDurable) fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(draft, path);
  if (isDurable) syncDirectory(directory);
}

/** Makes the names in a directory durable. Throws errors of the file system. */
export function syncDirectory(directory: string): void {
  const fd = openSync(directory, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
