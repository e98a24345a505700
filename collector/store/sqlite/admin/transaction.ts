import type { DatabaseSync } from 'node:sqlite';

/** All of it or nothing. The write lock is taken first: what is read inside is still true when it is written. */
export function transaction<T>(database: DatabaseSync, work: () => T): T {
  database.exec('BEGIN IMMEDIATE');
  try {
    const result = work();
    database.exec('COMMIT');
    return result;
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
}
