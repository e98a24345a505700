/**
 * Questions about many calls, answered from roll-ups. A window is its whole days and, at either end, the hours that are left.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { DAY_US, HOUR_US, type Window } from '../../contract/window.ts';
import type { CountedCalls, IdentityHost, IdentityTotals, Scope, SeriesPoint } from '../store.ts';
import { ClosedSums } from './closed_sums.ts';
import { HostTotalsPacker, type PackedHostTotals, PLAIN_V2 } from './packed_totals.ts';
import type { Rows } from './rows.ts';

/** Classes of the roll-ups, see the schema. */
const V2_SUM = 0;
const V1 = 1;
const V2 = 2;
const NEITHER = 3;

export interface Part {
  unit: 'hour' | 'day';
  from: number;
  /** Exclusive. */
  to: number;
}

export interface TotalRow {
  identity: number;
  host: number;
  kind: number;
  count: number;
  firstUs: number;
  lastUs: number;
}

export interface Question {
  classes: number[];
  parts: Part[];
  /** Rows of hosts and workloads; null: all. */
  hosts: number[] | null;
  identities: number[] | null;
}

export class Totals {
  readonly #database: DatabaseSync;
  readonly #rows: Rows;
  readonly #closed: ClosedSums;
  readonly #statements = new Map<string, StatementSync>();

  constructor(database: DatabaseSync, rows: Rows) {
    this.#database = database;
    this.#rows = rows;
    this.#closed = new ClosedSums(database);
  }

  identityTotals(scope: Scope): IdentityTotals[] {
    const question = this.#question(scope, [V1, V2, NEITHER]);
    const totals = new Map<number, IdentityTotals>();
    for (const row of this.#sums(question, ['identity', 'kind'])) {
      let of = totals.get(row.identity);
      if (of === undefined) {
        of = { identity: this.#rows.identity(row.identity), kinds: [] };
        totals.set(row.identity, of);
      }
      of.kinds.push(this.#counted(row));
    }
    return [...totals.values()];
  }

  hostTotals(scope: Scope): PackedHostTotals {
    const packer = new HostTotalsPacker((kind) => this.#rows.kind(kind));
    for (const row of this.#sums(this.#question(scope, [V1, NEITHER]), ['identity', 'host', 'kind'])) {
      packer.owner(row.host, row.identity, () => ({
        hostId: this.#rows.hostId(row.host),
        identity: this.#rows.identity(row.identity).id,
      }));
      packer.add(row);
    }
    // Sums over workloads are there only where no workloads are asked for.
    const plain =
      scope.identities === null
        ? { ...this.#question({ ...scope, identities: null }, [V2_SUM]), identities: [0] }
        : this.#question(scope, [V2]);
    for (const row of this.#sums(plain, ['host'])) {
      packer.owner(row.host, null, () => ({ hostId: this.#rows.hostId(row.host), identity: null }));
      packer.add({ ...row, kind: PLAIN_V2 });
    }
    return packer.packed();
  }

  identityHosts(scope: Scope): IdentityHost[] {
    const callsV1 = new Map<string, number>();
    for (const row of this.#sums(this.#question(scope, [V1]), ['identity', 'host'])) {
      callsV1.set(`${row.identity} ${row.host}`, row.count);
    }
    const identities = scope.identities === null ? null : this.#rows.identityRows(scope.identities);
    const hosts = scope.hosts === null ? null : this.#rows.hostRows(scope.hosts);
    const sinceUs = Math.floor(scope.window.sinceUs / HOUR_US) * HOUR_US;
    const rows = this.#prepare(
      `SELECT identity, host, first_us AS firstUs, last_us AS lastUs, last_v1_us AS lastV1Us FROM identity_hosts
       WHERE last_us >= ? AND first_us < ?${among('identity', identities)}${among('host', hosts)}`,
    ).all(bounded(sinceUs), bounded(scope.window.untilUs), ...lists(identities, hosts));
    return rows.map(({ identity, host, firstUs, lastUs, lastV1Us }) => ({
      identity: this.#rows.identity(Number(identity)).id,
      hostId: this.#rows.hostId(Number(host)),
      firstUs: Number(firstUs),
      lastUs: Number(lastUs),
      lastV1Us: lastV1Us as number | null,
      callsV1: callsV1.get(`${identity} ${host}`) ?? 0,
    }));
  }

  series(scope: Scope, bucket: 'hour' | 'day', byIdentity: boolean): SeriesPoint[] {
    const points = new Map<string, SeriesPoint>();
    const hourly = bucket === 'hour';
    const add = (classes: number[], field: 'v1' | 'v2', keyed: boolean) => {
      const question = this.#question(scope, classes, hourly);
      if (!keyed) question.identities = [0];
      for (const { bucket: at, identity, count, credentials } of this.#buckets(
        question,
        bucket,
        keyed && byIdentity,
      )) {
        const startUs = at * (hourly ? HOUR_US : DAY_US);
        const key = `${startUs} ${identity}`;
        let point = points.get(key);
        if (point === undefined) {
          const id = identity === null ? null : this.#rows.identity(identity).id;
          point = { startUs, identity: id, v1: 0, v1Credentials: 0, v2: 0 };
          points.set(key, point);
        }
        point[field] += count;
        if (field === 'v1') point.v1Credentials += credentials;
      }
    };
    add([V1], 'v1', true);
    if (byIdentity || scope.identities !== null) add([V2], 'v2', true);
    else add([V2_SUM], 'v2', false);
    return [...points.values()].filter(({ v1, v2 }) => v1 + v2 > 0).sort((a, b) => a.startUs - b.startUs);
  }

  answeredV1(hostId: string, spans: Window[]): number[] {
    return spans.map((window) => {
      const question = this.#question({ window, hosts: [hostId], identities: null }, [V1]);
      let answered = 0;
      for (const { kind, count } of this.#sums(question, ['kind'])) {
        const { status } = this.#rows.kind(kind);
        if (status !== null && status >= 200 && status < 300) answered += count;
      }
      return answered;
    });
  }

  #counted({ kind, count, firstUs, lastUs }: TotalRow): CountedCalls {
    return { ...this.#rows.kind(kind), count, firstUs, lastUs };
  }

  #question({ window, hosts, identities }: Scope, classes: number[], hoursOnly = false): Question {
    return {
      classes,
      parts: this.#parts(window, hoursOnly),
      hosts: hosts === null ? null : this.#rows.hostRows(hosts),
      identities: identities === null ? null : this.#rows.identityRows(identities),
    };
  }

  #parts({ sinceUs, untilUs }: Window, hoursOnly: boolean): Part[] {
    const { first, last } = this.#hours();
    const from = Math.max(Math.floor(sinceUs / HOUR_US), first);
    const to = Math.min(Math.ceil(untilUs / HOUR_US), last + 1);
    if (from >= to) return [];
    if (hoursOnly) return [{ unit: 'hour', from, to }];
    // Where nothing is stored beyond the window, its first and last day are whole.
    const firstDay = from === first ? Math.floor(from / 24) : Math.ceil(from / 24);
    const lastDay = to === last + 1 ? Math.ceil(to / 24) : Math.floor(to / 24);
    if (firstDay >= lastDay) return [{ unit: 'hour', from, to }];
    const parts: Part[] = [
      { unit: 'hour', from, to: firstDay * 24 },
      { unit: 'day', from: firstDay, to: lastDay },
      { unit: 'hour', from: lastDay * 24, to },
    ];
    return parts.filter((part) => part.from < part.to);
  }

  /** Of everything stored. */
  #hours(): { first: number; last: number } {
    let first = Number.POSITIVE_INFINITY;
    let last = Number.NEGATIVE_INFINITY;
    for (const kindClass of [V1, V2, NEITHER]) {
      // Two questions: SQLite looks a smallest or a largest value up only where it is asked for alone.
      const { hour: smallest } = this.#prepare(
        'SELECT min(hour) AS hour FROM fleet_hourly WHERE class = ?',
      ).get(kindClass) as { hour: number | null };
      if (smallest === null) continue;
      const { hour: largest } = this.#prepare(
        'SELECT max(hour) AS hour FROM fleet_hourly WHERE class = ?',
      ).get(kindClass) as { hour: number };
      first = Math.min(first, smallest);
      last = Math.max(last, largest);
    }
    return { first, last };
  }

  /** What lies before the day that is being written is summed once, and again only when something late came into it. */
  #sums(question: Question, by: ('identity' | 'host' | 'kind')[]): TotalRow[] {
    const today = Math.min(Math.floor((Date.now() * 1000) / DAY_US), Math.floor(this.#hours().last / 24));
    const closed = { ...question, parts: cut(question.parts, Number.NEGATIVE_INFINITY, today) };
    const open = { ...question, parts: cut(question.parts, today, Number.POSITIVE_INFINITY) };
    const before = this.#closed.of(closed, by, () => this.#sum(closed, by));
    const since = this.#sum(open, by);
    if (since.length === 0) return before;
    if (before.length === 0) return since;
    return merged(before, since);
  }

  /** Where hosts are neither told apart nor chosen, the fleet's own roll-ups have fewer rows. */
  #sum(question: Question, by: ('identity' | 'host' | 'kind')[]): TotalRow[] {
    const perHost = by.includes('host') || question.hosts !== null;
    const from = this.#union(question, perHost, (unit) => {
      const start = unit === 'hour' ? `hour * ${HOUR_US}` : `day * ${DAY_US}`;
      const host = perHost ? 'host' : 'NULL AS host';
      return `identity, ${host}, kind, count, ${start} + first_us AS firstUs, ${start} + last_us AS lastUs`;
    });
    if (from === null) return [];
    const sql = `SELECT ${by.join(', ')}, sum(count) AS count, min(firstUs) AS firstUs, max(lastUs) AS lastUs
      FROM (${from.sql}) GROUP BY ${by.join(', ')} ORDER BY ${by.join(', ')}`;
    return this.#prepare(sql).all(...from.values) as unknown as TotalRow[];
  }

  #buckets(
    question: Question,
    bucket: 'hour' | 'day',
    byIdentity: boolean,
  ): { bucket: number; identity: number | null; count: number; credentials: number }[] {
    const from = this.#union(question, question.hosts !== null, (unit) => {
      const at = bucket === unit ? unit : 'hour / 24';
      return `${at} AS bucket, identity, kind, count`;
    });
    if (from === null) return [];
    const sql = `SELECT bucket, ${byIdentity ? 'identity' : 'NULL AS identity'}, sum(count) AS count,
        sum(CASE WHEN kind IN (SELECT id FROM kinds WHERE category = 'credentials' AND status BETWEEN 200 AND 299)
          THEN count ELSE 0 END) AS credentials
      FROM (${from.sql}) GROUP BY bucket${byIdentity ? ', identity' : ''}`;
    return this.#prepare(sql).all(...from.values) as never;
  }

  /** The rows of the roll-ups that a question is about; null where there can be none. */
  #union(
    { classes, parts, hosts, identities }: Question,
    perHost: boolean,
    columns: (unit: Part['unit']) => string,
  ): { sql: string; values: (number | string)[] } | null {
    if (hosts?.length === 0 || identities?.length === 0) return null;
    // The key is (class, time, workload, host): with a list for each, rows are looked up and not searched for.
    const workloads = identities ?? (hosts === null ? null : this.#identitiesOf(hosts));
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
          sql += among('identity', workloads);
          values.push(JSON.stringify(workloads));
        }
        if (hosts !== null) {
          sql += among('host', hosts);
          values.push(JSON.stringify(hosts));
        }
        selects.push(sql);
      }
    }
    return selects.length === 0 ? null : { sql: selects.join(' UNION ALL '), values };
  }

  /** The hours or days of a span that have rows. */
  #present(table: string, unit: Part['unit'], kindClass: number, from: number, to: number): number[] {
    const next = this.#prepare(`SELECT min(${unit}) AS next FROM ${table} WHERE class = ? AND ${unit} >= ?`);
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

  /** And 0, under which sums over workloads stand. */
  #identitiesOf(hosts: number[]): number[] {
    const rows = this.#prepare(
      `SELECT DISTINCT identity FROM identity_hosts WHERE host IN (SELECT value FROM json_each(?))`,
    ).all(JSON.stringify(hosts));
    return [0, ...rows.map(({ identity }) => Number(identity))];
  }

  #prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}

/** Both in the order of workload, host and kind. */
function merged(left: readonly TotalRow[], right: readonly TotalRow[]): TotalRow[] {
  const rows: TotalRow[] = [];
  let at = 0;
  for (const row of left) {
    let order = -1;
    while (at < right.length) {
      order = compareRows(right[at]!, row);
      if (order >= 0) break;
      rows.push(right[at]!);
      at += 1;
    }
    if (at === right.length || order !== 0) {
      rows.push(row);
      continue;
    }
    const more = right[at]!;
    at += 1;
    rows.push({
      identity: row.identity,
      host: row.host,
      kind: row.kind,
      count: row.count + more.count,
      firstUs: Math.min(row.firstUs, more.firstUs),
      lastUs: Math.max(row.lastUs, more.lastUs),
    });
  }
  for (; at < right.length; at += 1) rows.push(right[at]!);
  return rows;
}

/** A column by which is not summed is in neither row. */
function compareRows(a: TotalRow, b: TotalRow): number {
  if (a.identity !== b.identity) return a.identity - b.identity;
  if (a.host !== b.host) return a.host - b.host;
  return a.kind === b.kind ? 0 : a.kind - b.kind;
}

/** What of the parts lies in these days; the last is exclusive. */
function cut(parts: Part[], fromDay: number, toDay: number): Part[] {
  return parts
    .map(({ unit, from, to }) => {
      const units = unit === 'hour' ? 24 : 1;
      return { unit, from: Math.max(from, fromDay * units), to: Math.min(to, toDay * units) };
    })
    .filter(({ from, to }) => from < to);
}

function among(column: string, list: number[] | null): string {
  return list === null ? '' : ` AND ${column} IN (SELECT value FROM json_each(?))`;
}

function lists(...given: (number[] | null)[]): string[] {
  return given.filter((list) => list !== null).map((list) => JSON.stringify(list));
}

/** Windows may be open: `Infinity` is no SQLite integer. */
function bounded(us: number): number {
  return Math.max(Number.MIN_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, us));
}
