/**
 * One collector a data_dir: two would not know of each other's rows, and a restore under a running one would tear its store apart.
 *
 * The lock is a transaction on an otherwise empty database file: the kernel releases it when its process ends, however it does.
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

/** Returns what releases it. Throws `OperatorError` while another process has it. */
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
      throw new OperatorError(1, `A collector runs on ${dataDir}. Stop it first, or use another data_dir.`, {
        cause: error,
      });
    }
    throw new OperatorError(
      3,
      `The lock ${file} cannot be had: ${message}. Run as the user that owns ${dataDir} (or root), or set another data_dir.`,
      { cause: error },
    );
  }
  const held = database;
  return () => {
    if (held.isOpen) held.close();
  };
}
