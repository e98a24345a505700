/**
 * Recognises a full disk at the start of a collector, and describes it: which disk, how much is free, and
 * what to do.
 */
import { statfsSync } from 'node:fs';
import { OperatorError } from '../../../common/operator_error.ts';

/** Result codes: https://www.sqlite.org/rescode.html */
const SQLITE_IOERR = 10;
const SQLITE_FULL = 13;
/**
 * SQLite reports an I/O error where it cannot create its shared memory. With less free space than this, space
 * is the reason.
 */
const TOO_LITTLE_BYTES = 1024 * 1024;

/**
 * The collector can start as soon as there is space. Waiting for it is better than restarting again and
 * again.
 */
export class DiskFullError extends OperatorError {
  constructor(file: string, dataDir: string, cause: unknown) {
    super(
      1,
      `The store ${file} cannot be opened, because its disk is full: ${bytesText(freeBytes(dataDir))} are free on the file system of ${dataDir}. Free some space there, or move data_dir to a larger disk. Agents keep their records until then.`,
      { cause },
    );
  }
}

/** Tells whether an error of opening a database in this directory means that the disk is full. */
export function isDiskFull(error: unknown, dataDir: string): boolean {
  const { code, errcode } = error as { code?: string; errcode?: number };
  if (code === 'ENOSPC' || code === 'EDQUOT' || errcode === SQLITE_FULL) return true;
  // The low byte is the code itself; the rest tells which operation failed.
  const isInputOutput = errcode !== undefined && (errcode & 0xff) === SQLITE_IOERR;
  const free = isInputOutput ? freeBytes(dataDir) : null;
  return free !== null && free < TOO_LITTLE_BYTES;
}

/** Returns null where the file system cannot tell. */
function freeBytes(dataDir: string): number | null {
  try {
    const { bavail, bsize } = statfsSync(dataDir);
    return bavail * bsize;
  } catch {
    return null;
  }
}

function bytesText(bytes: number | null): string {
  if (bytes === null) return 'an unknown number of bytes';
  return bytes < 1_000_000 ? `${bytes} bytes` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}
