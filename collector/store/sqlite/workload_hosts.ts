/** Adds up the hosts of each workload, so that their rows need not leave the reader. */
import { HOUR_US } from '../../contract/window.ts';
import { tagValue } from '../host_filter.ts';
import type { IdentityHost, Scope, WorkloadHosts, WorkloadHostsOptions } from '../store.ts';
import type { Rows } from './rows.ts';
import { hostColumn, isAmong } from './total_queries.ts';
import { bounded, type Totals } from './totals.ts';

/** Larger than any number of a host, so that a workload and a host are one number. */
const MAX_HOSTS = 2 ** 27;
/** In place of a workload: several of them called IMDSv1 on the host. */
const SEVERAL = null;

interface Row {
  host: number;
  firstUs: number;
  lastUs: number;
  lastV1Us: number | null;
  callsV1: number;
}

interface Workload {
  id: string;
  hosts: number;
  firstUs: number;
  lastUs: number;
  lastV1Us: number | null;
  freed: number;
  /** Not yet sorted, and longer than wanted. */
  latest: Row[];
  /** No host that called last before this time is among the latest. */
  latestFromUs: number;
  profiles: Set<number>;
  /** The rows of a workload of several identities, by host: one host counts once. Else null. */
  merged: Map<number, Row> | null;
}

export class WorkloadHostsReader {
  readonly #rows: Rows;
  readonly #totals: Totals;

  constructor(rows: Rows, totals: Totals) {
    this.#rows = rows;
    this.#totals = totals;
  }

  read(scope: Scope, { latest, tagKeys, joined = [] }: WorkloadHostsOptions): WorkloadHosts[] {
    const joins = new Map(joined);
    const several = new Set(joins.values());
    const byIdentity = new Map<number, Workload>();
    const byId = new Map<string, Workload>();
    const workloadOf = (identity: number): Workload => {
      let workload = byIdentity.get(identity);
      if (workload !== undefined) return workload;
      const own = this.#rows.identity(identity).id;
      const id = joins.get(own) ?? own;
      workload = byId.get(id) ?? newWorkload(id, several.has(id));
      byId.set(id, workload);
      byIdentity.set(identity, workload);
      return workload;
    };
    const keyOf = (identity: number, host: number) => identity * MAX_HOSTS + host;
    const callsV1 = new Map<number, number>();
    const calledOn = new Set<number>();
    for (const { identity, host, count } of this.#totals.callsV1(scope)) {
      callsV1.set(keyOf(identity, host), count);
      calledOn.add(host);
    }
    const hosts = scope.hosts === null ? null : this.#rows.hostRows(scope.hosts);
    const profileOf = this.#profilesOf(hosts);
    const add = (workload: Workload, row: Row) => {
      workload.hosts += 1;
      workload.firstUs = Math.min(workload.firstUs, row.firstUs);
      workload.lastUs = Math.max(workload.lastUs, row.lastUs);
      workload.lastV1Us = laterOf(workload.lastV1Us, row.lastV1Us);
      workload.profiles.add(profileOf[row.host] ?? 0);
      if (row.lastUs < workload.latestFromUs) return;
      workload.latest.push(row);
      if (workload.latest.length < 2 * latest + 100) return;
      workload.latest = this.#latest(workload.latest, latest);
      workload.latestFromUs = workload.latest.at(-1)?.lastUs ?? Number.POSITIVE_INFINITY;
    };
    for (const [identity, host, firstUs, lastUs, lastV1Us] of this.#identityHosts(scope, hosts)) {
      const workload = workloadOf(identity);
      const row = { host, firstUs, lastUs, lastV1Us, callsV1: callsV1.get(keyOf(identity, host)) ?? 0 };
      if (workload.merged === null) {
        add(workload, row);
        continue;
      }
      const known = workload.merged.get(host);
      workload.merged.set(host, known === undefined ? row : merge(known, row));
    }
    for (const workload of byId.values()) {
      for (const row of workload.merged?.values() ?? []) add(workload, row);
    }
    this.#countFreed(scope, calledOn, workloadOf);
    return [...byId.values()]
      .filter((workload) => workload.hosts > 0)
      .map((workload) => this.#describe(workload, latest, tagKeys));
  }

  /** A host is freed by a workload if no other one made an IMDSv1 call there. */
  #countFreed(scope: Scope, calledOn: ReadonlySet<number>, workloadOf: (identity: number) => Workload): void {
    const only = new Map<number, Workload | typeof SEVERAL>();
    const all = { ...scope, identities: null };
    // A question about some workloads needs only the hosts on which one of them called.
    const rows =
      scope.identities === null ? this.#totals.callsV1(all) : this.#totals.callsV1(all, [...calledOn]);
    for (const { identity, host } of rows) {
      const workload = workloadOf(identity);
      const known = only.get(host);
      if (known === undefined) only.set(host, workload);
      else if (known !== workload) only.set(host, SEVERAL);
    }
    for (const workload of only.values()) if (workload !== SEVERAL) workload.freed += 1;
  }

  #identityHosts(
    { window, identities }: Scope,
    hosts: number[] | null,
  ): Iterable<[number, number, number, number, number | null]> {
    const lists = [
      { column: 'identity', rows: identities === null ? null : this.#rows.identityRows(identities) },
      { column: hostColumn(hosts ?? []), rows: hosts },
    ].filter(({ rows }) => rows !== null);
    const statement = this.#totals.prepare(
      `SELECT identity, host, first_us, last_us, last_v1_us FROM identity_hosts
       WHERE last_us >= ? AND first_us < ?${lists.map(({ column }) => isAmong(column)).join('')}`,
    );
    statement.setReturnArrays(true);
    const sinceUs = Math.floor(window.sinceUs / HOUR_US) * HOUR_US;
    return statement.iterate(
      bounded(sinceUs),
      bounded(window.untilUs),
      ...lists.map(({ rows }) => JSON.stringify(rows)),
    ) as never;
  }

  /** Returns the number of the profile that each host reports now, by the number of the host. */
  #profilesOf(hosts: number[] | null): number[] {
    const statement = this.#totals.prepare(
      `SELECT host, profile FROM host_profiles WHERE until_us IS NULL${hosts === null ? '' : isAmong('host')}`,
    );
    statement.setReturnArrays(true);
    const profiles: number[] = [];
    const rows = hosts === null ? statement.iterate() : statement.iterate(JSON.stringify(hosts));
    for (const [host, profile] of rows as unknown as Iterable<[number, number]>) profiles[host] = profile;
    return profiles;
  }

  /** Returns the rows that were last, of equal times those whose host's id sorts first. */
  #latest(rows: Row[], count: number): Row[] {
    return rows
      .sort((a, b) => b.lastUs - a.lastUs || (this.#rows.hostId(a.host) < this.#rows.hostId(b.host) ? -1 : 1))
      .slice(0, count);
  }

  #describe(workload: Workload, latest: number, tagKeys: readonly string[]): WorkloadHosts {
    const { id, hosts, firstUs, lastUs, lastV1Us, freed, profiles } = workload;
    const facts = [...profiles].map((number) => this.#rows.chosenHosts.profile(number));
    const valuesOf = (key: 'cloud.account.id' | 'cloud.region') =>
      [...new Set(facts.flatMap((profile) => profile[key] ?? []))].sort();
    return {
      identity: id,
      hosts,
      firstUs,
      lastUs,
      lastV1Us,
      freed,
      latest: this.#latest(workload.latest, latest).map(
        ({ host, ...times }): IdentityHost => ({ identity: id, hostId: this.#rows.hostId(host), ...times }),
      ),
      accounts: valuesOf('cloud.account.id'),
      regions: valuesOf('cloud.region'),
      tags: Object.fromEntries(
        tagKeys.map((key) => [key, [...new Set(facts.map(({ tags }) => tagValue(tags, key)))]]),
      ),
    };
  }
}

function newWorkload(id: string, isJoined: boolean): Workload {
  return {
    id,
    hosts: 0,
    firstUs: Number.POSITIVE_INFINITY,
    lastUs: 0,
    lastV1Us: null,
    freed: 0,
    latest: [],
    latestFromUs: Number.NEGATIVE_INFINITY,
    profiles: new Set(),
    merged: isJoined ? new Map() : null,
  };
}

function merge(a: Row, b: Row): Row {
  return {
    host: a.host,
    firstUs: Math.min(a.firstUs, b.firstUs),
    lastUs: Math.max(a.lastUs, b.lastUs),
    lastV1Us: laterOf(a.lastV1Us, b.lastV1Us),
    callsV1: a.callsV1 + b.callsV1,
  };
}

function laterOf(a: number | null, b: number | null): number | null {
  return a === null || b === null ? (a ?? b) : Math.max(a, b);
}
