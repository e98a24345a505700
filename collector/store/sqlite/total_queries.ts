/** The SQL that sums roll-ups: one statement over the tables and spans that a question is about. */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { DAY_US, HOUR_US } from '../../contract/window.ts';
import { KIND_CLASS, type Part, type TotalColumn, type TotalRow, type TotalsQuestion } from './total_rows.ts';

export interface BucketRow {
  bucket: number;
  identity: number | null;
  count: number;
  /** Role credentials that were handed out. */
  credentials: number;
}

export class TotalQueries {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** Returns the first and the last hour with stored calls. */
  storedHours(): { first: number; last: number } {
    let first = Number.POSITIVE_INFINITY;
    let last = Number.NEGATIVE_INFINITY;
    for (const kindClass of [KIND_CLASS.v1, KIND_CLASS.v2, KIND_CLASS.neither]) {
      // Two statements: SQLite looks up a smallest or a largest value in the index only where it is selected
      // alone.
      const { hour: smallest } = this.prepare(
        'SELECT min(hour) AS hour FROM fleet_hourly WHERE class = ?',
      ).get(kindClass) as { hour: number | null };
      if (smallest === null) continue;
      const { hour: largest } = this.prepare(
        'SELECT max(hour) AS hour FROM fleet_hourly WHERE class = ?',
      ).get(kindClass) as { hour: number };
      first = Math.min(first, smallest);
      last = Math.max(last, largest);
    }
    return { first, last };
  }

  /** Sums rows, grouped and ordered by the columns `by`. */
  sum(question: TotalsQuestion, by: readonly TotalColumn[]): TotalRow[] {
    // The roll-ups of the whole fleet have fewer rows. They do where no host is named or told apart.
    const perHost = by.includes('host') || question.hosts !== null;
    const from = this.#union(question, perHost, (unit) => {
      const start = unit === 'hour' ? `hour * ${HOUR_US}` : `day * ${DAY_US}`;
      const host = perHost ? 'host' : 'NULL AS host';
      return `identity, ${host}, kind, count, ${start} + first_us AS firstUs, ${start} + last_us AS lastUs`;
    });
    if (from === null) return [];
    const sql = `SELECT ${by.join(', ')}, sum(count) AS count, min(firstUs) AS firstUs, max(lastUs) AS lastUs
      FROM (${from.sql}) GROUP BY ${by.join(', ')} ORDER BY ${by.join(', ')}`;
    return this.prepare(sql).all(...from.values) as unknown as TotalRow[];
  }

  /**
   * Sums rows by hour or by day, and with `byIdentity` by workload too. `version` selects kinds of one version.
   */
  sumByBucket(
    question: TotalsQuestion,
    bucket: 'hour' | 'day',
    byIdentity: boolean,
    version: 2 | null = null,
  ): BucketRow[] {
    const from = this.#union(question, question.hosts !== null, (unit) => {
      const at = bucket === unit ? unit : 'hour / 24';
      return `${at} AS bucket, identity, kind, count`;
    });
    if (from === null) return [];
    const sql = `SELECT bucket, ${byIdentity ? 'identity' : 'NULL AS identity'}, sum(count) AS count,
        sum(CASE WHEN kind IN (SELECT id FROM kinds WHERE category = 'credentials' AND status BETWEEN 200 AND 299)
          THEN count ELSE 0 END) AS credentials
      FROM (${from.sql}) ${version === null ? '' : `WHERE kind IN (SELECT id FROM kinds WHERE version = ${version})`}
      GROUP BY bucket${byIdentity ? ', identity' : ''}`;
    return this.prepare(sql).all(...from.values) as never;
  }

  /** Returns the hosts or workloads with IMDSv1 calls on a day. Workload 0 has no such calls. */
  callersOfDay(column: 'host' | 'identity', day: number, hosts: number[] | null): number[] {
    const table = column === 'identity' && hosts === null ? 'fleet_daily' : 'daily';
    const sql = `SELECT DISTINCT ${column} AS caller FROM ${table}
      WHERE class = ${KIND_CLASS.v1} AND day = ?${hosts === null ? '' : isAmong(hostColumn(hosts))}`;
    const values = hosts === null ? [] : [JSON.stringify(hosts)];
    return this.prepare(sql)
      .all(day, ...values)
      .map((row) => Number(row['caller']));
  }

  /** Returns a SELECT of the rows that a question is about; null where there can be none. */
  #union(
    { classes, parts, hosts, identities, span }: TotalsQuestion,
    perHost: boolean,
    columns: (unit: Part['unit']) => string,
  ): { sql: string; values: (number | string)[] } | null {
    if (hosts?.length === 0 || identities?.length === 0) return null;
    // The key is (class, time, workload, host): with a list for each, rows are looked up and not searched
    // for.
    const workloads = identities ?? (hosts === null || isLong(hosts) ? null : this.#identitiesOf(hosts));
    const selects: string[] = [];
    const values: (number | string)[] = [];
    for (const { unit, from, to } of parts) {
      const table = perHost
        ? unit === 'hour'
          ? 'hourly'
          : 'daily'
        : `fleet_${unit === 'hour' ? 'hourly' : 'daily'}`;
      for (const kindClass of classes) {
        let sql = `SELECT ${columns(unit)} FROM ${table} WHERE class = ${kindClass}`;
        if (workloads === null) {
          sql += ` AND ${unit} >= ? AND ${unit} < ?`;
          values.push(from, to);
        } else {
          sql += ` AND ${unit} IN (SELECT value FROM json_each(?))`;
          values.push(JSON.stringify(this.#present(table, unit, kindClass, from, to)));
          sql += isAmong('identity');
          values.push(JSON.stringify(workloads));
        }
        if (hosts !== null) {
          sql += isAmong(hostColumn(hosts));
          values.push(JSON.stringify(hosts));
        }
        if (span !== undefined) {
          sql += ' AND host BETWEEN ? AND ?';
          values.push(span.from, span.to);
        }
        selects.push(sql);
      }
    }
    return selects.length === 0 ? null : { sql: selects.join(' UNION ALL '), values };
  }

  /** Returns the hours or days of a span that have rows. */
  #present(table: string, unit: Part['unit'], kindClass: number, from: number, to: number): number[] {
    const next = this.prepare(`SELECT min(${unit}) AS next FROM ${table} WHERE class = ? AND ${unit} >= ?`);
    const found: number[] = [];
    let at = from;
    while (at < to) {
      const { next: present } = next.get(kindClass, at) as { next: number | null };
      if (present === null || present >= to) break;
      found.push(present);
      at = present + 1;
    }
    return found;
  }

  /** Returns the workloads of hosts, and 0, under which sums over workloads are stored. */
  #identitiesOf(hosts: number[]): number[] {
    const rows = this.prepare(
      `SELECT DISTINCT identity FROM identity_hosts WHERE host IN (SELECT value FROM json_each(?))`,
    ).all(JSON.stringify(hosts));
    return [0, ...rows.map(({ identity }) => Number(identity))];
  }

  /** Prepares a statement once. */
  prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}

/** With more hosts than this, rows are read and compared: to look up each host would cost more. */
const MAX_LOOKED_UP = 500;

function isLong(hosts: readonly number[]): boolean {
  return hosts.length > MAX_LOOKED_UP;
}

/** Returns the column for a condition about these hosts. A leading `+` keeps SQLite from looking up each one. */
export function hostColumn(hosts: readonly number[]): string {
  return isLong(hosts) ? '+host' : 'host';
}

/** Returns a condition with one parameter: the JSON list of the values. */
export function isAmong(column: string): string {
  return ` AND ${column} IN (SELECT value FROM json_each(?))`;
}
