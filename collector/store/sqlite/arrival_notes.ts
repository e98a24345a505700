/**
 * Notes the calls of a transaction in the order in which they are stored. Transactions of the embedded store are made one
 * after the other, so the order of the notes is the order of the commits.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { ARRIVALS_NOTED, type CallKey, notesOf } from '../arrivals.ts';

export class ArrivalNotes {
  readonly #wanted: StatementSync;
  readonly #setWanted: StatementSync;
  readonly #add: StatementSync;
  readonly #forget: StatementSync;
  #areWanted: boolean | null = null;
  #keys: CallKey[] = [];

  constructor(database: DatabaseSync) {
    this.#wanted = database.prepare(`SELECT value FROM sums WHERE name = '${ARRIVALS_NOTED}'`);
    this.#setWanted = database.prepare(
      `INSERT INTO sums VALUES ('${ARRIVALS_NOTED}', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
    );
    this.#add = database.prepare(
      `INSERT INTO arrivals (last, calls, stored_us, oldest_us, newest_us, keys)
       VALUES ((SELECT coalesce(max(last), 0) FROM arrivals) + ?1, ?1, ?2, ?3, ?4, ?5)`,
    );
    this.#forget = database.prepare(
      'DELETE FROM arrivals WHERE last <= ? AND last < (SELECT max(last) FROM arrivals)',
    );
  }

  /** Must be called in a transaction. */
  want(areWanted: boolean): void {
    this.#setWanted.run(Number(areWanted));
    this.#areWanted = areWanted;
    if (!areWanted) this.forget(Number.MAX_SAFE_INTEGER);
  }

  /** Deletes notes up to a position. The last one stays. */
  forget(upTo: number): void {
    this.#forget.run(upTo);
  }

  add(host: number, timeUs: number, id: Uint8Array): void {
    this.#areWanted ??= Number(this.#wanted.get()?.['value'] ?? 0) === 1;
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
}
