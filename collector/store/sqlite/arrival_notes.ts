/**
 * Notes the calls of a transaction in the order in which they are stored. Transactions of the embedded store are made one
 * after the other, so the order of the notes is the order of the commits.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import {
  ARRIVALS_FOLLOWED_US,
  ARRIVALS_NOTED,
  ARRIVALS_SINCE_US,
  type CallKey,
  notesOf,
} from '../arrivals.ts';

export class ArrivalNotes {
  readonly #value: StatementSync;
  readonly #setValue: StatementSync;
  readonly #add: StatementSync;
  readonly #forget: StatementSync;
  #areWanted: boolean | null = null;
  #keys: CallKey[] = [];

  constructor(database: DatabaseSync) {
    this.#value = database.prepare('SELECT value FROM sums WHERE name = ?');
    this.#setValue = database.prepare(
      'INSERT INTO sums VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value',
    );
    this.#add = database.prepare(
      `INSERT INTO arrivals (last, calls, stored_us, oldest_us, newest_us, keys)
       VALUES ((SELECT coalesce(max(last), 0) FROM arrivals) + ?1, ?1, ?2, ?3, ?4, ?5)`,
    );
    this.#forget = database.prepare(
      'DELETE FROM arrivals WHERE last <= ? AND last < (SELECT max(last) FROM arrivals)',
    );
  }

  /** Begins notes where there are none. Returns when they were begun. Must be called in a transaction. */
  begin(nowUs: number): number {
    const sinceUs = this.#valueOf(ARRIVALS_SINCE_US);
    this.#areWanted = null;
    if (this.#valueOf(ARRIVALS_NOTED) === 1 && sinceUs !== null) return sinceUs;
    const begunUs = Math.max(nowUs, (sinceUs ?? 0) + 1);
    this.#setValue.run(ARRIVALS_NOTED, 1);
    this.#setValue.run(ARRIVALS_SINCE_US, begunUs);
    return begunUs;
  }

  /** Must be called in a transaction. */
  follow(nowUs: number): number {
    this.#setValue.run(ARRIVALS_FOLLOWED_US, Math.max(nowUs, this.#valueOf(ARRIVALS_FOLLOWED_US) ?? 0));
    return this.begin(nowUs);
  }

  /** Must be called in a transaction. */
  end(unlessFollowedUs: number): void {
    if ((this.#valueOf(ARRIVALS_FOLLOWED_US) ?? 0) >= unlessFollowedUs) return;
    this.#areWanted = null;
    this.#setValue.run(ARRIVALS_NOTED, 0);
    this.forget(Number.MAX_SAFE_INTEGER);
  }

  /** Deletes notes up to a position. The last one stays. */
  forget(upTo: number): void {
    this.#forget.run(upTo);
  }

  add(host: number, timeUs: number, id: Uint8Array): void {
    this.#areWanted ??= this.#valueOf(ARRIVALS_NOTED) === 1;
    if (!this.#areWanted) return;
    this.#keys.push({
      host,
      timeUs,
      id: Buffer.from(id.buffer, id.byteOffset, id.byteLength).toString('hex'),
    });
  }

  /** Stores the notes of the transaction. */
  flush(nowUs: number): void {
    if (this.#keys.length === 0) return;
    for (const { calls, oldestUs, newestUs, keys } of notesOf(this.#keys)) {
      this.#add.run(calls, nowUs, oldestUs, newestUs, keys);
    }
    this.#keys = [];
  }

  /** Forgets what was not stored. */
  reset(): void {
    this.#keys = [];
    this.#areWanted = null;
  }

  #valueOf(name: string): number | null {
    const row = this.#value.get(name);
    return row === undefined ? null : Number(row['value']);
  }
}
