/**
 * The partitions of raw calls, by the day of the call, and of record ids, by the day of their receipt. Rows of other days
 * than these are in the default partition: a host whose clock is years off must not make a table for each day.
 */
import { DAY_US } from '../../contract/window.ts';
import type { StoredBatch } from '../store.ts';
import { toMicroseconds } from '../time.ts';
import { PARTITIONS_LOCK } from './advisory_locks.ts';
import { isConnectionLost } from './database_errors.ts';
import type { DatabasePool } from './database_pool.ts';

export type Partitioned = 'calls' | 'record_ids';

/** Days before today for which calls have partitions of their own, and after it. */
const DAYS_BEFORE = 31;
const DAYS_AFTER = 2;

export function partitionName(table: Partitioned, day: number): string {
  return `${table}_${day}`;
}

export class Partitions {
  readonly #pool: DatabasePool;
  readonly #nowUs: () => number;
  readonly #daysBefore: number;
  /** Days that need nothing more: they have a partition, or the default one has rows of them. */
  readonly #done: Record<Partitioned, Set<number>> = { calls: new Set(), record_ids: new Set() };

  /** `daysBefore`: days before today that get partitions of their own. */
  constructor(pool: DatabasePool, nowUs: () => number, daysBefore: number = DAYS_BEFORE) {
    this.#pool = pool;
    this.#nowUs = nowUs;
    this.#daysBefore = daysBefore;
  }

  /** Makes the partitions of days since 1970, where they are to have some. */
  async ensure(table: Partitioned, days: Iterable<number>): Promise<void> {
    const today = Math.floor(this.#nowUs() / DAY_US);
    for (const day of days) {
      if (this.#done[table].has(day) || day < today - this.#daysBefore || day > today + DAYS_AFTER) continue;
      await this.#make(table, day);
      this.#done[table].add(day);
    }
  }

  /**
   * Makes the partitions of the records of batches. Must be called outside a transaction that writes records, which would
   * wait for itself.
   */
  async ensureFor(batches: readonly StoredBatch[]): Promise<void> {
    const days = new Set<number>();
    for (const { records } of batches) {
      for (const record of records) {
        if (record.kind === 'call') days.add(Math.floor(toMicroseconds(record.call.time) / DAY_US));
      }
    }
    const today = Math.floor(this.#nowUs() / DAY_US);
    // Calls from the future are dated now.
    await this.ensure('calls', days.add(today));
    await this.ensure('record_ids', [today]);
  }

  /** Makes what is needed today and tomorrow, before records need it. */
  async ensureNext(): Promise<void> {
    const today = Math.floor(this.#nowUs() / DAY_US);
    await this.ensure('calls', [today - 1, today, today + 1]);
    await this.ensure('record_ids', [today, today + 1]);
  }

  /** Forgets a day whose partition was dropped. */
  forget(): void {
    this.#done.calls.clear();
    this.#done.record_ids.clear();
  }

  async #make(table: Partitioned, day: number): Promise<void> {
    const name = partitionName(table, day);
    const [from, to] = table === 'calls' ? [day * DAY_US, (day + 1) * DAY_US] : [day, day + 1];
    try {
      await this.#pool.transaction(async (session) => {
        await session.query(`SELECT pg_advisory_xact_lock(${PARTITIONS_LOCK})`);
        const [found] = await session.query<{ there: boolean }>(
          'SELECT to_regclass($1) IS NOT NULL AS there',
          [name],
        );
        if (found!.there) return;
        // To attach a table takes a weaker lock than to create it as a partition.
        await session.query(`CREATE TABLE ${name} (LIKE ${table} INCLUDING ALL)`);
        await session.query(
          `ALTER TABLE ${table} ATTACH PARTITION ${name} FOR VALUES FROM (${from}) TO (${to})`,
        );
      });
    } catch (error) {
      // Rows of the day are in the default partition, or its lock was not free: there is a place for the rows anyway.
      if (isConnectionLost(error)) throw error;
    }
  }
}
