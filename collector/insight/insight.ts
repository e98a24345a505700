/**
 * Questions that people ask, answered from the store. Composition only: what rows mean is decided by the pure files beside this.
 *
 * Calls, offenders and timelines are about the question's window. Hosts and their verdicts are always about the readiness window
 * (14 days unless set) that ends with the question's: nobody is proven ready by a quiet hour.
 */
import type { HostFacts } from '../../protocol/call.ts';
import type { Reconciliation } from '../contract/cloud.ts';
import type { Host, HostDetail, Overview, Readiness, ReadinessGroup } from '../contract/host.ts';
import type { Offender, OffenderDetail } from '../contract/offender.ts';
import { DAY_US, type Window } from '../contract/window.ts';
import type {
  CloudCount,
  CountedCalls,
  IdentityHost,
  IdentityTotals,
  Scope,
  StoreQueries,
} from '../store/store.ts';
import { toTimestamp } from '../store/time.ts';
import { isV1, tallyAll } from './counts.ts';
import { groupsOf } from './groups.ts';
import { matchesHost, narrows } from './host_filter.ts';
import { describeHost, isSilent, type JudgedHost, verdictCounts, worstHostFirst } from './hosts.ts';
import type { HostEvidence } from './judged.ts';
import { countFreedHosts, describeOffender, titleOf } from './offenders.ts';
import type { GroupBy, HostFilter, Question } from './question.ts';
import { judge, readinessOf } from './readiness.ts';
import { type Compared, describeReconciliation, reconcileHost } from './reconciliation.ts';
import { worstFirst } from './severity.ts';
import { bucketsOf, timelineOf, trendsOf } from './timeline.ts';

const SECOND_US = 1_000_000;
const MAX_DETAIL_HOSTS = 1000;
const MAX_PATHS = 100;
/** Of the overview; how many there are in all is said beside them. */
const MAX_SILENT_HOSTS = 100;
const MAX_PROCESSES = 20;
/** Restarts of an agent and the like. Losses, and what the cloud saw more, are never tolerated. */
export const DEFAULT_MAX_MISSING_SECONDS = 60;

export interface InsightOptions {
  readinessWindowDays: number;
  /** A host without a heartbeat for longer is silent. */
  silentAfterSeconds: number;
  /** How much of the readiness window may be unwatched in all; 60 where it is left out. */
  readinessMaxMissingSeconds?: number;
  /** Milliseconds since 1970. */
  now?: () => number;
}

export class Insight {
  readonly #store: StoreQueries;
  readonly #options: InsightOptions;

  constructor(store: StoreQueries, options: InsightOptions) {
    this.#store = store;
    this.#options = options;
  }

  async overview({ window }: Question, filter: HostFilter = {}): Promise<Overview> {
    const scope = await this.#scope(window, filter);
    const buckets = bucketsOf(window);
    // Of all hosts together there are sums; of chosen ones IMDSv2 is summed already where hosts are told apart.
    const totalsOf: () => Promise<{ identity: string | { id: string } | null; kinds: CountedCalls[] }[]> =
      () => (scope.hosts === null ? this.#store.identityTotals(scope) : this.#store.hostTotals(scope));
    const [judged, totals, points] = await Promise.all([
      this.#judgedHosts(window, scope.hosts),
      totalsOf(),
      this.#store.series(scope, buckets.bucket, false),
    ]);
    const calls = tallyAll(totals);
    const offenders = new Set<string>();
    for (const { identity, kinds } of totals) {
      if (identity === null || !kinds.some(isV1)) continue;
      offenders.add(typeof identity === 'string' ? identity : identity.id);
    }
    const nowUs = this.#nowUs();
    const silent = judged.filter(({ stored }) => isSilent(stored, nowUs, this.#options.silentAfterSeconds));
    return {
      window: stamps(window),
      hosts: {
        total: judged.length,
        online: judged.length - silent.length,
        silent: silent.length,
        verdicts: verdictCounts(judged.map(({ judged: { verdict } }) => verdict)),
      },
      calls: {
        v1: calls.v1,
        v2: calls.v2,
        credentials_over_v1: calls.credentialsV1,
        rejected_v1: calls.rejectedV1,
      },
      offenders: offenders.size,
      timeline: timelineOf(points, buckets),
      silent_hosts: silent.slice(0, MAX_SILENT_HOSTS).map(({ stored: { facts, heartbeat } }) => ({
        id: facts.id,
        name: facts.name,
        last_heartbeat: heartbeat === null ? null : toTimestamp(heartbeat.receivedUs),
      })),
    };
  }

  /** Everybody who called, worst first; those who only use IMDSv2 last (`severity` is `none`). */
  async offenders({ window }: Question, filter: HostFilter = {}): Promise<Offender[]> {
    const scope = await this.#scope(window, filter);
    const buckets = bucketsOf(window);
    const totals = await this.#store.identityTotals(scope);
    const withV1 = totals.filter(({ kinds }) => kinds.some(isV1)).map(({ identity }) => identity.id);
    const [identityHosts, points, factsOf] = await Promise.all([
      this.#store.identityHosts(scope),
      this.#store.series({ ...scope, identities: withV1 }, buckets.bucket, true),
      this.#factsOf(),
    ]);
    const hostsOf = Map.groupBy(identityHosts, ({ identity }) => identity);
    const freed = countFreedHosts(identityHosts);
    const trends = trendsOf(points, buckets);
    return totals
      .map((of) => {
        const { id } = of.identity;
        const trend = trends.get(id) ?? new Array<number>(buckets.count).fill(0);
        return describeOffender({
          totals: of,
          hosts: hostsOf.get(id) ?? [],
          hostsFreed: freed.get(id) ?? 0,
          factsOf,
          trend,
          paths: [],
        }).offender;
      })
      .sort(worstFirst);
  }

  /** Null where nobody of that id ever called. Its counts are zero where it did not call in the window. */
  async offender(id: string, { window }: Question): Promise<OffenderDetail | null> {
    const [identity] = await this.#store.identities([id]);
    if (identity === undefined) return null;
    const scope: Scope = { window, hosts: null, identities: [id] };
    const buckets = bucketsOf(window);
    const [[found], inWindow, points, paths, callers, factsOf] = await Promise.all([
      this.#store.identityTotals(scope),
      this.#store.identityHosts(scope),
      this.#store.series(scope, buckets.bucket, false),
      this.#store.pathsV1(id, MAX_PATHS),
      this.#store.callers(id, MAX_PROCESSES),
      this.#factsOf(),
    ]);
    const hosts = inWindow.length > 0 ? inWindow : await this.#hostsEver(scope);
    const calledV1 = inWindow.flatMap(({ hostId, callsV1 }) => (callsV1 > 0 ? [hostId] : []));
    const onSameHosts = await this.#store.identityHosts({ window, hosts: calledV1, identities: null });
    const totals: IdentityTotals = found ?? { identity, kinds: [] };
    const timeline = timelineOf(points, buckets);
    const { offender, advice } = describeOffender({
      totals,
      hosts,
      hostsFreed: countFreedHosts(onSameHosts).get(id) ?? 0,
      factsOf,
      trend: timeline.points.map(({ v1 }) => v1),
      paths: paths.flatMap(({ path }) => path ?? []),
    });
    const recentFirst = hosts.toSorted((a, b) => b.lastUs - a.lastUs);
    const refOf = (hostId: string) => ({ id: hostId, name: factsOf(hostId)?.name ?? hostId });
    return {
      ...offender,
      window: stamps(window),
      advice,
      all_hosts: recentFirst.slice(0, MAX_DETAIL_HOSTS).map(({ hostId, ...of }) => ({
        ...refOf(hostId),
        account: factsOf(hostId)?.['cloud.account.id'] ?? null,
        region: factsOf(hostId)?.['cloud.region'] ?? null,
        calls_v1: of.callsV1,
        first_seen: toTimestamp(of.firstUs),
        last_seen: toTimestamp(of.lastUs),
        last_v1: of.lastV1Us === null ? null : toTimestamp(of.lastV1Us),
      })),
      paths_v1: paths.map(({ path, count, lastUs }) => ({
        path,
        calls: count,
        last_seen: toTimestamp(lastUs),
      })),
      timeline,
      processes: callers.map(({ facts, hostId, lastUs }) => ({
        host: refOf(hostId),
        last_seen: toTimestamp(lastUs),
        ...facts,
      })),
    };
  }

  /** Those that stand in the way first. */
  async hosts({ window }: Question, filter: HostFilter = {}): Promise<Host[]> {
    const { hosts } = await this.#scope(window, filter);
    const nowUs = this.#nowUs();
    const judged = await this.#judgedHosts(window, hosts);
    return judged
      .map((host) => describeHost(host, nowUs, this.#options.silentAfterSeconds))
      .sort(worstHostFirst);
  }

  /** Null where no host of that id ever reported. */
  async host(id: string, { window }: Question): Promise<HostDetail | null> {
    const scope: Scope = { window, hosts: [id], identities: null };
    const buckets = bucketsOf(window);
    const [[host], points] = await Promise.all([
      this.#judgedHosts(window, [id]),
      this.#store.series(scope, buckets.bucket, false),
    ]);
    if (host === undefined) return null;
    const [readiness] = await this.#describeReadiness([host], window);
    return {
      ...describeHost(host, this.#nowUs(), this.#options.silentAfterSeconds),
      readiness: readiness!,
      timeline: timelineOf(points, buckets),
      heartbeat: host.stored.heartbeat?.heartbeat ?? null,
    };
  }

  /** Hosts with their evidence, as `hosts` orders them. */
  async readiness(
    { window }: Question,
    filter: HostFilter = {},
  ): Promise<{ host: Host; readiness: Readiness }[]> {
    const { hosts } = await this.#scope(window, filter);
    const judged = await this.#judgedHosts(window, hosts);
    const described = await this.#describeReadiness(judged, window);
    const nowUs = this.#nowUs();
    return judged
      .map((host, index) => ({
        host: describeHost(host, nowUs, this.#options.silentAfterSeconds),
        readiness: described[index]!,
      }))
      .sort((a, b) => worstHostFirst(a.host, b.host));
  }

  /** The most hosts first; those without the attribute last. */
  async groups(by: GroupBy, { window }: Question, filter: HostFilter = {}): Promise<ReadinessGroup[]> {
    const { hosts } = await this.#scope(window, filter);
    return groupsOf(await this.#judgedHosts(window, hosts), by);
  }

  /** Hosts for which the operator supplied the cloud's count in the window; those with unseen calls first. */
  async reconciliation({ window }: Question, filter: HostFilter = {}): Promise<Reconciliation[]> {
    const [{ hosts }, factsOf] = await Promise.all([this.#scope(window, filter), this.#factsOf()]);
    const compared = await this.#compared(await this.#store.cloudCounts(window, hosts));
    return [...compared]
      .flatMap(([id, of]) => {
        const found = reconcileHost(of);
        return found === null ? [] : [describeReconciliation(id, factsOf(id)?.name ?? null, of, found)];
      })
      .sort((a, b) => b.unseen - a.unseen || (a.id < b.id ? -1 : 1));
  }

  #nowUs(): number {
    return (this.#options.now ?? Date.now)() * 1000;
  }

  /** A question may end in the future, what was watched does not: the days are counted back from now at the latest. */
  #readinessWindow(asked: Window): Window {
    const untilUs = Math.min(asked.untilUs, Math.ceil(this.#nowUs() / SECOND_US) * SECOND_US);
    return { sinceUs: untilUs - this.#options.readinessWindowDays * DAY_US, untilUs };
  }

  async #scope(window: Window, filter: HostFilter): Promise<Scope> {
    if (!narrows(filter)) return { window, hosts: null, identities: null };
    const all = await this.#store.hosts();
    const hosts = all.flatMap(({ facts }) => (matchesHost(facts, filter) ? [facts.id] : []));
    return { window, hosts, identities: null };
  }

  async #factsOf(): Promise<(hostId: string) => HostFacts | null> {
    const hosts = new Map((await this.#store.hosts()).map(({ facts }) => [facts.id, facts]));
    return (hostId) => hosts.get(hostId) ?? null;
  }

  /** Of a workload that did not call in the window: where it was before. */
  #hostsEver(scope: Scope): Promise<IdentityHost[]> {
    return this.#store.identityHosts({ ...scope, window: { sinceUs: 0, untilUs: scope.window.untilUs } });
  }

  async #judgedHosts(asked: Window, hosts: string[] | null): Promise<JudgedHost[]> {
    const window = this.#readinessWindow(asked);
    // What a host with a clock ahead of ours has reported already is not in the future for that.
    const untilUs = window.untilUs >= this.#nowUs() ? Number.MAX_SAFE_INTEGER : window.untilUs;
    const reported = { ...window, untilUs };
    // Coverage before calls: what is stored in between may then be a call too many, and never a report of a time whose calls are missing.
    const [all, coverage, totals, counts, instances] = await Promise.all([
      this.#store.hosts(),
      this.#store.coverage(reported, hosts),
      this.#store.hostTotals({ window: reported, hosts, identities: null }),
      this.#store.cloudCounts(window, hosts),
      this.#store.cloudInstances(),
    ]);
    const compared = await this.#compared(counts);
    const totalsOf = Map.groupBy(totals, ({ hostId }) => hostId);
    const coverageOf = new Map(coverage.map((of) => [of.hostId, of]));
    const instanceOf = new Map(instances.map((of) => [of.hostId, of]));
    const wanted = hosts === null ? null : new Set(hosts);
    return all.flatMap((stored): JudgedHost[] => {
      const { id } = stored.facts;
      if (wanted !== null && !wanted.has(id)) return [];
      const evidence: HostEvidence = {
        facts: stored.facts,
        totals: totalsOf.get(id) ?? [],
        coverage: coverageOf.get(id) ?? null,
        cloudInstance: instanceOf.get(id) ?? null,
        compared: compared.get(id) ?? { counts: [], seen: [] },
      };
      return [{ stored, evidence, judged: judge(evidence, this.#judging(window)) }];
    });
  }

  async #describeReadiness(hosts: readonly JudgedHost[], asked: Window): Promise<Readiness[]> {
    const ids = hosts.flatMap(({ evidence }) => evidence.totals.flatMap(({ identity }) => identity ?? []));
    const identities = await this.#store.identities([...new Set(ids)]);
    const titles = new Map(identities.map((identity) => [identity.id, titleOf(identity)]));
    const judging = this.#judging(this.#readinessWindow(asked));
    const titleById = (id: string) => titles.get(id) ?? id;
    return hosts.map(({ evidence, judged }) => readinessOf(evidence, judged, judging, titleById));
  }

  #judging(window: Window) {
    const seconds = this.#options.readinessMaxMissingSeconds ?? DEFAULT_MAX_MISSING_SECONDS;
    return { window, nowUs: this.#nowUs(), toleranceUs: seconds * 1e6 };
  }

  async #compared(counts: readonly CloudCount[]): Promise<Map<string, Compared>> {
    const byHost = [...Map.groupBy(counts, ({ hostId }) => hostId)];
    const compared = byHost.map(async ([hostId, of]): Promise<[string, Compared]> => {
      const spans = of.map(({ startUs, endUs }) => ({ sinceUs: startUs, untilUs: endUs }));
      return [hostId, { counts: of, seen: await this.#store.answeredV1(hostId, spans) }];
    });
    return new Map(await Promise.all(compared));
  }
}

function stamps({ sinceUs, untilUs }: Window): Readiness['window'] {
  return { from: toTimestamp(sinceUs), to: toTimestamp(untilUs) };
}
