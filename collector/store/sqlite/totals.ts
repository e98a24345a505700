/**
 * Answers questions about many calls from roll-ups. A window is split into its whole days and, at either end,
 * the hours that are left.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { DAY_US, HOUR_US, type Window } from '../../contract/window.ts';
import type { HostChoice } from '../host_filter.ts';
import type {
  CallingDays,
  CountedCalls,
  HostsScope,
  IdentityTotals,
  MeasuredHops,
  Scope,
  SeriesPoint,
} from '../store.ts';
import { CallingDaysReader } from './calling_days.ts';
import { ClosedSums, MAX_ROWS } from './closed_sums.ts';
import { HostTotalsPacker, type PackedHostTotals, PLAIN_V2, PLAIN_V2_KIND } from './packed_totals.ts';
import type { Rows } from './rows.ts';
import { isAmong, TotalQueries } from './total_queries.ts';
import {
  compareByHost,
  type HostSpan,
  KIND_CLASS,
  mergeTotals,
  type Part,
  partsWithin,
  rowsOfSpan,
  type TotalColumn,
  type TotalRow,
  type TotalsQuestion,
} from './total_rows.ts';

const { v2Sum: V2_SUM, v1: V1, v2: V2, neither: NEITHER } = KIND_CLASS;

export class Totals {
  readonly #rows: Rows;
  readonly #queries: TotalQueries;
  readonly #closed: ClosedSums;
  readonly #callingDays: CallingDaysReader;
  /** The sums of the closed days by host are more than are kept. */
  #isLarge = false;

  constructor(database: DatabaseSync, rows: Rows) {
    this.#rows = rows;
    this.#queries = new TotalQueries(database);
    this.#closed = new ClosedSums(database);
    this.#callingDays = new CallingDaysReader(database, this.#queries);
  }

  /** Prepares a statement once. */
  prepare(sql: string): StatementSync {
    return this.#queries.prepare(sql);
  }

  identityTotals(scope: Scope): IdentityTotals[] {
    const question = this.#question(scope, [V1, V2, NEITHER]);
    const totals = new Map<number, IdentityTotals>();
    for (const row of this.#sums(question, ['identity', 'kind'])) {
      let total = totals.get(row.identity);
      if (total === undefined) {
        total = { identity: this.#rows.identity(row.identity), kinds: [] };
        totals.set(row.identity, total);
      }
      total.kinds.push(this.#counted(row));
    }
    return [...totals.values()];
  }

  hostTotals(scope: HostsScope, withV2: boolean): PackedHostTotals {
    const packer = new HostTotalsPacker((kind) => this.#rows.kind(kind));
    for (const row of this.#sums(this.#question(scope, [V1, NEITHER]), ['identity', 'host', 'kind'])) {
      packer.setOwner(row.host, row.identity, () => ({
        hostId: this.#rows.hostId(row.host),
        identity: this.#rows.identity(row.identity).id,
      }));
      packer.addRow(row);
    }
    if (!withV2) return packer.packed();
    for (const row of this.#sums(this.#plainV2(scope), ['host'])) {
      packer.setOwner(row.host, null, () => ({ hostId: this.#rows.hostId(row.host), identity: null }));
      packer.addRow({ ...row, kind: PLAIN_V2 });
    }
    return packer.packed();
  }

  callTotals(scope: Scope): { identity: string | null; kinds: CountedCalls[] }[] {
    const totals: { identity: string | null; kinds: CountedCalls[] }[] = [];
    let owner = -1;
    for (const row of this.#sums(this.#question(scope, [V1, NEITHER]), ['identity', 'kind'])) {
      if (row.identity !== owner) totals.push({ identity: this.#rows.identity(row.identity).id, kinds: [] });
      owner = row.identity;
      totals.at(-1)!.kinds.push(this.#counted(row));
    }
    const plain = { ...PLAIN_V2_KIND, count: 0, firstUs: Number.POSITIVE_INFINITY, lastUs: 0 };
    for (const { count, firstUs, lastUs } of this.#sums(this.#plainV2(scope), ['identity'])) {
      plain.count += count;
      plain.firstUs = Math.min(plain.firstUs, firstUs);
      plain.lastUs = Math.max(plain.lastUs, lastUs);
    }
    if (plain.count > 0) totals.push({ identity: null, kinds: [plain] });
    return totals;
  }

  /** Returns the totals, without IMDSv2 calls, of hosts by their numbers: of a list, or from one to another. */
  briefTotals(window: Window, hosts: number[] | HostSpan): PackedHostTotals {
    const packer = new HostTotalsPacker((kind) => this.#rows.kind(kind));
    const question = this.#question({ window, hosts: null, identities: null }, [V1, NEITHER]);
    const rows = Array.isArray(hosts)
      ? this.#sums({ ...question, hosts }, ['identity', 'host', 'kind'])
      : this.#sumsOfSpan(question, hosts);
    for (const row of rows) {
      packer.setOwner(row.host, row.identity, () => ({
        hostId: this.#rows.hostId(row.host),
        identity: this.#rows.identity(row.identity).id,
      }));
      packer.addRow(row);
    }
    return packer.packed();
  }

  /** Sums over workloads can be used only where no workloads are selected. */
  #plainV2(scope: Scope): TotalsQuestion {
    return scope.identities === null
      ? { ...this.#question({ ...scope, identities: null }, [V2_SUM]), identities: [0] }
      : this.#question(scope, [V2]);
  }

  /**
   * Returns the number of IMDSv1 calls for each workload and host. `hosts`: numbers in place of the scope's hosts.
   * Callers must not change the rows.
   */
  callsV1(scope: Scope, hosts?: number[]): TotalRow[] {
    const question = this.#question(hosts === undefined ? scope : { ...scope, hosts: null }, [V1]);
    return this.#sums(hosts === undefined ? question : { ...question, hosts }, ['identity', 'host']);
  }

  measuredHops({ window, identities, hosts }: HostsScope): MeasuredHops[] {
    const lists = [
      { column: 'identity', rows: identities === null ? null : this.#rows.identityRows(identities) },
      { column: 'host', rows: this.#rows.hostRows(hosts) },
    ].filter(({ rows }) => rows !== null);
    return this.#queries
      .prepare(
        `SELECT identity, host, hops, token_hop_limit AS tokenHopLimit, last_us AS lastUs FROM measured_hops
         WHERE last_us >= ?${lists.map(({ column }) => isAmong(column)).join('')} ORDER BY host, identity, hops`,
      )
      .all(bounded(Math.floor(window.sinceUs)), ...lists.map(({ rows }) => JSON.stringify(rows)))
      .map(({ identity, host, hops, tokenHopLimit, lastUs }) => ({
        identity: this.#rows.identity(Number(identity)).id,
        hostId: this.#rows.hostId(Number(host)),
        hops: Number(hops),
        tokenHopLimit: tokenHopLimit as number | null,
        lastUs: Number(lastUs),
      }));
  }

  series(scope: Scope, bucket: 'hour' | 'day', byIdentity: boolean): SeriesPoint[] {
    const points = new Map<string, SeriesPoint>();
    const hourly = bucket === 'hour';
    const add = (classes: number[], field: 'v1' | 'v2', keyed: boolean, version: 2 | null = null) => {
      const question = this.#question(scope, classes, hourly);
      if (!keyed) question.identities = [0];
      for (const { bucket: at, identity, count, credentials } of this.#queries.sumByBucket(
        question,
        bucket,
        keyed && byIdentity,
        version,
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
    add([NEITHER], 'v2', true, 2);
    return [...points.values()].filter(({ v1, v2 }) => v1 + v2 > 0).sort((a, b) => a.startUs - b.startUs);
  }

  callingDays(fromDay: number, toDay: number, hosts: HostChoice): CallingDays {
    const chosen = hosts === null ? null : this.#rows.hostRows(hosts);
    const days = this.#callingDays.read(fromDay, toDay, chosen);
    const { first } = this.#queries.storedHours();
    return {
      firstDay: Number.isFinite(first) ? Math.floor(first / 24) : null,
      days: [...days].map(([day, { hosts: callers, identities }]) => ({
        day,
        hosts: callers,
        identities: [...identities].map((row) => this.#rows.identity(row).id),
      })),
    };
  }

  answeredV1(hostId: string, spans: Window[]): number[] {
    return this.#countV1(hostId, spans, (status) => status >= 200 && status < 300);
  }

  refusedV1(hostId: string, spans: Window[]): number[] {
    return this.#countV1(hostId, spans, (status) => status === 401);
  }

  /** The cloud counts every request without a token, also one that is no use of IMDSv1. */
  #countV1(hostId: string, spans: Window[], isCounted: (status: number) => boolean): number[] {
    return spans.map((window) => {
      const question = this.#question({ window, hosts: [hostId], identities: null }, [V1, NEITHER]);
      let sum = 0;
      for (const { kind, count } of this.#sums(question, ['kind'])) {
        const { status, version, answeredBy } = this.#rows.kind(kind);
        // The cloud sees only what reaches the service.
        if (version === 1 && answeredBy !== 'host' && status !== null && isCounted(status)) sum += count;
      }
      return sum;
    });
  }

  #counted({ kind, count, firstUs, lastUs }: TotalRow): CountedCalls {
    return { ...this.#rows.kind(kind), count, firstUs, lastUs };
  }

  #question({ window, hosts, identities }: Scope, classes: number[], hoursOnly = false): TotalsQuestion {
    return {
      classes,
      parts: this.#parts(window, hoursOnly),
      hosts: hosts === null ? null : this.#rows.hostRows(hosts),
      identities: identities === null ? null : this.#rows.identityRows(identities),
    };
  }

  #parts({ sinceUs, untilUs }: Window, hoursOnly: boolean): Part[] {
    const { first, last } = this.#queries.storedHours();
    const from = Math.max(Math.floor(sinceUs / HOUR_US), first);
    const to = Math.min(Math.ceil(untilUs / HOUR_US), last + 1);
    if (from >= to) return [];
    if (hoursOnly) return [{ unit: 'hour', from, to }];
    // The first and last day count as whole where nothing is stored beyond the window.
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

  /**
   * Sums closed days once, and again only when a late record changed one of them. The day that is being
   * written is always summed.
   */
  #sums(question: TotalsQuestion, by: TotalColumn[]): TotalRow[] {
    const { closed, open } = this.#split(question);
    const before = this.#closed.sums(closed, by, () => this.#queries.sum(closed, by));
    return merged(before, this.#queries.sum(open, by));
  }

  /** Sums the closed days of all hosts once, and takes those of a span of hosts from there. */
  #sumsOfSpan(question: TotalsQuestion, span: HostSpan): TotalRow[] {
    const by: TotalColumn[] = ['host', 'identity', 'kind'];
    const { closed, open } = this.#split(question);
    let before: TotalRow[];
    if (this.#isLarge) before = this.#queries.sum({ ...closed, span }, by);
    else {
      const all = this.#closed.sums(closed, by, () => this.#queries.sum(closed, by));
      before = rowsOfSpan(all, span);
      // More than are kept: to sum them again for each span would take too long.
      this.#isLarge = all.length > MAX_ROWS;
    }
    return merged(before, this.#queries.sum({ ...open, span }, by), compareByHost);
  }

  #split(question: TotalsQuestion): { closed: TotalsQuestion; open: TotalsQuestion } {
    const today = Math.min(
      Math.floor((Date.now() * 1000) / DAY_US),
      Math.floor(this.#queries.storedHours().last / 24),
    );
    const closed = { ...question, parts: partsWithin(question.parts, Number.NEGATIVE_INFINITY, today) };
    const open = { ...question, parts: partsWithin(question.parts, today, Number.POSITIVE_INFINITY) };
    return { closed, open };
  }
}

function merged(
  before: TotalRow[],
  since: TotalRow[],
  compare?: Parameters<typeof mergeTotals>[2],
): TotalRow[] {
  if (since.length === 0) return before;
  if (before.length === 0) return since;
  return mergeTotals(before, since, compare);
}

/** Cuts a time to what SQLite can store: a window that is open has `Infinity`. */
export function bounded(us: number): number {
  return Math.max(Number.MIN_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, us));
}
