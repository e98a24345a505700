/**
 * Multiplies the calls of a PostgreSQL store that the store's own writer has made (many_hosts_maker.ts), with SQL: each
 * caller goes on with the calls that it has made, evenly over all days, and each roll-up comes several times. All sums
 * are made anew from the calls, so they agree with them. Millions of rows would take hours by the writer.
 *
 * Rows are inserted by `INSERT … SELECT` into tables without indexes, which are made at the end: the rows never leave the
 * server, as they would with COPY.
 */
import { DAY_US, HOUR_US } from '../../collector/contract/window.ts';
import type { DatabasePool, Session } from '../../collector/store/postgres/database_pool.ts';
import { partitionName } from '../../collector/store/postgres/partitions.ts';
import { KIND_CLASS } from '../../collector/store/sqlite/total_rows.ts';

export interface ManyCalls {
  /** Calls that are stored one by one. */
  calls: number;
  /** Each roll-up becomes so many, some hours apart. */
  rollupCopies: number;
  days: number;
  /** End of the last hour with calls. */
  nowUs: number;
}

export interface Multiplied {
  calls: number;
  /** Calls of all roll-ups. */
  rolledUp: number;
  hourlyRows: number;
  bytes: number;
}

/** A workload makes a few kinds of calls again and again. */
const TEMPLATES_PER_CALLER = 4;
const ROLLUP_HOURS = 12;
const SUMS = ['hourly', 'daily', 'fleet_hourly', 'fleet_daily'] as const;
const OF_SUMS = 'class, %, identity, kind';
const ADDED = 'sum(count)::bigint, min(first_us), max(last_us)';

/** Settings of a session that fills a store. */
export const FILLING = `SET statement_timeout = 0; SET maintenance_work_mem = '1GB'; SET work_mem = '256MB';
  SET synchronous_commit = off`;

export async function multiplyCalls(
  pool: DatabasePool,
  size: ManyCalls,
  progress: (text: string) => void,
): Promise<Multiplied> {
  await pool.session(async (session) => {
    await session.query(FILLING);
    const days = await makeCalls(session, size, progress);
    progress('sums');
    await makeSums(session, size, days);
    progress('what else the calls have changed');
    await changeOthers(session, days);
    progress('VACUUM');
    await session.query('VACUUM (ANALYZE)');
    await session.query('CHECKPOINT');
  });
  return check(pool);
}

/** Returns the days since 1970 that have calls. */
async function makeCalls(
  session: Session,
  { calls, days, nowUs }: ManyCalls,
  progress: (text: string) => void,
): Promise<number[]> {
  await session.query(
    `CREATE TEMPORARY TABLE template AS SELECT * FROM (
       SELECT *, row_number() OVER (PARTITION BY host, identity ORDER BY time_us) - 1 AS place FROM calls
     ) t WHERE place < ${TEMPLATES_PER_CALLER}`,
  );
  const [counted] = await session.query<{ pairs: number }>(
    'SELECT count(*) AS pairs FROM template WHERE place = 0',
  );
  await session.query('TRUNCATE calls, call_counts');
  const { pairs } = counted!;
  const perDay = Math.round(calls / pairs / days);
  const today = Math.floor(nowUs / DAY_US);
  const made: number[] = [];
  for (let day = today - days; day <= today; day += 1) {
    const endUs = Math.min(nowUs, (day + 1) * DAY_US);
    const count = Math.round((perDay * (endUs - day * DAY_US)) / DAY_US);
    if (count > 0) await makeDay(session, day, count, (endUs - day * DAY_US) / count);
    made.push(day);
    progress(`calls of day ${made.length} of ${days + 1}`);
  }
  return made;
}

/** Fills a partition with so many calls of each caller. They are stored in the order of their times, as they would arrive. */
async function makeDay(session: Session, day: number, count: number, everyUs: number): Promise<void> {
  const name = partitionName('calls', day);
  const [from, to] = [day * DAY_US, (day + 1) * DAY_US];
  const [there] = await session.query<{ found: boolean }>('SELECT to_regclass($1) IS NOT NULL AS found', [
    name,
  ]);
  if (there!.found) await session.query(`ALTER TABLE calls DETACH PARTITION ${name}`);
  else await session.query(`CREATE TABLE ${name} (LIKE calls INCLUDING ALL)`);
  const indexes = await dropIndexes(session, name);
  // A UUIDv7 begins with its time in milliseconds (RFC 9562 section 5.7).
  await session.query(
    `INSERT INTO ${name} (time_us, id, host, identity, caller, kind, shape, user_agent, path, query, duration_ms,
       source_address, source_port)
     SELECT at.us, (lpad(to_hex(at.us / 1000), 12, '0') || '7' || substr(random.hex, 1, 3) || '8' || substr(random.hex, 4, 15))::uuid,
       host, identity, caller, kind, shape, user_agent, path, query, duration_ms, source_address, source_port
     FROM template t JOIN generate_series(0, ${count - 1}) AS number ON t.place = number % ${TEMPLATES_PER_CALLER},
       LATERAL (SELECT (${from} + ${everyUs} * (number + (hashint8(host * 64 + identity) & 65535) / 65536.0))::bigint AS us) at,
       LATERAL (SELECT md5(number || ' ' || host || ' ' || identity || ' ${day}') AS hex) random
     ORDER BY 1`,
  );
  for (const { definition } of indexes) await session.query(definition);
  await session.query(`ALTER TABLE calls ATTACH PARTITION ${name} FOR VALUES FROM (${from}) TO (${to})`);
  await session.query(`INSERT INTO call_counts SELECT ${day}, 0, count(*) FROM ${name}`);
}

async function makeSums(
  session: Session,
  { rollupCopies }: ManyCalls,
  days: readonly number[],
): Promise<void> {
  const { v1, v2, v2Sum } = KIND_CLASS;
  await session.query(
    `CREATE TEMPORARY TABLE rolled_up AS
     SELECT host, class, hour - ${ROLLUP_HOURS} * copy AS hour, identity, kind, sum(count)::bigint AS count, min(first_us) AS first_us, max(last_us) AS last_us
     FROM hourly, generate_series(0, ${rollupCopies - 1}) AS copy WHERE class IN (${v2}, ${v2Sum})
     GROUP BY 1, 2, 3, 4, 5`,
  );
  const indexes = new Map<string, Index[]>();
  for (const table of SUMS) {
    indexes.set(table, await dropIndexes(session, table));
    await session.query(`TRUNCATE ${table}`);
  }
  await session.query('INSERT INTO hourly SELECT * FROM rolled_up');
  for (const day of days) {
    await session.query(
      `INSERT INTO hourly SELECT host, ${v1}, time_us / ${HOUR_US} AS hour, identity, kind, count(*),
         min(time_us % ${HOUR_US}), max(time_us % ${HOUR_US})
       FROM ${partitionName('calls', day)} GROUP BY host, hour, identity, kind`,
    );
  }
  // Times count from the begin of the hour or the day.
  const ofDay = (column: string) => `(hour % 24) * ${HOUR_US}::bigint + ${column}`;
  await session.query(
    `INSERT INTO daily SELECT host, class, hour / 24 AS day, identity, kind, sum(count)::bigint, min(${ofDay('first_us')}),
       max(${ofDay('last_us')}) FROM hourly GROUP BY host, class, day, identity, kind`,
  );
  for (const [table, unit] of [
    ['hourly', 'hour'],
    ['daily', 'day'],
  ] as const) {
    const keys = OF_SUMS.replace('%', unit);
    await session.query(
      `INSERT INTO fleet_${table} SELECT ${keys}, 0, ${ADDED} FROM ${table} GROUP BY ${keys}`,
    );
  }
  for (const { definition } of [...indexes.values()].flat()) await session.query(definition);
}

/** Changes what the store keeps besides calls and sums, as its writer would have done. */
async function changeOthers(session: Session, days: readonly number[]): Promise<void> {
  const parts = days.map(
    (day) => `SELECT host, identity, min(time_us) AS first_us, max(time_us) AS last_us
    FROM ${partitionName('calls', day)} GROUP BY host, identity`,
  );
  await session.query(
    `UPDATE identity_hosts i SET first_us = least(i.first_us, c.first_us), last_us = greatest(i.last_us, c.last_us),
       last_v1_us = c.last_us
     FROM (SELECT host, identity, min(first_us) AS first_us, max(last_us) AS last_us FROM (${parts.join(' UNION ALL ')}) d
       GROUP BY host, identity) c
     WHERE i.host = c.host AND i.identity = c.identity`,
  );
  await session.query(
    `UPDATE callers p SET last_us = greatest(p.last_us, i.last_us) FROM identity_hosts i
     WHERE i.host = p.host AND i.identity = p.identity`,
  );
  await session.query('TRUNCATE paths_v1');
  await session.query(
    `INSERT INTO paths_v1 SELECT identity, 1, path, 0, count(*), max(time_us) FROM calls
     WHERE path IS NOT NULL GROUP BY identity, path`,
  );
  // Writers read again what they remember of a host whose version has changed.
  await session.query('UPDATE hosts SET version = version + 1');
}

interface Index {
  definition: string;
}

/** Drops all indexes and keys of a table, and returns the statements that make them again. */
async function dropIndexes(session: Session, table: string): Promise<Index[]> {
  const rows = await session.query<{ name: string; definition: string; isKey: boolean }>(
    `SELECT c.relname AS name, CASE WHEN k.oid IS NULL THEN pg_get_indexdef(i.indexrelid)
       ELSE 'ALTER TABLE ${table} ADD CONSTRAINT ' || k.conname || ' ' || pg_get_constraintdef(k.oid) END AS definition,
       k.oid IS NOT NULL AS "isKey"
     FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
       LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.conrelid = i.indrelid
     WHERE i.indrelid = $1::regclass ORDER BY i.indexrelid`,
    [table],
  );
  for (const { name, isKey } of rows) {
    await session.query(isKey ? `ALTER TABLE ${table} DROP CONSTRAINT ${name}` : `DROP INDEX ${name}`);
  }
  return rows;
}

/** Compares the calls with all sums of them. */
async function check(pool: DatabasePool): Promise<Multiplied> {
  const { v1, v2, v2Sum } = KIND_CLASS;
  const sums = SUMS.flatMap((table) =>
    [v1, v2, v2Sum].map(
      (kind) => `(SELECT sum(count) FROM ${table} WHERE class = ${kind})::bigint AS ${table}_${kind}`,
    ),
  );
  const [row] = await pool.query<Record<string, number>>(
    `SELECT (SELECT count(*) FROM calls) AS calls, (SELECT sum(calls) FROM call_counts)::bigint AS counted,
       (SELECT sum(count) FROM paths_v1)::bigint AS with_path, (SELECT count(*) FROM hourly) AS hourly_rows,
       pg_database_size(current_database()) AS bytes, ${sums.join(', ')}`,
  );
  const found = row!;
  const of = (kind: number) => SUMS.map((table) => found[`${table}_${kind}`]);
  const single = new Set([found['calls'], found['counted'], found['with_path'], ...of(v1)]);
  const rolledUp = new Set([...of(v2), ...of(v2Sum)]);
  if (single.size !== 1 || rolledUp.size !== 1) throw new Error(`the sums differ: ${JSON.stringify(found)}`);
  return {
    calls: found['calls']!,
    rolledUp: found[`hourly_${v2}`]!,
    hourlyRows: found['hourly_rows']!,
    bytes: found['bytes']!,
  };
}
