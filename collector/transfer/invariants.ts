/**
 * Lists, as SQL, what both stores promise about their findings: figures that are kept twice are equal. The database groups
 * and sums, and returns only what differs, so the memory of a check does not grow with the store.
 *
 * Left out is what retention can have deleted on one side only: hours and days before `SUMS_DELETED_UNTIL_US`.
 */
import { DAY_US, HOUR_US } from '../contract/window.ts';
import type { FindingsReader } from './findings.ts';

export type InvariantName =
  | 'daily'
  | 'v2_sums'
  | 'fleet_hourly'
  | 'fleet_daily'
  | 'raw_calls'
  | 'call_counts'
  | 'call_ids'
  | 'streams'
  | 'partitions';

export interface Invariant {
  name: InvariantName;
  /** The table that is named where a figure differs. */
  table: string;
  /** The only kind of store that has it; all kinds where absent. */
  kind?: FindingsReader['kind'];
  /**
   * Returns a query of the differences. Its columns are `found` and `expected`, and those that tell rows apart: some of
   * `class`, `day`, `hour`, `host`, `workload`, `kind` and `name`.
   */
  sql(retained: Retained): string;
  /** The columns of the query besides the two figures, in the order in which differences are listed. */
  keys: readonly Key[];
}

export type Key = 'class' | 'day' | 'hour' | 'host' | 'workload' | 'kind' | 'name';

/** The first hour and day since 1970 of which retention has deleted no sums. */
export interface Retained {
  hour: number;
  day: number;
}

const HOURS = 24;

/** Selects figures that differ between two queries. Both return the keys and then a number. */
function differing(
  keys: readonly Key[],
  found: string,
  expected: string,
  condition = 'sum(a) <> sum(b)',
): string {
  const names = keys.join(', ');
  return `SELECT ${names}, CAST(sum(a) AS bigint) AS found, CAST(sum(b) AS bigint) AS expected
    FROM (SELECT ${names}, n AS a, 0 AS b FROM (${found}) AS one
      UNION ALL SELECT ${names}, 0 AS a, n AS b FROM (${expected}) AS other) AS sides
    GROUP BY ${names} HAVING ${condition}`;
}

const CALL_DAY = `time_us / ${DAY_US} AS day`;
const DAY_COUNTS = `SELECT ${CALL_DAY}, 1 AS n FROM calls WHERE time_us >= 0`;

export const INVARIANTS: readonly Invariant[] = [
  {
    name: 'daily',
    table: 'daily',
    keys: ['day', 'host', 'class'],
    sql: ({ day }) =>
      differing(
        ['day', 'host', 'class'],
        `SELECT day, host, class, count AS n FROM daily WHERE day >= ${day}`,
        `SELECT hour / ${HOURS} AS day, host, class, count AS n FROM hourly WHERE hour >= ${day * HOURS}`,
      ),
  },
  {
    // Class 0 has the sum of class 2 (IMDSv2) over all workloads of a host, see `KIND_CLASS`.
    name: 'v2_sums',
    table: 'hourly',
    keys: ['hour', 'host'],
    sql: ({ hour }) =>
      differing(
        ['hour', 'host'],
        `SELECT hour, host, count AS n FROM hourly WHERE class = 0 AND hour >= ${hour}`,
        `SELECT hour, host, count AS n FROM hourly WHERE class = 2 AND hour >= ${hour}`,
      ),
  },
  {
    name: 'fleet_hourly',
    table: 'fleet_hourly',
    keys: ['hour', 'class', 'workload', 'kind'],
    sql: ({ hour }) => fleetSums('fleet_hourly', 'hourly', 'hour', hour),
  },
  {
    name: 'fleet_daily',
    table: 'fleet_daily',
    keys: ['day', 'class', 'workload', 'kind'],
    sql: ({ day }) => fleetSums('fleet_daily', 'daily', 'day', day),
  },
  {
    // Calls beyond the bounds of a host are counted at another time, and the host has this gap then.
    name: 'raw_calls',
    table: 'calls',
    keys: ['day', 'host'],
    sql: ({ day }) =>
      differing(
        ['day', 'host'],
        `SELECT ${CALL_DAY}, host, 1 AS n FROM calls WHERE time_us >= ${day * HOURS * HOUR_US}
           AND host NOT IN (SELECT host FROM gaps WHERE reason = 'not_kept')`,
        `SELECT day, host, count AS n FROM daily WHERE class <> 0 AND day >= ${day}`,
        'sum(a) > sum(b)',
      ),
  },
  {
    name: 'call_counts',
    table: 'call_counts',
    kind: 'postgres',
    keys: ['day'],
    sql: () => differing(['day'], 'SELECT day, calls AS n FROM call_counts WHERE day >= 0', DAY_COUNTS),
  },
  {
    name: 'call_counts',
    table: 'sums',
    kind: 'sqlite',
    keys: [],
    sql: () => `SELECT found, expected FROM (SELECT
      coalesce((SELECT value FROM sums WHERE name = 'calls'), 0) AS found, (SELECT count(*) FROM calls) AS expected)
      WHERE found <> expected`,
  },
  {
    name: 'call_ids',
    table: 'calls',
    keys: ['host'],
    sql: () => `SELECT host, CAST(sum(n) AS bigint) AS found, count(*) AS expected
      FROM (SELECT host, id, count(*) AS n FROM calls GROUP BY host, id HAVING count(*) > 1) AS repeated GROUP BY host`,
  },
  {
    name: 'streams',
    table: 'streams',
    keys: ['name'],
    sql: () => `SELECT stream AS name, 0 AS found, 1 AS expected FROM streams
      WHERE NOT EXISTS (SELECT 1 FROM hosts WHERE hosts.id = streams.host)`,
  },
  {
    // Retention takes the day of a partition from its name. PostgreSQL keeps each row within the bounds.
    name: 'partitions',
    table: 'partitions',
    kind: 'postgres',
    keys: ['name'],
    sql: () => `SELECT name, found, 1 AS expected FROM (
      SELECT c.relname AS name, CAST(pg_get_expr(c.relpartbound, c.oid) IS NOT DISTINCT FROM
        CASE WHEN c.relname ~ '^calls' THEN format('FOR VALUES FROM (''%s'') TO (''%s'')', d.day * ${DAY_US}, (d.day + 1) * ${DAY_US})
        ELSE format('FOR VALUES FROM (%s) TO (%s)', d.day, d.day + 1) END AS integer) AS found
      FROM pg_class c, LATERAL (SELECT CAST(substring(c.relname FROM '[0-9]+$') AS bigint) AS day) AS d
      WHERE c.relkind = 'r' AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'calls'::regclass)
        AND (c.relname ~ '^(calls|record_ids)_[0-9]{1,9}$'
          OR (c.relispartition AND c.relname !~ '_other$' AND EXISTS (SELECT 1 FROM pg_inherits i
            WHERE i.inhrelid = c.oid AND i.inhparent IN ('calls'::regclass, 'record_ids'::regclass))))
      ) AS bounds WHERE found = 0`,
  },
];

function fleetSums(fleet: string, hosts: string, unit: 'hour' | 'day', from: number): string {
  const columns = `${unit}, class, identity AS workload, kind, count AS n`;
  return differing(
    [unit, 'class', 'workload', 'kind'],
    `SELECT ${columns} FROM ${fleet} WHERE ${unit} >= ${from}`,
    `SELECT ${columns} FROM ${hosts} WHERE ${unit} >= ${from}`,
  );
}
