/**
 * Allows one collector per data_dir. Two would not know of each other's rows, and a restore would damage the
 * store of a running one.
 *
 * The lock is a transaction on an otherwise empty database file. The kernel releases it when the process
 * ends, in whatever way.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { OperatorError } from '../../../common/operator_error.ts';

const LOCK_FILE = 'collector.lock';
/** https://www.sqlite.org/rescode.html#busy */
const SQLITE_BUSY = 5;

export function lockFileOf(dataDir: string): string {
  return join(dataDir, LOCK_FILE);
}

/**
 * Locks `dataDir` and returns the function that releases it. Throws `OperatorError` while another process
 * holds the lock.
 */
export function lockDataDir(dataDir: string): () => void {
  const file = lockFileOf(dataDir);
  let database: DatabaseSync | null = null;
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    database = new DatabaseSync(file, { timeout: 0 });
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
  } catch (error) {
    database?.close();
    const { errcode, message } = error as { errcode?: number; message: string };
    if (errcode === SQLITE_BUSY) {
      throw new OperatorError(
        1,
        `A collector is running on ${dataDir}. Stop it first, or use another data_dir.`,
        {
          cause: error,
        },
      );
    }
    throw new OperatorError(
      3,
      `The lock ${file} cannot be taken: ${message}. Run as the user that owns ${dataDir} (or root), or set another data_dir.`,
      { cause: error },
    );
  }
  const held = database;
  return () => {
    if (held.isOpen) held.close();
  };
}
