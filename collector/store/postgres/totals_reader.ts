/** Answers questions about many calls from roll-ups. The sums are made in the database. */
import { DAY_US, HOUR_US, type Window } from '../../contract/window.ts';
import {
  type HostTotals,
  HostTotalsPacker,
  PLAIN_V2,
  PLAIN_V2_KIND,
  unpackHostTotals,
} from '../sqlite/packed_totals.ts';
import { KIND_CLASS } from '../sqlite/total_rows.ts';
import type {
  CallingDays,
  CountedCalls,
  IdentityTotals,
  MeasuredHops,
  Scope,
  SeriesPoint,
} from '../store.ts';
import type { Session } from './database_pool.ts';
import {
  all,
  bounded,
  type ChosenHosts,
  hostCondition,
  identityCondition,
  type Span,
  SqlParameters,
  spanCondition,
  spansOf,
} from './question.ts';
import type { StoredValues } from './stored_values.ts';

const { v2Sum: V2_SUM, v1: V1, v2: V2, neither: NEITHER } = KIND_CLASS;

/** A scope whose hosts were looked up. */
export interface ChosenScope extends Omit<Scope, 'hosts'> {
  hosts: ChosenHosts;
}

export interface SumRow {
  identity: number;
  host: number;
  kind: number;
  count: number;
  firstUs: number;
  lastUs: number;
}
export type SumColumn = 'identity' | 'host' | 'kind';

interface SumQuestion {
  scope: ChosenScope;
  classes: number[];
  by: readonly SumColumn[];
  /** Selects the sums over workloads, in place of the workloads of the scope. */
  overWorkloads?: boolean;
}

export class TotalsReader {
  readonly #values: StoredValues;

  constructor(values: StoredValues) {
    this.#values = values;
  }

  async identityTotals(session: Session, scope: ChosenScope): Promise<IdentityTotals[]> {
    const rows = await this.#sum(session, { scope, classes: [V1, V2, NEITHER], by: ['identity', 'kind'] });
    await this.#values.loadIdentities(
      session,
      rows.map(({ identity }) => identity),
    );
    await this.#values.loadKinds(
      session,
      rows.map(({ kind }) => kind),
    );
    const totals = new Map<number, IdentityTotals>();
    for (const row of rows) {
      let total = totals.get(row.identity);
      if (total === undefined) {
        total = { identity: this.#values.identity(row.identity), kinds: [] };
        totals.set(row.identity, total);
      }
      total.kinds.push(this.#counted(row));
    }
    return [...totals.values()];
  }

  async hostTotals(session: Session, scope: ChosenScope, withV2: boolean): Promise<HostTotals[]> {
    const rows = await this.#sum(session, {
      scope,
      classes: [V1, NEITHER],
      by: ['host', 'identity', 'kind'],
    });
    const plain = withV2 ? await this.#plainV2(session, scope, ['host']) : [];
    await this.#load(session, rows);
    await this.#values.loadHostIds(
      session,
      plain.map(({ host }) => host),
    );
    const packer = new HostTotalsPacker((kind) => this.#values.kind(kind));
    for (const row of rows) {
      packer.setOwner(row.host, row.identity, () => ({
        hostId: this.#values.hostId(row.host),
        identity: this.#values.identity(row.identity).id,
      }));
      packer.addRow(row);
    }
    for (const row of plain) {
      packer.setOwner(row.host, null, () => ({ hostId: this.#values.hostId(row.host), identity: null }));
      packer.addRow({ ...row, kind: PLAIN_V2 });
    }
    return unpackHostTotals(packer.packed());
  }

  /** Returns the same sums added up over hosts. IMDSv2 calls are one sum. */
  async callTotals(
    session: Session,
    scope: ChosenScope,
  ): Promise<{ identity: string | null; kinds: CountedCalls[] }[]> {
    const rows = await this.#sum(session, { scope, classes: [V1, NEITHER], by: ['identity', 'kind'] });
    await this.#load(session, rows);
    const totals: { identity: string | null; kinds: CountedCalls[] }[] = [];
    let owner = -1;
    for (const row of rows) {
      if (row.identity !== owner) {
        totals.push({ identity: this.#values.identity(row.identity).id, kinds: [] });
      }
      owner = row.identity;
      totals.at(-1)!.kinds.push(this.#counted(row));
    }
    const [plain] = await this.#plainV2(session, scope, []);
    if (plain !== undefined && plain.count !== null) {
      const { count, firstUs, lastUs } = plain;
      totals.push({ identity: null, kinds: [{ ...PLAIN_V2_KIND, count, firstUs, lastUs }] });
    }
    return totals;
  }

  async #load(session: Session, rows: readonly SumRow[]): Promise<void> {
    await this.#values.loadIdentities(
      session,
      rows.flatMap(({ identity }) => identity ?? []),
    );
    await this.#values.loadKinds(
      session,
      rows.map(({ kind }) => kind),
    );
    await this.#values.loadHostIds(
      session,
      rows.flatMap(({ host }) => host ?? []),
    );
  }

  /** Sums over workloads can be used only where no workloads are selected. */
  #plainV2(session: Session, scope: ChosenScope, by: readonly SumColumn[]): Promise<SumRow[]> {
    return scope.identities === null
      ? this.#sum(session, { scope, classes: [V2_SUM], by, overWorkloads: true })
      : this.#sum(session, { scope, classes: [V2], by });
  }

  async measuredHops(session: Session, { window, identities, hosts }: ChosenScope): Promise<MeasuredHops[]> {
    const parameters = new SqlParameters();
    const conditions = all(
      `t.last_us >= ${parameters.add(bounded(window.sinceUs))}`,
      identityCondition(parameters, 't.identity', identities),
      hostCondition(parameters, 't.host', hosts),
    );
    return session.query<MeasuredHops>(
      `SELECT i.key AS identity, h.host_id AS "hostId", t.hops, t.token_hop_limit AS "tokenHopLimit",
         t.last_us AS "lastUs"
       FROM measured_hops t JOIN identities i ON i.id = t.identity JOIN hosts h ON h.id = t.host
       WHERE ${conditions} ORDER BY t.host, t.identity, t.hops`,
      parameters.values,
    );
  }

  async series(
    session: Session,
    scope: ChosenScope,
    bucket: 'hour' | 'day',
    byIdentity: boolean,
  ): Promise<SeriesPoint[]> {
    const bucketUs = bucket === 'hour' ? HOUR_US : DAY_US;
    const points = new Map<string, SeriesPoint>();
    const add = async (classes: number[], field: 'v1' | 'v2', keyed: boolean, version: 2 | null = null) => {
      const question = { scope, classes, by: [], overWorkloads: !keyed };
      const rows = await this.#sumByBucket(session, question, bucket, keyed && byIdentity, version);
      await this.#values.loadIdentities(
        session,
        rows.flatMap(({ identity }) => identity ?? []),
      );
      for (const { bucket: at, identity, count, credentials } of rows) {
        const startUs = at * bucketUs;
        const key = `${startUs} ${identity}`;
        let point = points.get(key);
        if (point === undefined) {
          const id = identity === null ? null : this.#values.identity(identity).id;
          point = { startUs, identity: id, v1: 0, v1Credentials: 0, v2: 0 };
          points.set(key, point);
        }
        point[field] += count;
        if (field === 'v1') point.v1Credentials += credentials;
      }
    };
    await add([V1], 'v1', true);
    if (byIdentity || scope.identities !== null) await add([V2], 'v2', true);
    else await add([V2_SUM], 'v2', false);
    await add([NEITHER], 'v2', true, 2);
    return [...points.values()].filter(({ v1, v2 }) => v1 + v2 > 0).sort((a, b) => a.startUs - b.startUs);
  }

  async callingDays(
    session: Session,
    fromDay: number,
    toDay: number,
    hosts: ChosenHosts,
  ): Promise<CallingDays> {
    const [first] = await session.query<{ hour: number | null }>(
      'SELECT min(hour) AS hour FROM fleet_hourly WHERE class = ANY ($1)',
      [[V1, V2, NEITHER]],
    );
    const ofHosts = new SqlParameters();
    const among = (parameters: SqlParameters) =>
      all(
        `t.class = ${V1}`,
        `t.day >= ${parameters.add(fromDay)}`,
        `t.day < ${parameters.add(toDay)}`,
        hostCondition(parameters, 't.host', hosts),
      );
    const callers = await session.query<{ day: number; hosts: string }>(
      `SELECT day, string_agg(host::text, ',' ORDER BY host) AS hosts
       FROM (SELECT DISTINCT t.day, t.host FROM daily t WHERE ${among(ofHosts)}) d GROUP BY day ORDER BY day`,
      ofHosts.values,
    );
    // The roll-ups of the whole fleet have the same workloads in fewer rows.
    const ofIdentities = new SqlParameters();
    const rows = await session.query<{ day: number; identity: string }>(
      `SELECT t.day, i.key AS identity FROM
         (SELECT DISTINCT day, identity FROM ${hosts === null ? 'fleet_daily' : 'daily'} t WHERE ${among(ofIdentities)}) t
       JOIN identities i ON i.id = t.identity`,
      ofIdentities.values,
    );
    const identities = Map.groupBy(rows, ({ day }) => day);
    return {
      firstDay: first!.hour === null ? null : Math.floor(first!.hour / 24),
      days: callers.map(({ day, hosts: numbers }) => ({
        day,
        hosts: Uint32Array.from(numbers.split(','), Number),
        identities: (identities.get(day) ?? []).map(({ identity }) => identity),
      })),
    };
  }

  /** The cloud counts every request without a token, also one that is no use of IMDSv1. */
  async countV1(
    session: Session,
    hosts: ChosenHosts,
    spans: readonly Window[],
    isCounted: (status: number) => boolean,
  ): Promise<number[]> {
    const counts: number[] = [];
    for (const window of spans) {
      const scope = { window, hosts, identities: null };
      const rows = await this.#sum(session, { scope, classes: [V1, NEITHER], by: ['kind'] });
      await this.#values.loadKinds(
        session,
        rows.map(({ kind }) => kind),
      );
      let sum = 0;
      for (const { kind, count } of rows) {
        const { status, version, answeredBy } = this.#values.kind(kind);
        // The cloud sees only what reaches the service.
        if (version === 1 && answeredBy !== 'host' && status !== null && isCounted(status)) sum += count;
      }
      counts.push(sum);
    }
    return counts;
  }

  #counted({ kind, count, firstUs, lastUs }: SumRow): CountedCalls {
    return { ...this.#values.kind(kind), count, firstUs, lastUs };
  }

  /** Sums rows, grouped and ordered by the columns `by`. Without columns it is one row, of nulls where there is nothing. */
  async #sum(session: Session, question: SumQuestion): Promise<SumRow[]> {
    const parameters = new SqlParameters();
    const sql = sumSql(question, parameters);
    return sql === null ? [] : session.query<SumRow>(sql, parameters.values);
  }

  async #sumByBucket(
    session: Session,
    question: SumQuestion,
    bucket: 'hour' | 'day',
    byIdentity: boolean,
    version: 2 | null,
  ): Promise<{ bucket: number; identity: number | null; count: number; credentials: number }[]> {
    const parameters = new SqlParameters();
    const { window, hosts } = question.scope;
    const from = union(question, spansOf(window, bucket === 'hour'), hosts !== null, parameters, (unit) => {
      // A division of integers cuts towards zero, and days before 1970 are negative.
      const at = bucket === unit ? unit : 'floor(hour / 24.0)::integer';
      return `${at} AS bucket, identity, kind, count`;
    });
    if (from === null) return [];
    return session.query(
      `SELECT bucket, ${byIdentity ? 'identity' : 'NULL::bigint AS identity'}, sum(count)::bigint AS count,
         coalesce(sum(count) FILTER (WHERE kind IN
           (SELECT id FROM kinds WHERE category = 'credentials' AND status BETWEEN 200 AND 299)), 0)::bigint AS credentials
       FROM (${from}) t ${version === null ? '' : `WHERE kind IN (SELECT id FROM kinds WHERE version = ${version})`}
       GROUP BY bucket${byIdentity ? ', identity' : ''}`,
      parameters.values,
    );
  }
}

/** Returns a statement that sums rows, grouped and ordered by the columns `by`; null where there can be none. */
function sumSql(question: SumQuestion, parameters: SqlParameters): string | null {
  const { by, scope } = question;
  const perHost = by.includes('host') || scope.hosts !== null;
  const from = union(question, spansOf(scope.window), perHost, parameters, (unit) => {
    const start = unit === 'hour' ? `hour::bigint * ${HOUR_US}` : `day::bigint * ${DAY_US}`;
    return `${[...by, 'count'].join(', ')}, ${start} + first_us AS first_us, ${start} + last_us AS last_us`;
  });
  if (from === null) return null;
  const columns = by.join(', ');
  const grouped = by.length === 0 ? '' : `GROUP BY ${columns} ORDER BY ${columns}`;
  return `SELECT ${[...by, 'sum(count)::bigint AS count'].join(', ')}, min(first_us) AS "firstUs", max(last_us) AS "lastUs"
    FROM (${from}) t ${grouped}`;
}

/** Returns a SELECT of the rows that a question is about; null where there can be none. */
export function union(
  { scope: { hosts, identities }, classes, overWorkloads = false }: Omit<SumQuestion, 'by'>,
  spans: readonly Span[],
  perHost: boolean,
  parameters: SqlParameters,
  columns: (unit: Span['unit']) => string,
): string | null {
  if (spans.length === 0 || identities?.length === 0) return null;
  // The roll-ups of the whole fleet have fewer rows. They do where no host is named or told apart.
  const table = (unit: Span['unit']) => `${perHost ? '' : 'fleet_'}${unit === 'hour' ? 'hourly' : 'daily'}`;
  const among = all(
    `class = ANY (${parameters.add(classes)})`,
    overWorkloads ? 'identity = 0' : identityCondition(parameters, 'identity', identities),
    perHost ? hostCondition(parameters, 'host', hosts) : null,
  );
  return spans
    .map((span) => {
      const name = table(span.unit);
      const within = spanCondition(parameters, name, span, perHost ? hosts : null);
      return `SELECT ${columns(span.unit)} FROM ${name} WHERE ${within} AND ${among}`;
    })
    .join(' UNION ALL ');
}
