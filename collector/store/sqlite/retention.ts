/**
 * What is old goes, and what is too much: raw records after `rawDays`, roll-ups after `rollupDays`, and the
 * oldest raw records earlier where the store would become larger than `maxBytes`, its write-ahead log and the
 * other databases included. Then what nothing refers to any more.
 *
 * In small transactions, so that what agents send is written in between. Pages that become free are given
 * back to the file system, but for some that the next records will need.
 */
import type { DatabaseSync, SQLInputValue } from 'node:sqlite';
import { DAY_US, HOUR_US } from '../../contract/window.ts';
import type { Retention, RetentionResult } from '../store.ts';
import { FORGOTTEN_UNTIL_US } from './coverage_reader.ts';
import { bytesBeside, emptyLog, usedBytes } from './database.ts';
import { shrinkStep } from './file_space.ts';
import type { FindingsWriter } from './findings_writer.ts';
import { CHANGE_DAY } from './tally.ts';
import { KIND_CLASS } from './total_rows.ts';

const CHUNK_ROWS = 5000;
/** When the bound is met, this share of it is left free, so that not every call written deletes another. */
const HEADROOM_SHARE = 0.05;
/**
 * Dictionaries are left alone this long after their last use: batches of slow agents may still refer to them.
 */
const UNUSED_US = DAY_US;

export async function retain(
  database: DatabaseSync,
  writer: FindingsWriter,
  { rawDays, rollupDays, maxBytes }: Retention,
  nowUs: number,
): Promise<RetentionResult> {
  const cleaner = new Cleaner(database, writer);
  const rawUs = nowUs - rawDays * DAY_US;
  const rollupUs = nowUs - rollupDays * DAY_US;
  const result = { callsDeleted: 0, rollupsDeleted: 0, coverageDeleted: 0, bytes: 0 };
  result.callsDeleted += await cleaner.all(() => cleaner.calls(rawUs));
  result.rollupsDeleted += await cleaner.all(() => cleaner.rawRollups(rawUs));
  result.coverageDeleted += await cleaner.all(() => cleaner.coverage(rawUs));
  result.rollupsDeleted += await cleaner.all(() => cleaner.buckets(rollupUs));
  await cleaner.all(() => cleaner.watches(rollupUs));
  // What the log holds is in the database afterwards, and is not counted twice.
  emptyLog(database);
  const roomBytes = maxBytes - bytesBeside(database);
  if (usedBytes(database) > roomBytes) {
    const target = roomBytes * (1 - HEADROOM_SHARE);
    const tooMuch = () => usedBytes(database) > target;
    result.callsDeleted += await cleaner.all(() => cleaner.calls(Number.MAX_SAFE_INTEGER), tooMuch);
    result.rollupsDeleted += await cleaner.all(() => cleaner.rawRollups(Number.MAX_SAFE_INTEGER), tooMuch);
    result.coverageDeleted += await cleaner.all(() => cleaner.coverage(Number.MAX_SAFE_INTEGER), tooMuch);
  }
  await cleaner.all(() => cleaner.futureCalls());
  await cleaner.unused(rollupUs, nowUs - UNUSED_US);
  // Calls are kept in a bound that callers alone could break: roll-ups are what is left to give.
  if (usedBytes(database) > roomBytes) {
    const tooMuch = () => usedBytes(database) > roomBytes;
    result.rollupsDeleted += await cleaner.all(() => cleaner.buckets(nowUs - DAY_US), tooMuch);
  }
  while (shrinkStep(database)) await new Promise((resolve) => setImmediate(resolve));
  emptyLog(database);
  result.bytes = usedBytes(database) + bytesBeside(database);
  return result;
}

class Cleaner {
  readonly #database: DatabaseSync;
  readonly #writer: FindingsWriter;

  constructor(database: DatabaseSync, writer: FindingsWriter) {
    this.#database = database;
    this.#writer = writer;
  }

  /** Chunk after chunk, each a transaction, until nothing is left or enough was deleted. */
  async all(chunk: () => number, wanted: () => boolean = () => true): Promise<number> {
    let total = 0;
    while (wanted()) {
      const deleted = this.#writer.transaction(chunk);
      if (deleted === 0) break;
      total += deleted;
      await new Promise((resolve) => setImmediate(resolve));
    }
    return total;
  }

  #delete(sql: string, ...values: SQLInputValue[]): number {
    return Number(this.#database.prepare(sql).run(...values).changes);
  }

  /** The oldest ones. */
  calls(beforeUs: number): number {
    const deleted = this.#delete(
      `DELETE FROM calls WHERE (time_us, id) IN
         (SELECT time_us, id FROM calls WHERE time_us < ? ORDER BY time_us, id LIMIT ${CHUNK_ROWS})`,
      beforeUs,
    );
    if (deleted > 0) this.#delete(`UPDATE sums SET value = value - ? WHERE name = 'calls'`, deleted);
    return deleted;
  }

  /** Deletes the notes of calls that were stored at the time of their receipt, and are deleted. */
  futureCalls(): number {
    return this.#delete(
      `DELETE FROM future_calls WHERE id IN
         (SELECT id FROM future_calls WHERE stored_us < coalesce((SELECT min(time_us) FROM calls), ${Number.MAX_SAFE_INTEGER})
          LIMIT ${CHUNK_ROWS})`,
    );
  }

  /** As agents sent them; what they counted stays in the roll-ups by hour and day. */
  rawRollups(beforeUs: number): number {
    const oldest = `SELECT id FROM rollups WHERE last_us < ? ORDER BY last_us LIMIT ${CHUNK_ROWS}`;
    this.#delete(`DELETE FROM rollup_lines WHERE rollup IN (${oldest})`, beforeUs);
    return this.#delete(`DELETE FROM rollups WHERE id IN (${oldest})`, beforeUs);
  }

  coverage(beforeUs: number): number {
    return this.#delete(
      `DELETE FROM coverage WHERE id IN (SELECT id FROM coverage WHERE end_us < ? ORDER BY end_us LIMIT ${CHUNK_ROWS})`,
      beforeUs,
    );
  }

  /** The oldest hour or day of one class of one of the roll-ups. */
  buckets(beforeUs: number): number {
    for (const { table, unit, us } of [
      { table: 'hourly', unit: 'hour', us: HOUR_US },
      { table: 'fleet_hourly', unit: 'hour', us: HOUR_US },
      { table: 'daily', unit: 'day', us: DAY_US },
      { table: 'fleet_daily', unit: 'day', us: DAY_US },
    ]) {
      for (const kindClass of Object.values(KIND_CLASS)) {
        const row = this.#database
          .prepare(`SELECT min(${unit}) AS oldest FROM ${table} WHERE class = ?`)
          .get(kindClass)!;
        const oldest = row['oldest'] as number | null;
        if (oldest === null || (oldest + 1) * us > beforeUs) continue;
        if (kindClass === KIND_CLASS.v1) this.#forgot((oldest + 1) * us);
        this.#database.prepare(CHANGE_DAY).run(Math.floor((oldest * us) / DAY_US));
        return this.#delete(`DELETE FROM ${table} WHERE class = ? AND ${unit} = ?`, kindClass, oldest);
      }
    }
    return 0;
  }

  /** IMDSv1 calls or gaps up to then are gone: from here on nothing before it is known of any host. */
  #forgot(untilUs: number): void {
    this.#database
      .prepare(
        `INSERT INTO sums VALUES ('${FORGOTTEN_UNTIL_US}', ?)
         ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)`,
      )
      .run(untilUs);
  }

  /** What is known of when hosts were watched, and of hosts that are long gone. */
  watches(beforeUs: number): number {
    const { latest } = this.#database
      .prepare('SELECT max(end_us) AS latest FROM gaps WHERE end_us < ?')
      .get(beforeUs) as { latest: number | null };
    if (latest !== null) this.#forgot(latest);
    return (
      this.#delete(
        `DELETE FROM gaps WHERE (host, reason, start_us) IN
           (SELECT host, reason, start_us FROM gaps WHERE end_us < ? ORDER BY end_us LIMIT ${CHUNK_ROWS})`,
        beforeUs,
      ) +
      this.#delete(
        `DELETE FROM coverage_days WHERE (day, host) IN
           (SELECT day, host FROM coverage_days WHERE day < ? LIMIT ${CHUNK_ROWS})`,
        Math.floor(beforeUs / DAY_US),
      ) +
      this.#delete('DELETE FROM boots WHERE last_us < ?', beforeUs) +
      this.#delete('DELETE FROM cloud_counts WHERE end_us < ?', beforeUs)
    );
  }

  /** Every table in slices, so that no transaction looks through all of one. */
  async unused(rollupUs: number, unusedUs: number): Promise<void> {
    const row = this.#database
      .prepare(
        `SELECT (SELECT min(time_us) FROM calls) AS calls, (SELECT min(last_us) FROM rollups) AS rollups`,
      )
      .get() as { calls: number | null; rollups: number | null };
    const oldestRawUs = Math.min(row.calls ?? unusedUs, row.rollups ?? unusedUs, unusedUs);
    await this.#slices('callers', `last_us < ${oldestRawUs}`);
    await this.#slices('shapes', `last_us < ${oldestRawUs}`);
    await this.#slices('kinds', `last_us < ${Math.min(rollupUs - DAY_US, oldestRawUs)}`);
    await this.#slices(
      'user_agents',
      `last_us < ${oldestRawUs} AND NOT EXISTS (SELECT 1 FROM kinds WHERE user_agent = user_agents.id)`,
    );
    await this.all(() => this.#delete('DELETE FROM identity_hosts WHERE last_us < ?', rollupUs - DAY_US));
    await this.all(() => this.#delete('DELETE FROM paths_v1 WHERE last_us < ?', rollupUs - DAY_US));
    await this.#slices(
      'identities',
      `NOT EXISTS (SELECT 1 FROM identity_hosts WHERE identity = identities.id)
       AND NOT EXISTS (SELECT 1 FROM callers WHERE identity = identities.id)`,
    );
    await this.all(() => this.#hosts(Math.min(rollupUs - DAY_US, oldestRawUs)));
    this.#writer.forget();
  }

  async #slices(table: string, unused: string): Promise<void> {
    const row = this.#database.prepare(`SELECT max(id) AS last FROM ${table}`).get();
    const last = Number(row?.['last'] ?? 0);
    for (let from = 0; from <= last; from += CHUNK_ROWS) {
      this.#writer.transaction(() => {
        const deleted = this.#delete(
          `DELETE FROM ${table} WHERE id >= ? AND id < ? AND ${unused}`,
          from,
          from + CHUNK_ROWS,
        );
        if (deleted > 0) this.#writer.forget();
      });
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  #hosts(beforeUs: number): number {
    const gone = this.#database
      .prepare(
        `SELECT id, hosts.host_id AS hostId FROM hosts LEFT JOIN heartbeats ON heartbeats.host_id = hosts.host_id
         WHERE last_us < ?1 AND coalesce(received_us, 0) < ?1 LIMIT 100`,
      )
      .all(beforeUs);
    for (const { id, hostId } of gone) {
      this.#delete('DELETE FROM streams WHERE host = ?', id!);
      for (const table of [
        'watched',
        'runs',
        'host_usage',
        'boots',
        'gaps',
        'coverage_days',
        'identity_hosts',
        'callers',
      ]) {
        this.#delete(`DELETE FROM ${table} WHERE host = ?`, id!);
      }
      for (const table of ['heartbeats', 'cloud_counts', 'cloud_instances']) {
        this.#delete(`DELETE FROM ${table} WHERE host_id = ?`, hostId!);
      }
      this.#delete('DELETE FROM hosts WHERE id = ?', id!);
    }
    // Before anything else is written: a batch of one of these hosts must make it anew.
    if (gone.length > 0) this.#writer.forget();
    return gone.length;
  }
}
