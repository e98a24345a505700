/** Writes small files that are replaced as a whole: a reader finds the old one or the new one. */
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface AtomicFileOptions {
  /** Permissions of the file. By default only its owner may read it. */
  mode?: number;
  /** False for a file whose loss in a power cut does no harm: then nothing is synced. */
  isDurable?: boolean;
}

/**
 * Writes the file durably: when this returns, a power cut does not undo it. A symbolic link under that name
 * is replaced, not followed. Throws errors of the file system, and leaves no draft behind then.
 */
export function writeFileAtomically(
  directory: string,
  name: string,
  text: string,
  { mode = 0o600, isDurable = true }: AtomicFileOptions = {},
): void {
  const path = join(directory, name);
  const draft = `${path}.new`;
  rmSync(draft, { force: true });
  const fd = openSync(draft, 'wx', mode);
  try {
    try {
      writeFileSync(fd, text);
      if (isDurable) fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(draft, path);
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  }
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
