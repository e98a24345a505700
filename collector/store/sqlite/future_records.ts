/**
 * Records that are dated later than the collector's clock allows. A host whose clock is years ahead, or that
 * lies, must not occupy the future: its calls would block it, and no retention would delete them, until that
 * time has come.
 *
 * A call is never dropped for its date: it counts at the time of its receipt. A coverage report cannot say
 * which time it is about: it is refused. The host has a gap `not_kept` that says how many of which.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { DAY_US } from '../../contract/window.ts';

/** Wrong time zones and slow corrections stay below it. */
export const MAX_AHEAD_US = DAY_US;

export const FUTURE_CALLS_TABLE = `
  -- Calls that are stored at the time of their receipt: the same call may be sent again.
  CREATE TABLE future_calls (id BLOB PRIMARY KEY, stored_us INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE INDEX future_calls_by_time ON future_calls (stored_us);
`;

export class FutureRecords {
  readonly #add: StatementSync;
  readonly #find: StatementSync;

  constructor(database: DatabaseSync) {
    this.#add = database.prepare(
      'INSERT INTO future_calls (id, stored_us) VALUES (?, ?) ON CONFLICT DO NOTHING',
    );
    this.#find = database.prepare('SELECT stored_us FROM future_calls WHERE id = ?');
  }

  /** Returns the time at which a call counts that was received now, or was received before. */
  storedTimeUs(id: Uint8Array, nowUs: number): number {
    if (this.#add.run(id, nowUs).changes === 1) return nowUs;
    return Number(this.#find.get(id)!['stored_us']);
  }
}

export function isFuture(timeUs: number, nowUs: number): boolean {
  return timeUs > nowUs + MAX_AHEAD_US;
}
