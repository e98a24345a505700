/**
 * The questions of a viewer who may see some hosts only. Every question of the store is asked here about these hosts, so
 * that nothing above this class can see another one. A new question of the store does not compile until it says here how
 * it is narrowed.
 *
 * A host belongs to a scope by what it reports now, with all that is stored of it. An instance without an agent belongs to
 * it by the cloud's inventory. Sums are those of single hosts, added up: they take longer than the sums of the fleet.
 */
import type { ViewScope } from '../contract/host_scope.ts';
import { type HostChoice, type HostFilter, isIdList, isInScope } from './host_filter.ts';
import { sumsByQuestions } from './place_sums.ts';
import { keepMembers } from './scoped_members.ts';
import { keepResources } from './scoped_resources.ts';
import type {
  CallFilter,
  CallingDays,
  CloudCount,
  CloudInstance,
  CloudInventory,
  CloudMember,
  HostBriefs,
  HostCoverage,
  HostProfile,
  HostsScope,
  Identity,
  IdentityTotals,
  MeasuredHops,
  MembersPlace,
  ReportedDays,
  Scope,
  SeriesPoint,
  StoredHost,
  StoredMembers,
  StoredProfiles,
  StoreQueries,
  StoreStatistics,
  WorkloadHosts,
  WorkloadHostsOptions,
} from './store.ts';
import { toMicroseconds } from './time.ts';

type Answer<Name extends keyof StoreQueries> = ReturnType<StoreQueries[Name]>;

const EVER = { sinceUs: 0, untilUs: Number.MAX_SAFE_INTEGER };
/** Latest calls of which the paths of a workload are counted: the stored counts of paths are those of the fleet. */
const COUNTED_CALLS = 2000;
const CALLS_AT_ONCE = 1000;

export class ScopedQueries implements StoreQueries {
  readonly #store: StoreQueries;
  readonly #scope: ViewScope;

  constructor(store: StoreQueries, scope: ViewScope) {
    this.#store = store;
    this.#scope = scope;
  }

  identityTotals(scope: Scope): Promise<IdentityTotals[]> {
    return this.#store.identityTotals(this.#narrow(scope));
  }
  callTotals(scope: Scope): Answer<'callTotals'> {
    return this.#store.callTotals(this.#narrow(scope));
  }
  workloadHosts(scope: Scope, options: WorkloadHostsOptions): Promise<WorkloadHosts[]> {
    return this.#store.workloadHosts(this.#narrow(scope), options);
  }
  series(scope: Scope, bucket: 'hour' | 'day', byIdentity: boolean): Promise<SeriesPoint[]> {
    return this.#store.series(this.#narrow(scope), bucket, byIdentity);
  }
  sumsByPlace(...question: Parameters<StoreQueries['sumsByPlace']>): Answer<'sumsByPlace'> {
    return sumsByQuestions(this, ...question);
  }
  callerHosts(scope: Scope, after: string | null, limit: number): Promise<string[]> {
    return this.#store.callerHosts(this.#narrow(scope), after, limit);
  }
  async measuredHops(scope: HostsScope): Promise<MeasuredHops[]> {
    return this.#store.measuredHops({ ...scope, hosts: await this.#among(scope.hosts) });
  }
  async hostTotals(scope: HostsScope, withV2?: boolean): Answer<'hostTotals'> {
    return this.#store.hostTotals({ ...scope, hosts: await this.#among(scope.hosts) }, withV2);
  }

  hostIds(choice: HostChoice, after: string | null, limit: number): Promise<string[]> {
    return this.#store.hostIds(this.#choice(choice), after, limit);
  }
  hostPage(choice: HostChoice, after: string | null, limit: number): Promise<StoredHost[]> {
    return this.#store.hostPage(this.#choice(choice), after, limit);
  }
  hostBriefs(choice: HostChoice, ...question: AfterFirst<'hostBriefs'>): Promise<HostBriefs> {
    return this.#store.hostBriefs(this.#choice(choice), ...question);
  }
  reportedDays(choice: HostChoice): Promise<ReportedDays[]> {
    return this.#store.reportedDays(this.#choice(choice));
  }
  callingDays(fromDay: number, toDay: number, hosts: HostChoice): Promise<CallingDays> {
    return this.#store.callingDays(fromDay, toDay, this.#choice(hosts));
  }
  countedHosts(
    window: Parameters<StoreQueries['countedHosts']>[0],
    choice: HostChoice,
    ...page: [after: string | null, limit: number]
  ): Promise<string[]> {
    return this.#store.countedHosts(window, this.#choice(choice), ...page);
  }
  async hosts(ids: readonly string[]): Promise<StoredHost[]> {
    return this.#store.hosts(await this.#among(ids));
  }
  async coverage(
    window: Parameters<StoreQueries['coverage']>[0],
    hosts: readonly string[],
  ): Promise<HostCoverage[]> {
    return this.#store.coverage(window, await this.#among(hosts));
  }
  async hostNames(hostIds: readonly string[]): Promise<string[]> {
    const own = await this.#among(hostIds);
    const names = await this.#store.hostNames(own);
    const nameById = new Map(own.map((id, at) => [id, names[at]!]));
    return hostIds.map((id) => nameById.get(id) ?? id);
  }

  /** Returns the profiles that match. One that a host reported before it came into the scope is left out. */
  async profiles(): Promise<StoredProfiles> {
    const all = await this.#store.profiles();
    return new Map([...all].filter(([, { facts }]) => this.#has(facts)));
  }
  async members(
    window: Parameters<StoreQueries['members']>[0],
    profiles: readonly number[] | null,
    after: MembersPlace,
    limit: number,
    withTotals?: boolean,
  ): Promise<StoredMembers> {
    const [found, own] = await Promise.all([
      this.#store.members(window, profiles, after, limit, withTotals),
      this.profiles(),
    ]);
    const [reported, inScope] = await Promise.all([
      this.#store.hostIds(found.hostIds, null, found.hostIds.length),
      this.#among(found.hostIds),
    ]);
    return keepMembers(found, own, new Set(reported), new Set(inScope));
  }

  /** Returns the workloads that called on a host of the scope. */
  async identities(ids: string[]): Promise<Identity[]> {
    if (ids.length === 0) return [];
    const scope = { window: EVER, hosts: this.#choice(null), identities: ids };
    const called = await this.#store.workloadHosts(scope, { latest: 0, tagKeys: [] });
    return this.#store.identities(called.map(({ identity }) => identity));
  }
  /** Returns those of all hosts: they say which releases are one workload, and are shown to nobody. */
  identitiesAfter(row: number, limit: number): Answer<'identitiesAfter'> {
    return this.#store.identitiesAfter(row, limit);
  }

  /**
   * Counts the paths of the latest calls on hosts of the scope. The calls before these are in the line of all paths that
   * are not listed.
   */
  async pathsV1(identity: string, limit: number): Answer<'pathsV1'> {
    const [[totals], calls] = await Promise.all([
      this.identityTotals({ window: EVER, hosts: null, identities: [identity] }),
      this.#latestV1(identity),
    ]);
    const paths = new Map<string | null, { path: string | null; count: number; lastUs: number }>();
    for (const { 'url.path': path, time } of calls) {
      const known = paths.get(path);
      // The calls come newest first.
      if (known === undefined) paths.set(path, { path, count: 1, lastUs: toMicroseconds(time) });
      else known.count += 1;
    }
    const unknown = paths.get(null);
    paths.delete(null);
    const most = [...paths.values()].sort((a, b) => b.count - a.count || (a.path! < b.path! ? -1 : 1));
    const listed = most.slice(0, limit - 1);
    const total = (totals?.kinds ?? []).reduce(
      (sum, { version, count }) => sum + (version === 1 ? count : 0),
      0,
    );
    const rest = total - listed.reduce((sum, { count }) => sum + count, 0);
    if (rest <= 0) return listed;
    const others = [...(unknown === undefined ? [] : [unknown]), ...most.slice(limit - 1)];
    // The calls that were not counted are older than all that were.
    const oldest = calls.at(-1);
    const notCountedUs = oldest === undefined ? 0 : toMicroseconds(oldest.time);
    const lastUs = others.reduce((latest, each) => Math.max(latest, each.lastUs), 0) || notCountedUs;
    return [...listed, { path: null, count: rest, lastUs }];
  }

  callers(identity: string, limit: number, hosts: HostChoice): Answer<'callers'> {
    return this.#store.callers(identity, limit, this.#choice(hosts));
  }
  calls(filter: CallFilter, limit: number, cursor: string | null): Answer<'calls'> {
    return this.#store.calls({ ...filter, hosts: this.#choice(filter.hosts) }, limit, cursor);
  }

  async cloudCounts(
    window: Parameters<StoreQueries['cloudCounts']>[0],
    hosts: readonly string[],
  ): Promise<CloudCount[]> {
    return this.#store.cloudCounts(window, await this.#amongInstances(hosts));
  }
  async cloudInstances(ids: readonly string[]): Promise<CloudInstance[]> {
    return this.#store.cloudInstances(await this.#amongInstances(ids));
  }
  async cloudInventory(): Promise<CloudInventory> {
    const { instances } = await this.#store.cloudInventory();
    const own = new Set(await this.#amongMembers(instances));
    return {
      instances: instances.filter(({ hostId }) => own.has(hostId)),
      resources: await this.cloudResources(),
    };
  }
  /** Returns the resources of whole accounts of the scope, and those that instances of the scope name. */
  async cloudResources(): Answer<'cloudResources'> {
    const [resources, profiles] = await Promise.all([this.#store.cloudResources(), this.profiles()]);
    return keepResources(resources, profiles, this.#scope);
  }
  async answeredV1(hostId: string, spans: Parameters<StoreQueries['answeredV1']>[1]): Promise<number[]> {
    return (await this.#isOwn(hostId)) ? this.#store.answeredV1(hostId, spans) : spans.map(() => 0);
  }
  async refusedV1(hostId: string, spans: Parameters<StoreQueries['refusedV1']>[1]): Promise<number[]> {
    return (await this.#isOwn(hostId)) ? this.#store.refusedV1(hostId, spans) : spans.map(() => 0);
  }

  async reportedSpan(): Answer<'reportedSpan'> {
    throw new Error('The span of all records is not a question about some hosts.');
  }
  async statistics(): Promise<StoreStatistics> {
    throw new Error('The size of the store is not a question about some hosts.');
  }
  /** Leaves the store open, which others use. */
  async close(): Promise<void> {}

  #narrow(scope: Scope): Scope {
    return { ...scope, hosts: this.#choice(scope.hosts) };
  }

  #choice(choice: HostChoice): HostFilter {
    const chosen = choice === null ? {} : isIdList(choice) ? { ids: choice } : choice;
    if (chosen.within !== undefined) throw new Error('A choice of hosts has a scope already.');
    return { ...chosen, within: this.#scope };
  }

  #has(profile: HostProfile): boolean {
    return isInScope(profile, this.#scope);
  }

  /** Returns those of these hosts that have reported and are in the scope. */
  #among(ids: readonly string[]): Promise<string[]> {
    return ids.length === 0 ? Promise.resolve([]) : this.#store.hostIds(this.#choice(ids), null, ids.length);
  }

  async #isOwn(hostId: string): Promise<boolean> {
    return (await this.#amongInstances([hostId])).length > 0;
  }

  /** Returns the same with instances of which no agent has reported. */
  async #amongInstances(ids: readonly string[]): Promise<string[]> {
    if (ids.length === 0) return [];
    const reported = new Set(await this.#store.hostIds(ids, null, ids.length));
    const own = await this.#among(ids);
    if (reported.size === new Set(ids).size) return own;
    const wanted = new Set(ids);
    const { instances } = await this.#store.cloudInventory();
    const others = instances.filter(({ hostId }) => wanted.has(hostId) && !reported.has(hostId));
    return [...own, ...others.flatMap((member) => (this.#has(profileOf(member)) ? [member.hostId] : []))];
  }

  async #amongMembers(members: readonly CloudMember[]): Promise<string[]> {
    const ids = members.map(({ hostId }) => hostId);
    const reported = new Set(await this.#store.hostIds(ids, null, ids.length));
    const agentless = members.filter(
      (member) => !reported.has(member.hostId) && this.#has(profileOf(member)),
    );
    return [...(await this.#among(ids)), ...agentless.map(({ hostId }) => hostId)];
  }

  async #latestV1(identity: string): Promise<Awaited<Answer<'calls'>>['calls']> {
    const any = { categories: null, outcomes: null, path: null };
    const filter: CallFilter = { window: EVER, hosts: null, identities: [identity], version: 1, ...any };
    const found: Awaited<Answer<'calls'>>['calls'] = [];
    for (let cursor: string | null = null; found.length < COUNTED_CALLS; ) {
      const { calls, next } = await this.calls(filter, CALLS_AT_ONCE, cursor);
      found.push(...calls);
      if (next === null) break;
      cursor = next;
    }
    return found;
  }
}

type AfterFirst<Name extends keyof StoreQueries> =
  Parameters<StoreQueries[Name]> extends [unknown, ...infer Rest] ? Rest : never;

function profileOf({ account, tags }: CloudMember): HostProfile {
  return { 'cloud.account.id': account, ...(tags !== null && { tags }) };
}
