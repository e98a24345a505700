/**
 * Deletes raw records after `rawDays` and roll-ups after `rollupDays`. Deletes the oldest raw records earlier
 * where the store would exceed `maxBytes`, with its write-ahead log and the other databases. Then it deletes
 * the rows that nothing refers to any more.
 *
 * All of this happens in small transactions, so that records of agents are written in between. Free pages are
 * given back to the file system, except for some that the next records will need.
 */
import type { DatabaseSync, SQLInputValue } from 'node:sqlite';
import { DAY_US, HOUR_US } from '../../contract/window.ts';
import type { Retention, RetentionResult } from '../store.ts';
import { CALLER_TIME_US } from './callers.ts';
import { CloudBriefs } from './cloud_briefs.ts';
import { CHANGE_DAY } from './counted_rows.ts';
import { FORGOTTEN_UNTIL_US } from './coverage_reader.ts';
import { bytesBeside, emptyLog, usedBytes } from './database.ts';
import { shrinkStep } from './file_space.ts';
import type { FindingsWriter } from './findings_writer.ts';
import { KIND_CLASS } from './total_rows.ts';

/** Tables whose rows go with their host, in both stores, besides `streams`. */
export const TABLES_OF_HOST: readonly string[] = [
  'watched',
  'runs',
  'host_usage',
  'boots',
  'gaps',
  'coverage_days',
  'identity_hosts',
  'measured_hops',
  'host_profiles',
  'cloud_briefs',
  'callers',
];
/** Row of `sums`: retention has deleted sums of hours and days up to this time, of whatever class. Both stores have it. */
export const SUMS_DELETED_UNTIL_US = 'sums_deleted_until_us';
const CHUNK_ROWS = 5000;
/** Share of the bound that is freed as well. Without it every call that is written would delete another. */
const HEADROOM_SHARE = 0.05;
/**
 * Rows of dictionaries are kept for this time after their last use. Batches of slow agents may still refer to
 * them.
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
  result.callsDeleted += await cleaner.deleteAll(() => cleaner.calls(rawUs));
  result.rollupsDeleted += await cleaner.deleteAll(() => cleaner.rawRollups(rawUs));
  result.coverageDeleted += await cleaner.deleteAll(() => cleaner.coverage(rawUs));
  result.rollupsDeleted += await cleaner.deleteAll(() => cleaner.buckets(rollupUs));
  await cleaner.deleteAll(() => cleaner.coverageRows(rollupUs));
  // The pages of the log are in the database afterwards, and are not counted twice.
  emptyLog(database);
  const roomBytes = maxBytes - bytesBeside(database);
  if (usedBytes(database) > roomBytes) {
    const target = roomBytes * (1 - HEADROOM_SHARE);
    const tooMuch = () => usedBytes(database) > target;
    result.callsDeleted += await cleaner.deleteAll(() => cleaner.calls(Number.MAX_SAFE_INTEGER), tooMuch);
    result.rollupsDeleted += await cleaner.deleteAll(
      () => cleaner.rawRollups(Number.MAX_SAFE_INTEGER),
      tooMuch,
    );
    result.coverageDeleted += await cleaner.deleteAll(
      () => cleaner.coverage(Number.MAX_SAFE_INTEGER),
      tooMuch,
    );
  }
  await cleaner.deleteAll(() => cleaner.futureCalls());
  await cleaner.deleteUnused(rollupUs, nowUs - UNUSED_US);
  // Callers and other rows may exceed the bound without any call. Then only roll-ups are left to delete.
  if (usedBytes(database) > roomBytes) {
    const tooMuch = () => usedBytes(database) > roomBytes;
    result.rollupsDeleted += await cleaner.deleteAll(() => cleaner.buckets(nowUs - DAY_US), tooMuch);
  }
  while (shrinkStep(database)) await new Promise((resolve) => setImmediate(resolve));
  emptyLog(database);
  result.bytes = usedBytes(database) + bytesBeside(database);
  return result;
}

class Cleaner {
  readonly #database: DatabaseSync;
  readonly #writer: FindingsWriter;
  readonly #briefs: CloudBriefs;

  constructor(database: DatabaseSync, writer: FindingsWriter) {
    this.#database = database;
    this.#writer = writer;
    this.#briefs = new CloudBriefs(database);
  }

  /** Deletes chunk after chunk, each in a transaction, until nothing is left or enough was deleted. */
  async deleteAll(chunk: () => number, wanted: () => boolean = () => true): Promise<number> {
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

  /** Deletes the oldest calls. */
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

  /** Deletes roll-ups that agents sent. Their calls stay counted in the roll-ups by hour and day. */
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

  /** Deletes the oldest hour or day of one class of one of the roll-ups. */
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
        if (kindClass === KIND_CLASS.v1) this.#noteDeleted(FORGOTTEN_UNTIL_US, (oldest + 1) * us);
        this.#noteDeleted(SUMS_DELETED_UNTIL_US, (oldest + 1) * us);
        this.#database.prepare(CHANGE_DAY).run(Math.floor((oldest * us) / DAY_US));
        return this.#delete(`DELETE FROM ${table} WHERE class = ? AND ${unit} = ?`, kindClass, oldest);
      }
    }
    return 0;
  }

  /** Notes up to which time rows were deleted. `name` says which rows. */
  #noteDeleted(name: string, untilUs: number): void {
    this.#database
      .prepare(
        'INSERT INTO sums VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)',
      )
      .run(name, untilUs);
  }

  /** Deletes gaps, days of coverage, boots and the cloud's counts. */
  coverageRows(beforeUs: number): number {
    const { latest } = this.#database
      .prepare('SELECT max(end_us) AS latest FROM gaps WHERE end_us < ?')
      .get(beforeUs) as { latest: number | null };
    if (latest !== null) this.#noteDeleted(FORGOTTEN_UNTIL_US, latest);
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
      this.#deleteFigures('cloud_counts', 'end_us', beforeUs) +
      this.#deleteFigures('cloud_members', 'supplied_us', beforeUs) +
      this.#delete('DELETE FROM cloud_resources WHERE supplied_us < ?', beforeUs)
    );
  }

  #deleteFigures(table: 'cloud_counts' | 'cloud_members', column: string, beforeUs: number): number {
    const deleted = this.#database
      .prepare(`DELETE FROM ${table} WHERE ${column} < ? RETURNING host_id AS hostId`)
      .all(beforeUs);
    for (const hostId of new Set(deleted.map((row) => String(row['hostId'])))) this.#briefs.refresh(hostId);
    return deleted.length;
  }

  /** Deletes rows that nothing refers to, table by table in slices: no transaction reads all of a table. */
  async deleteUnused(rollupUs: number, unusedUs: number): Promise<void> {
    const row = this.#database
      .prepare(
        `SELECT (SELECT min(time_us) FROM calls) AS calls, (SELECT min(last_us) FROM rollups) AS rollups`,
      )
      .get() as { calls: number | null; rollups: number | null };
    const oldestRawUs = Math.min(row.calls ?? unusedUs, row.rollups ?? unusedUs, unusedUs);
    await this.#slices('callers', `last_us < ${oldestRawUs - CALLER_TIME_US}`);
    await this.#slices('shapes', `last_us < ${oldestRawUs}`);
    await this.#slices('kinds', `last_us < ${Math.min(rollupUs - DAY_US, oldestRawUs)}`);
    await this.#slices(
      'user_agents',
      `last_us < ${oldestRawUs} AND NOT EXISTS (SELECT 1 FROM kinds WHERE user_agent = user_agents.id)`,
    );
    await this.deleteAll(() =>
      this.#delete('DELETE FROM identity_hosts WHERE last_us < ?', rollupUs - DAY_US),
    );
    await this.deleteAll(() => this.#delete('DELETE FROM paths_v1 WHERE last_us < ?', rollupUs - DAY_US));
    await this.deleteAll(() =>
      this.#delete('DELETE FROM measured_hops WHERE last_us < ?', rollupUs - DAY_US),
    );
    await this.#slices(
      'identities',
      `NOT EXISTS (SELECT 1 FROM identity_hosts WHERE identity = identities.id)
       AND NOT EXISTS (SELECT 1 FROM callers WHERE identity = identities.id)`,
    );
    await this.deleteAll(() => this.#hosts(Math.min(rollupUs - DAY_US, oldestRawUs)));
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
    const absent = this.#database
      .prepare(
        `SELECT id, hosts.host_id AS hostId FROM hosts LEFT JOIN last_heard ON last_heard.host_id = hosts.host_id
         WHERE last_us < ?1 AND coalesce(heard_us, 0) < ?1 LIMIT 100`,
      )
      .all(beforeUs);
    for (const { id, hostId } of absent) {
      this.#delete('DELETE FROM streams WHERE host = ?', id!);
      for (const table of TABLES_OF_HOST) {
        this.#delete(`DELETE FROM ${table} WHERE host = ?`, id!);
      }
      for (const table of ['heartbeats', 'last_heard', 'cloud_counts', 'cloud_instances']) {
        this.#delete(`DELETE FROM ${table} WHERE host_id = ?`, hostId!);
      }
      this.#delete('DELETE FROM hosts WHERE id = ?', id!);
      this.#briefs.refresh(String(hostId));
    }
    this.#delete(
      `DELETE FROM profiles WHERE NOT EXISTS (SELECT 1 FROM host_profiles WHERE profile = profiles.id)
         AND NOT EXISTS (SELECT 1 FROM cloud_members WHERE profile = profiles.id)`,
    );
    // Before anything else is written: a batch of one of these hosts must make it anew.
    if (absent.length > 0) this.#writer.forget();
    return absent.length;
  }
}
