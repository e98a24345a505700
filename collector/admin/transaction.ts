import type { DatabaseSync } from 'node:sqlite';

/**
 * Runs `work` in a transaction: all of its changes are stored, or none. The write lock is taken first, so
 * that values that are read inside are still true when it writes. A transaction within another is stored with
 * the outer one, and fails alone.
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
