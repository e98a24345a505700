import type { DatabaseSync } from 'node:sqlite';

/**
 * All of it or nothing. The write lock is taken first: what is read inside is still true when it is written.
 * One within another lasts when the outer one does, and fails alone.
 */
export function transaction<T>(database: DatabaseSync, work: () => T): T {
  const isWithin = database.isTransaction;
  database.exec(isWithin ? 'SAVEPOINT part' : 'BEGIN IMMEDIATE');
  try {
    const result = work();
    database.exec(isWithin ? 'RELEASE part' : 'COMMIT');
    return result;
  } catch (error) {
    if (database.isTransaction) database.exec(isWithin ? 'ROLLBACK TO part; RELEASE part' : 'ROLLBACK');
    throw error;
  }
}
