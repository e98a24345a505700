/**
 * The store's answers by workload. The store keeps each release of a workload as an identity of its own, with its
 * own sums. This class joins them when it is asked, so that other rules need no change of what is stored.
 */
import type { HostChoice } from './host_filter.ts';
import type {
  CallFilter,
  CallingDays,
  CountedCalls,
  HostBriefs,
  HostsScope,
  Identity,
  IdentityTotals,
  MeasuredHops,
  PlaceSums,
  Scope,
  SeriesPoint,
  StoredMembers,
  StoreQueries,
  WorkloadHosts,
  WorkloadHostsOptions,
} from './store.ts';
import type { WorkloadRules } from './workload_rules.ts';

const PAGE = 10_000;

type HostTotals = Awaited<ReturnType<StoreQueries['hostTotals']>>;

export class WorkloadQueries implements StoreQueries {
  readonly #store: StoreQueries;
  readonly #rules: WorkloadRules;
  /** Workload by identity, for identities whose id is not that of their workload. */
  readonly #workloads = new Map<string, string>();
  /** The same the other way round. */
  readonly #releases = new Map<string, Set<string>>();
  #lastRow = 0;
  #reading: Promise<void> | null = null;

  constructor(store: StoreQueries, rules: WorkloadRules) {
    this.#store = store;
    this.#rules = rules;
  }

  async identityTotals(scope: Scope): Promise<IdentityTotals[]> {
    const totals = await this.#store.identityTotals(await this.#expand(scope));
    await this.#update();
    return this.#joinedReleases(totals);
  }

  #joinedReleases(totals: readonly IdentityTotals[]): IdentityTotals[] {
    const groups = Map.groupBy(totals, ({ identity }) => this.#workloadOf(identity.id));
    return [...groups].map(([id, releases]) =>
      joinReleases(
        id,
        releases.map((each) => ({ ...each, release: this.#rules.releaseOf(each.identity) })),
      ),
    );
  }

  async sumsByPlace(...[window, options]: Parameters<StoreQueries['sumsByPlace']>): Promise<PlaceSums[]> {
    await this.#update();
    const joined = [...this.#workloads];
    const places = await this.#store.sumsByPlace(window, { ...options, joined });
    await this.#update();
    return places.map(({ totals, trend, ...place }) => ({
      ...place,
      totals: this.#joinedReleases(totals),
      trend: this.#joined(
        trend,
        ({ startUs }) => startUs,
        (a, b) => ({ ...a, v1: a.v1 + b.v1 }),
      ),
    }));
  }

  async workloadHosts(scope: Scope, options: WorkloadHostsOptions): Promise<WorkloadHosts[]> {
    const expanded = await this.#expand(scope);
    await this.#update();
    return this.#store.workloadHosts(expanded, { ...options, joined: [...this.#workloads] });
  }

  async callTotals(scope: Scope): ReturnType<StoreQueries['callTotals']> {
    const rows = await this.#store.callTotals(await this.#expand(scope));
    await this.#update();
    return this.#joined(
      rows,
      () => '',
      (a, b) => ({ ...a, kinds: [...a.kinds, ...b.kinds] }),
    );
  }

  async hostBriefs(...question: Parameters<StoreQueries['hostBriefs']>): Promise<HostBriefs> {
    return this.#joinedTotals(await this.#store.hostBriefs(...question));
  }

  async members(...question: Parameters<StoreQueries['members']>): Promise<StoredMembers> {
    return this.#joinedTotals(await this.#store.members(...question));
  }

  async callerHosts(scope: Scope, after: string | null, limit: number): Promise<string[]> {
    return this.#store.callerHosts(await this.#expand(scope), after, limit);
  }

  async measuredHops(scope: HostsScope): Promise<MeasuredHops[]> {
    const rows = await this.#store.measuredHops(await this.#expand(scope));
    await this.#update();
    return this.#joined(
      rows,
      ({ hostId, hops }) => `${hostId} ${hops}`,
      (a, b) => {
        const [earlier, later] = a.lastUs <= b.lastUs ? [a, b] : [b, a];
        return { ...a, lastUs: later.lastUs, tokenHopLimit: later.tokenHopLimit ?? earlier.tokenHopLimit };
      },
    );
  }

  async hostTotals(scope: HostsScope, withV2 = true): Promise<HostTotals> {
    const rows = await this.#store.hostTotals(await this.#expand(scope), withV2);
    await this.#update();
    return this.#joined(
      rows,
      ({ hostId }) => hostId,
      (a, b) => ({ ...a, kinds: [...a.kinds, ...b.kinds] }),
    );
  }

  /**
   * Returns each workload once, described by its newest release. The id of a release is taken for its workload's:
   * links of earlier releases of imdswatch have such ids.
   */
  async identities(ids: string[]): Promise<Identity[]> {
    await this.#update();
    const workloads = [...new Set(ids.map((id) => this.#workloadOf(id)))];
    const releases = await this.#store.identities(workloads.flatMap((id) => this.#releasesOf(id)));
    const newest = new Map(releases.map((release) => [this.#workloadOf(release.id), release]));
    return [...newest].map(([id, release]) => ({ ...release, id }));
  }

  async series(scope: Scope, bucket: 'hour' | 'day', byIdentity: boolean): Promise<SeriesPoint[]> {
    const points = await this.#store.series(await this.#expand(scope), bucket, byIdentity);
    await this.#update();
    return this.#joined(
      points,
      ({ startUs }) => startUs,
      (a, b) => ({
        ...a,
        v1: a.v1 + b.v1,
        v1Credentials: a.v1Credentials + b.v1Credentials,
        v2: a.v2 + b.v2,
      }),
    );
  }

  async callingDays(...question: Parameters<StoreQueries['callingDays']>): Promise<CallingDays> {
    const answer = await this.#store.callingDays(...question);
    await this.#update();
    if (this.#workloads.size === 0) return answer;
    const days = answer.days.map((each) => ({
      ...each,
      identities: [...new Set(each.identities.map((id) => this.#workloadOf(id)))],
    }));
    return { ...answer, days };
  }

  /** Returns the workload of each of these ids: of a release its workload, of any other id itself. */
  async workloadIds(ids: readonly string[]): Promise<Map<string, string>> {
    await this.#update();
    return new Map(ids.map((id) => [id, this.#workloadOf(id)]));
  }

  async pathsV1(identity: string, limit: number): ReturnType<StoreQueries['pathsV1']> {
    const lists = await this.#ofReleases(identity, (id) => this.#store.pathsV1(id, limit));
    const paths = new Map<string | null, Awaited<ReturnType<StoreQueries['pathsV1']>>[number]>();
    for (const each of lists.flat()) {
      const known = paths.get(each.path);
      if (known === undefined) paths.set(each.path, { ...each });
      else {
        known.count += each.count;
        known.lastUs = Math.max(known.lastUs, each.lastUs);
      }
    }
    const rest = paths.get(null);
    paths.delete(null);
    const listed = [...paths.values()].sort((a, b) => b.count - a.count || (a.path! < b.path! ? -1 : 1));
    return [...listed, ...(rest === undefined ? [] : [rest])].slice(0, limit);
  }

  /** Processes that called at the same time have an order that does not depend on the store. */
  async callers(identity: string, limit: number, hosts: HostChoice): ReturnType<StoreQueries['callers']> {
    const lists = await this.#ofReleases(identity, (id) => this.#store.callers(id, limit, hosts));
    const textOf = ({ hostId, facts }: (typeof lists)[number][number]) => JSON.stringify([hostId, facts]);
    return lists
      .flat()
      .sort((a, b) => b.lastUs - a.lastUs || (textOf(a) < textOf(b) ? -1 : 1))
      .slice(0, limit);
  }

  async calls(filter: CallFilter, limit: number, cursor: string | null): ReturnType<StoreQueries['calls']> {
    return this.#store.calls(await this.#expand(filter), limit, cursor);
  }

  hostIds(...args: Parameters<StoreQueries['hostIds']>): ReturnType<StoreQueries['hostIds']> {
    return this.#store.hostIds(...args);
  }
  hostPage(...args: Parameters<StoreQueries['hostPage']>): ReturnType<StoreQueries['hostPage']> {
    return this.#store.hostPage(...args);
  }
  reportedSpan(): ReturnType<StoreQueries['reportedSpan']> {
    return this.#store.reportedSpan();
  }
  reportedDays(...args: Parameters<StoreQueries['reportedDays']>): ReturnType<StoreQueries['reportedDays']> {
    return this.#store.reportedDays(...args);
  }
  countedHosts(...args: Parameters<StoreQueries['countedHosts']>): ReturnType<StoreQueries['countedHosts']> {
    return this.#store.countedHosts(...args);
  }
  hosts(...args: Parameters<StoreQueries['hosts']>): ReturnType<StoreQueries['hosts']> {
    return this.#store.hosts(...args);
  }
  coverage(...args: Parameters<StoreQueries['coverage']>): ReturnType<StoreQueries['coverage']> {
    return this.#store.coverage(...args);
  }
  cloudCounts(...args: Parameters<StoreQueries['cloudCounts']>): ReturnType<StoreQueries['cloudCounts']> {
    return this.#store.cloudCounts(...args);
  }
  cloudInstances(
    ...args: Parameters<StoreQueries['cloudInstances']>
  ): ReturnType<StoreQueries['cloudInstances']> {
    return this.#store.cloudInstances(...args);
  }
  cloudResources(): ReturnType<StoreQueries['cloudResources']> {
    return this.#store.cloudResources();
  }
  cloudInventory(): ReturnType<StoreQueries['cloudInventory']> {
    return this.#store.cloudInventory();
  }
  profiles(): ReturnType<StoreQueries['profiles']> {
    return this.#store.profiles();
  }
  hostNames(hostIds: readonly string[]): ReturnType<StoreQueries['hostNames']> {
    return this.#store.hostNames(hostIds);
  }
  answeredV1(...args: Parameters<StoreQueries['answeredV1']>): ReturnType<StoreQueries['answeredV1']> {
    return this.#store.answeredV1(...args);
  }
  refusedV1(...args: Parameters<StoreQueries['refusedV1']>): ReturnType<StoreQueries['refusedV1']> {
    return this.#store.refusedV1(...args);
  }
  identitiesAfter(row: number, limit: number): ReturnType<StoreQueries['identitiesAfter']> {
    return this.#store.identitiesAfter(row, limit);
  }
  statistics(): ReturnType<StoreQueries['statistics']> {
    return this.#store.statistics();
  }
  close(): Promise<void> {
    return this.#store.close();
  }

  #workloadOf(identity: string): string {
    return this.#workloads.get(identity) ?? identity;
  }

  #releasesOf(workload: string): string[] {
    return [workload, ...(this.#releases.get(workload) ?? [])];
  }

  async #ofReleases<T>(identity: string, ask: (id: string) => Promise<T>): Promise<T[]> {
    await this.#update();
    return Promise.all(this.#releasesOf(this.#workloadOf(identity)).map(ask));
  }

  /** Puts the releases of the chosen workloads in their place. */
  async #expand<T extends { identities: string[] | null }>(scope: T): Promise<T> {
    if (scope.identities === null) return scope;
    await this.#update();
    const identities = scope.identities.flatMap((id) => this.#releasesOf(this.#workloadOf(id)));
    return { ...scope, identities: [...new Set(identities)] };
  }

  /** Gives rows the ids of workloads, and joins those of equal workload and place. */
  #joined<T extends { identity: string | null }>(
    rows: T[],
    placeOf: (row: T) => string | number,
    join: (a: T, b: T) => T,
  ): T[] {
    if (this.#workloads.size === 0) return rows;
    const others: T[] = [];
    const joined = new Map<string, T>();
    for (const row of rows) {
      const id = row.identity === null ? null : this.#workloadOf(row.identity);
      if (id === null || !this.#releases.has(id)) {
        others.push(row);
        continue;
      }
      const key = `${id} ${placeOf(row)}`;
      const known = joined.get(key);
      joined.set(key, known === undefined ? { ...row, identity: id } : join(known, row));
    }
    return [...others, ...joined.values()];
  }

  async #joinedTotals<T extends { totals: HostTotals }>(answer: T): Promise<T> {
    await this.#update();
    const totals = this.#joined(
      answer.totals,
      ({ hostId }) => hostId,
      (a, b) => ({ ...a, kinds: [...a.kinds, ...b.kinds] }),
    );
    return { ...answer, totals };
  }

  /** Learns of identities that were stored since the last question. */
  async #update(): Promise<void> {
    this.#reading ??= this.#readNew().finally(() => {
      this.#reading = null;
    });
    await this.#reading;
  }

  async #readNew(): Promise<void> {
    for (;;) {
      const rows = await this.#store.identitiesAfter(this.#lastRow, PAGE);
      for (const { row, identity } of rows) {
        this.#lastRow = row;
        const workload = this.#rules.workloadId(identity);
        if (workload === identity.id) continue;
        this.#workloads.set(identity.id, workload);
        const releases = this.#releases.get(workload) ?? new Set();
        releases.add(identity.id);
        this.#releases.set(workload, releases);
      }
      if (rows.length < PAGE) return;
    }
  }
}

/** Returns a workload with the sums of its releases, of which that comes first that called last. */
export function joinReleases(
  id: string,
  releases: readonly NonNullable<IdentityTotals['releases']>[number][],
): IdentityTotals {
  const latestFirst = releases.toSorted((a, b) => lastUsOf(b.kinds) - lastUsOf(a.kinds));
  const kinds = releases.length === 1 ? releases[0]!.kinds : releases.flatMap((each) => each.kinds);
  return { identity: { ...latestFirst[0]!.identity, id }, kinds, releases: latestFirst };
}

function lastUsOf(kinds: readonly CountedCalls[]): number {
  return kinds.reduce((latest, { lastUs }) => Math.max(latest, lastUs), 0);
}
