/**
 * Deletes raw calls after `rawDays`, by dropping the partitions of whole days, and sums after `rollupDays`; raw calls
 * earlier where the database is larger than `maxBytes`. Then it deletes rows that nothing refers to. Every step is a short
 * transaction. Collectors that do this at the same time take turns.
 */
import { DAY_US, HOUR_US } from '../../contract/window.ts';
import { FORGOTTEN_UNTIL_US } from '../sqlite/coverage_reader.ts';
import { SUMS_DELETED_UNTIL_US, TABLES_OF_HOST } from '../sqlite/retention.ts';
import { KIND_CLASS } from '../sqlite/total_rows.ts';
import type { Retention, RetentionResult } from '../store.ts';
import { PARTITIONS_LOCK, WRITERS_LOCK } from './advisory_locks.ts';
import { lockBriefs, refreshBriefs } from './cloud_briefs.ts';
import { isConflict } from './database_errors.ts';
import type { DatabasePool, Session } from './database_pool.ts';
import { type Partitioned, type Partitions, partitionName } from './partitions.ts';

const CHUNK_ROWS = 5_000;
/** Rows of dictionaries are kept for this time after their last use, of which writers note no more than each hour. */
const UNUSED_US = DAY_US;
const NOTED_US = 2 * HOUR_US;
/** Days for which the ids of roll-ups and coverage reports are kept. */
const RECORD_ID_DAYS = 2;
/** Time that the drop of a partition waits for questions that read it. It is tried again the next time. */
const DROP_WAIT_MS = 3_000;

export class Retainer {
  readonly #pool: DatabasePool;
  readonly #partitions: Partitions;

  constructor(pool: DatabasePool, partitions: Partitions) {
    this.#pool = pool;
    this.#partitions = partitions;
  }

  async retain({ rawDays, rollupDays, maxBytes }: Retention, nowUs: number): Promise<RetentionResult> {
    const rawUs = nowUs - rawDays * DAY_US;
    const rollupUs = nowUs - rollupDays * DAY_US;
    const today = Math.floor(nowUs / DAY_US);
    const result = { callsDeleted: 0, rollupsDeleted: 0, coverageDeleted: 0, bytes: 0 };
    result.callsDeleted += await this.#calls(Math.floor(rawUs / DAY_US));
    result.callsDeleted += await this.#all(() => this.#otherCalls(rawUs));
    await this.#recordIds(today - RECORD_ID_DAYS);
    result.rollupsDeleted += await this.#all(() => this.#buckets(rollupUs));
    result.coverageDeleted += await this.#all(() => this.#coverage(rollupUs));
    await this.#all(() => this.#figures(rollupUs));
    // The oldest days go first. Today's calls stay.
    for (const day of await this.#days('calls')) {
      if (day >= today || (await this.#bytes()) <= maxBytes) break;
      result.callsDeleted += await this.#calls(day + 1);
    }
    await this.#all(() => this.#futureCalls());
    await this.#unused(rollupUs, nowUs - UNUSED_US);
    if ((await this.#bytes()) > maxBytes) {
      result.rollupsDeleted += await this.#all(() => this.#buckets(nowUs - DAY_US));
    }
    result.bytes = await this.#bytes();
    return result;
  }

  async #bytes(): Promise<number> {
    const [row] = await this.#pool.query<{ bytes: number }>(
      'SELECT pg_database_size(current_database()) AS bytes',
    );
    return row!.bytes;
  }

  /** Repeats a step until it deletes nothing. */
  async #all(step: () => Promise<number>): Promise<number> {
    let total = 0;
    for (;;) {
      const deleted = await step();
      if (deleted === 0) return total;
      total += deleted;
    }
  }

  async #days(table: Partitioned): Promise<number[]> {
    const rows = await this.#pool.query<{ name: string }>(
      `SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = $1::regclass`,
      [table],
    );
    const days = rows.map(({ name }) => Number(name.slice(table.length + 1))).filter(Number.isInteger);
    return days.sort((a, b) => a - b);
  }

  /** Drops the partitions of days before one. Returns the number of their calls. */
  async #calls(beforeDay: number): Promise<number> {
    let deleted = 0;
    for (const day of await this.#days('calls')) {
      if (day >= beforeDay) continue;
      deleted += await this.#drop('calls', day, async (session) => {
        const rows = await session.query<{ calls: number }>(
          'DELETE FROM call_counts WHERE day = $1 RETURNING calls',
          [day],
        );
        return rows.reduce((sum, { calls }) => sum + calls, 0);
      });
    }
    return deleted;
  }

  async #recordIds(beforeDay: number): Promise<void> {
    for (const day of await this.#days('record_ids')) {
      if (day < beforeDay) await this.#drop('record_ids', day, async () => 0);
    }
    await this.#all(() =>
      this.#pool.transaction((session) =>
        session.execute(
          `DELETE FROM record_ids_other WHERE (day, host, id) IN
             (SELECT day, host, id FROM record_ids_other WHERE day < $1 LIMIT ${CHUNK_ROWS})`,
          [beforeDay],
        ),
      ),
    );
  }

  async #drop(
    table: Partitioned,
    day: number,
    before: (session: Session) => Promise<number>,
  ): Promise<number> {
    try {
      return await this.#pool.transaction(async (session) => {
        await session.query(`SET LOCAL lock_timeout = ${DROP_WAIT_MS}`);
        await session.query(`SELECT pg_advisory_xact_lock(${PARTITIONS_LOCK})`);
        // Another collector may have dropped it.
        const name = partitionName(table, day);
        const [found] = await session.query<{ there: boolean }>(
          'SELECT to_regclass($1) IS NOT NULL AS there',
          [name],
        );
        if (!found!.there) return 0;
        await session.query(`DROP TABLE ${name}`);
        return before(session);
      });
    } catch (error) {
      if (isConflict(error)) return 0;
      throw error;
    } finally {
      this.#partitions.forget();
    }
  }

  /** Deletes calls of days that have no partition. */
  #otherCalls(beforeUs: number): Promise<number> {
    return this.#pool.transaction(async (session) => {
      const rows = await session.query<{ day: number }>(
        `DELETE FROM calls_other WHERE (host, time_us, id) IN
           (SELECT host, time_us, id FROM calls_other WHERE time_us < $1 ORDER BY time_us LIMIT ${CHUNK_ROWS})
         RETURNING floor(time_us / ${DAY_US}.0)::integer AS day`,
        [beforeUs],
      );
      const days = Map.groupBy(rows, ({ day }) => day);
      for (const [day, calls] of [...days].sort(([a], [b]) => a - b)) {
        await session.execute(
          `UPDATE call_counts SET calls = calls - $2 WHERE day = $1
             AND slot = (SELECT slot FROM call_counts WHERE day = $1 ORDER BY calls DESC, slot LIMIT 1)`,
          [day, calls.length],
        );
      }
      return rows.length;
    });
  }

  /** Deletes the oldest hour or day of one of the tables of sums. */
  #buckets(beforeUs: number): Promise<number> {
    return this.#pool.transaction(async (session) => {
      for (const { table, unit, us } of [
        { table: 'hourly', unit: 'hour', us: HOUR_US },
        { table: 'fleet_hourly', unit: 'hour', us: HOUR_US },
        { table: 'daily', unit: 'day', us: DAY_US },
        { table: 'fleet_daily', unit: 'day', us: DAY_US },
      ]) {
        const [row] = await session.query<{ oldest: number | null }>(
          `SELECT min(${unit}) AS oldest FROM ${table}`,
        );
        const oldest = row!.oldest;
        if (oldest === null || (oldest + 1) * us > beforeUs) continue;
        const deleted = await session.query<{ class: number }>(
          `DELETE FROM ${table} WHERE ${unit} = $1 RETURNING class`,
          [oldest],
        );
        const untilUs = (oldest + 1) * us;
        if (deleted.some((each) => each.class === KIND_CLASS.v1)) {
          await noteDeleted(session, FORGOTTEN_UNTIL_US, untilUs);
        }
        await noteDeleted(session, SUMS_DELETED_UNTIL_US, untilUs);
        return deleted.length;
      }
      return 0;
    });
  }

  /** Deletes gaps, boots and days of coverage of some hosts, whose rows writers then read again. */
  #coverage(beforeUs: number): Promise<number> {
    return this.#pool.transaction(async (session) => {
      const day = Math.floor(beforeUs / DAY_US);
      const found = await session.query<{ host: number }>(
        `SELECT DISTINCT host FROM (
           (SELECT host FROM gaps WHERE end_us < $1 LIMIT ${CHUNK_ROWS})
           UNION ALL (SELECT host FROM boots WHERE last_us < $1 LIMIT ${CHUNK_ROWS})
           UNION ALL (SELECT host FROM coverage_days WHERE day < $2 LIMIT ${CHUNK_ROWS})) t LIMIT 500`,
        [beforeUs, day],
      );
      if (found.length === 0) return 0;
      const hosts = found.map(({ host }) => host);
      await session.query('SELECT 1 FROM hosts WHERE id = ANY ($1) ORDER BY host_id FOR UPDATE', [hosts]);
      await session.execute('UPDATE hosts SET version = version + 1 WHERE id = ANY ($1)', [hosts]);
      const gaps = await session.query<{ latest: number }>(
        'DELETE FROM gaps WHERE host = ANY ($1) AND end_us < $2 RETURNING end_us AS latest',
        [hosts, beforeUs],
      );
      if (gaps.length > 0) {
        await noteDeleted(
          session,
          FORGOTTEN_UNTIL_US,
          gaps.reduce((latest, each) => Math.max(latest, each.latest), 0),
        );
      }
      const boots = await session.execute('DELETE FROM boots WHERE host = ANY ($1) AND last_us < $2', [
        hosts,
        beforeUs,
      ]);
      const days = await session.execute('DELETE FROM coverage_days WHERE host = ANY ($1) AND day < $2', [
        hosts,
        day,
      ]);
      return gaps.length + boots + days;
    });
  }

  /** Deletes what the cloud said. */
  #figures(beforeUs: number): Promise<number> {
    return this.#pool.transaction(async (session) => {
      await lockBriefs(session, true);
      const hostIds = new Set<string>();
      for (const [table, column, key] of [
        ['cloud_counts', 'end_us', 'host_id, start_us'],
        ['cloud_members', 'supplied_us', 'host_id'],
      ] as const) {
        const rows = await session.query<{ hostId: string }>(
          `DELETE FROM ${table} WHERE (${key}) IN (SELECT ${key} FROM ${table} WHERE ${column} < $1 LIMIT ${CHUNK_ROWS})
           RETURNING host_id AS "hostId"`,
          [beforeUs],
        );
        for (const { hostId } of rows) hostIds.add(hostId);
      }
      await refreshBriefs(session, [...hostIds]);
      return (
        hostIds.size +
        (await session.execute('DELETE FROM cloud_resources WHERE supplied_us < $1', [beforeUs]))
      );
    });
  }

  #futureCalls(): Promise<number> {
    return this.#pool.transaction((session) =>
      session.execute(
        `DELETE FROM future_calls WHERE id IN (SELECT id FROM future_calls
           WHERE stored_us < coalesce((SELECT min(time_us) FROM calls), ${Number.MAX_SAFE_INTEGER}) LIMIT ${CHUNK_ROWS})`,
      ),
    );
  }

  /** Deletes rows that nothing refers to. */
  async #unused(rollupUs: number, unusedUs: number): Promise<void> {
    const [row] = await this.#pool.query<{ calls: number | null }>('SELECT min(time_us) AS calls FROM calls');
    const rawUs = Math.min(row!.calls ?? unusedUs, unusedUs) - NOTED_US;
    const longUs = Math.min(rollupUs - DAY_US, rawUs);
    const sumUs = rollupUs - DAY_US;
    const withFacts = (deletion: string) =>
      `WITH gone AS (${deletion} RETURNING id),
         facts AS (DELETE FROM caller_facts WHERE caller IN (SELECT id FROM gone)) SELECT id FROM gone`;
    await this.#remembered('callers', 'last_us < $1', rawUs, withFacts);
    await this.#remembered('shapes', 'last_us < $1', rawUs);
    await this.#remembered('kinds', 'last_us < $1', longUs);
    await this.#remembered(
      'user_agents',
      'last_us < $1 AND NOT EXISTS (SELECT 1 FROM kinds WHERE user_agent = t.id)',
      longUs,
    );
    for (const table of ['identity_hosts', 'paths_v1', 'measured_hops'] as const) {
      await this.#remembered(table, 'last_us < $1', sumUs);
    }
    await this.#remembered(
      'identities',
      `NOT EXISTS (SELECT 1 FROM identity_hosts WHERE identity = t.id)
         AND NOT EXISTS (SELECT 1 FROM callers WHERE identity = t.id)`,
      null,
    );
    await this.#all(() => this.#hosts(longUs));
  }

  /**
   * Deletes rows that writers remember. They forget everything before the next transaction. Rows are looked for without the
   * lock, which stops all writers: a fleet has millions of rows, and mostly none is to be deleted. `sqlOf` makes the whole
   * statement of the deletion.
   */
  async #remembered(
    table: string,
    condition: string,
    us: number | null,
    sqlOf: (deletion: string) => string = (deletion) => deletion,
  ): Promise<void> {
    const values = us === null ? [] : [us];
    await this.#all(async () => {
      const found = await this.#pool.query<{ place: string }>(
        `SELECT t.ctid::text AS place FROM ${table} t WHERE ${condition} LIMIT ${CHUNK_ROWS}`,
        values,
      );
      if (found.length === 0) return 0;
      await this.#pool.transaction(async (session) => {
        await session.query(`SELECT pg_advisory_xact_lock(${WRITERS_LOCK})`);
        // A row that was changed meanwhile has another place, and another row at its place meets the condition too.
        const deleted = await session.execute(
          sqlOf(`DELETE FROM ${table} t WHERE t.ctid = ANY ($${values.length + 1}::tid[]) AND ${condition}`),
          [...values, found.map(({ place }) => place)],
        );
        if (deleted > 0) await session.execute(`UPDATE sums SET value = value + 1 WHERE name = 'epoch'`);
      });
      return found.length;
    });
  }

  async #hosts(beforeUs: number): Promise<number> {
    const absentOnes = `FROM hosts h LEFT JOIN last_heard b ON b.host_id = h.host_id
      WHERE h.last_us < $1 AND coalesce(b.heard_us, 0) < $1`;
    const [isAnyAbsent] = await this.#pool.query(`SELECT 1 ${absentOnes} LIMIT 1`, [beforeUs]);
    if (isAnyAbsent === undefined) return 0;
    return this.#pool.transaction(async (session) => {
      await session.query(`SELECT pg_advisory_xact_lock(${WRITERS_LOCK})`);
      const absent = await session.query<{ id: number; hostId: string }>(
        `SELECT h.id, h.host_id AS "hostId" ${absentOnes} ORDER BY h.host_id LIMIT 100 FOR UPDATE OF h`,
        [beforeUs],
      );
      if (absent.length === 0) return 0;
      await lockBriefs(session, true);
      const ids = absent.map(({ id }) => id);
      const hostIds = absent.map(({ hostId }) => hostId);
      await session.execute(
        'DELETE FROM caller_facts WHERE caller IN (SELECT id FROM callers WHERE host = ANY ($1))',
        [ids],
      );
      for (const table of HOST_REFERENCES) {
        await session.execute(`DELETE FROM ${table} WHERE host = ANY ($1)`, [ids]);
      }
      for (const table of ['heartbeats', 'last_heard', 'cloud_counts', 'cloud_instances']) {
        await session.execute(`DELETE FROM ${table} WHERE host_id = ANY ($1)`, [hostIds]);
      }
      await session.execute('DELETE FROM hosts WHERE id = ANY ($1)', [ids]);
      await refreshBriefs(session, hostIds);
      await session.execute(
        `DELETE FROM profiles WHERE NOT EXISTS (SELECT 1 FROM host_profiles WHERE profile = profiles.id)
           AND NOT EXISTS (SELECT 1 FROM cloud_members WHERE profile = profiles.id)`,
      );
      await session.execute(`UPDATE sums SET value = value + 1 WHERE name = 'epoch'`);
      return absent.length;
    });
  }
}

const HOST_REFERENCES = ['streams', ...TABLES_OF_HOST];

/** Notes up to which time rows were deleted. `name` says which rows. */
async function noteDeleted(session: Session, name: string, untilUs: number): Promise<void> {
  await session.execute(
    `INSERT INTO sums VALUES ($1, $2)
     ON CONFLICT (name) DO UPDATE SET value = greatest(sums.value, excluded.value)`,
    [name, untilUs],
  );
}
