/**
 * Answers the questions that people ask from the store. This file only composes: the pure files beside it
 * decide what rows mean. It is long because each question is a method.
 *
 * Calls, offenders and timelines are about the question's window. Hosts and their verdicts are always about
 * the readiness window (14 days unless set) that ends with the question's window, because a quiet hour proves
 * nothing.
 */
import type { GroupAttribute } from '../../common/group_id.ts';
import type { HostFacts } from '../../protocol/call.ts';
import type { Reconciliation } from '../contract/cloud.ts';
import type { BurnDown, FixFirst } from '../contract/fix_first.ts';
import type { Group, GroupDetail } from '../contract/group.ts';
import type { Host, HostDetail, Overview, Readiness, ReadinessGroup } from '../contract/host.ts';
import type { Offender, OffenderDetail } from '../contract/offender.ts';
import type { Window } from '../contract/window.ts';
import { hostMatcher, matchesProfile, narrows } from '../store/host_filter.ts';
import type { CountedCalls, IdentityHost, IdentityTotals, Scope, StoreQueries } from '../store/store.ts';
import { toTimestamp } from '../store/time.ts';
import { WorkloadQueries } from '../store/workload_queries.ts';
import { BUILT_IN_RULES, type WorkloadRules } from '../store/workload_rules.ts';
import { isV1, tallyAll } from './counts.ts';
import { type GroupFilter, placesOf } from './group/fleet.ts';
import { GroupQuestions } from './group/group_questions.ts';
import { type HopEvidence, hopEvidence } from './hop_limit.ts';
import { DEFAULT_MAX_MISSING_SECONDS, HostJudge, type HostJudgeOptions } from './host_judge.ts';
import { describeHost, isSilent, verdictCounts, worstHostFirst } from './hosts.ts';
import { countFreedHosts, describeOffender } from './offenders.ts';
import { Progress } from './progress.ts';
import type { GroupBy, HostFilter, Question } from './question.ts';
import { readinessGroupsOf } from './readiness_groups.ts';
import { describeReconciliation, reconcileHost } from './reconciliation.ts';
import { worstFirst } from './severity.ts';
import { bucketsOf, timelineOf, trendsOf } from './timeline.ts';
import { type EndedTriage, type TriageOptions, TriageReader } from './triage_reader.ts';

const MAX_DETAIL_HOSTS = 1000;
const MAX_PATHS = 100;
/** Bounds the list of the overview, which has the count of all of them beside it. */
const MAX_SILENT_HOSTS = 100;
const MAX_PROCESSES = 20;
export interface InsightOptions extends HostJudgeOptions, TriageOptions {
  /** A host without a heartbeat for longer is silent. */
  silentAfterSeconds: number;
  /** Rules that join the releases of a workload. Default: the built-in ones. */
  rules?: WorkloadRules;
  /** Milliseconds since 1970. */
  now?: () => number;
}

export class Insight {
  readonly #store: WorkloadQueries;
  readonly #options: InsightOptions;
  readonly #judge: HostJudge;
  readonly #triage: TriageReader;
  readonly #progress: Progress;
  readonly #groups: GroupQuestions;

  constructor(store: StoreQueries, options: InsightOptions) {
    this.#store = new WorkloadQueries(store, options.rules ?? BUILT_IN_RULES);
    this.#options = options;
    const nowUs = () => this.#nowUs();
    this.#judge = new HostJudge(this.#store, options, nowUs);
    this.#triage = new TriageReader(this.#store, options, nowUs);
    this.#progress = new Progress(this.#store, this.#judge, this.#triage, {
      readinessWindowDays: options.readinessWindowDays,
      toleranceUs: (options.readinessMaxMissingSeconds ?? DEFAULT_MAX_MISSING_SECONDS) * 1e6,
    });
    this.#groups = new GroupQuestions(this.#store, this.#judge);
  }

  async overview({ window }: Question, filter: HostFilter = {}): Promise<Overview> {
    const scope = await this.#scope(window, filter);
    const buckets = bucketsOf(window);
    // The store has sums over all hosts. For chosen hosts it has sums per host, in which IMDSv2 calls are one
    // row.
    const totalsOf: () => Promise<{ identity: string | { id: string } | null; kinds: CountedCalls[] }[]> =
      () => (scope.hosts === null ? this.#store.identityTotals(scope) : this.#store.hostTotals(scope));
    const places = placesOf(filter);
    const [judged, totals, points, groups] = await Promise.all([
      this.#judge.judgeHosts(window, scope.hosts),
      totalsOf(),
      this.#store.series(scope, buckets.bucket, false),
      places === null ? null : this.#groups.verdicts('asg', window, places),
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
      groups: groups === null ? null : { by: 'asg', total: groups.length, verdicts: verdictCounts(groups) },
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

  /**
   * Returns every workload that called, worst first. Workloads that only use IMDSv2 come last (`severity` is
   * `none`).
   */
  async offenders({ window }: Question, filter: HostFilter = {}): Promise<Offender[]> {
    const scope = await this.#scope(window, filter);
    const buckets = bucketsOf(window);
    const totals = await this.#store.identityTotals(scope);
    const withV1 = totals.filter(({ kinds }) => kinds.some(isV1)).map(({ identity }) => identity.id);
    const [identityHosts, hops, points, factsOf, triage] = await Promise.all([
      this.#store.identityHosts(scope),
      this.#hopsOf({ ...scope, identities: withV1 }),
      this.#store.series({ ...scope, identities: withV1 }, buckets.bucket, true),
      this.#factsOf(),
      this.#triage.now(),
    ]);
    const hostsOf = Map.groupBy(identityHosts, ({ identity }) => identity);
    const freed = countFreedHosts(identityHosts);
    const trends = trendsOf(points, buckets);
    return totals
      .map((row) => {
        const { id } = row.identity;
        const trend = trends.get(id) ?? new Array<number>(buckets.count).fill(0);
        return describeOffender({
          totals: row,
          hosts: hostsOf.get(id) ?? [],
          hostsFreed: freed.get(id) ?? 0,
          factsOf,
          hopsOf: (host) => hops(id, host),
          trend,
          paths: [],
          triageOf: triage.of,
        }).offender;
      })
      .sort(worstFirst);
  }

  /** Returns null where no workload has this id. Its counts are zero where it did not call in the window. */
  async offender(givenId: string, { window }: Question): Promise<OffenderDetail | null> {
    const [identity] = await this.#store.identities([givenId]);
    if (identity === undefined) return null;
    // A link of an earlier release of imdswatch has the id of a workload's release.
    const { id } = identity;
    const scope: Scope = { window, hosts: null, identities: [id] };
    const buckets = bucketsOf(window);
    const [[found], inWindow, hops, points, paths, callers, factsOf, triage] = await Promise.all([
      this.#store.identityTotals(scope),
      this.#store.identityHosts(scope),
      this.#hopsOf(scope),
      this.#store.series(scope, buckets.bucket, false),
      this.#store.pathsV1(id, MAX_PATHS),
      this.#store.callers(id, MAX_PROCESSES),
      this.#factsOf(),
      this.#triage.now(),
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
      hopsOf: (host) => hops(id, host),
      trend: timeline.points.map(({ v1 }) => v1),
      paths: paths.flatMap(({ path }) => path ?? []),
      triageOf: triage.of,
    });
    const recentFirst = hosts.toSorted((a, b) => b.lastUs - a.lastUs);
    const refOf = (hostId: string) => ({ id: hostId, name: factsOf(hostId)?.name ?? hostId });
    return {
      ...offender,
      window: stamps(window),
      advice,
      all_hosts: recentFirst
        .slice(0, MAX_DETAIL_HOSTS)
        .map(({ hostId, callsV1, firstUs, lastUs, lastV1Us }) => ({
          ...refOf(hostId),
          account: factsOf(hostId)?.['cloud.account.id'] ?? null,
          region: factsOf(hostId)?.['cloud.region'] ?? null,
          calls_v1: callsV1,
          first_seen: toTimestamp(firstUs),
          last_seen: toTimestamp(lastUs),
          last_v1: lastV1Us === null ? null : toTimestamp(lastV1Us),
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

  /** Returns the hosts, those first that keep tokens from being required. */
  async hosts({ window }: Question, filter: HostFilter = {}): Promise<Host[]> {
    const { hosts } = await this.#scope(window, filter);
    const nowUs = this.#nowUs();
    const judged = await this.#judge.judgeHosts(window, hosts);
    return judged
      .map((host) => describeHost(host, nowUs, this.#options.silentAfterSeconds))
      .sort(worstHostFirst);
  }

  /** Returns null where no host of that id ever reported. */
  async host(id: string, { window }: Question): Promise<HostDetail | null> {
    const scope: Scope = { window, hosts: [id], identities: null };
    const buckets = bucketsOf(window);
    const [[host], points] = await Promise.all([
      this.#judge.judgeHosts(window, [id]),
      this.#store.series(scope, buckets.bucket, false),
    ]);
    if (host === undefined) return null;
    const [readiness] = await this.#judge.describeReadiness([host], window);
    return {
      ...describeHost(host, this.#nowUs(), this.#options.silentAfterSeconds),
      readiness: readiness!,
      timeline: timelineOf(points, buckets),
      heartbeat: host.stored.heartbeat?.heartbeat ?? null,
    };
  }

  /** Returns hosts with their evidence, in the order of `hosts`. */
  async readiness(
    { window }: Question,
    filter: HostFilter = {},
  ): Promise<{ host: Host; readiness: Readiness }[]> {
    const { hosts } = await this.#scope(window, filter);
    const judged = await this.#judge.judgeHosts(window, hosts);
    const described = await this.#judge.describeReadiness(judged, window);
    const nowUs = this.#nowUs();
    return judged
      .map((host, index) => ({
        host: describeHost(host, nowUs, this.#options.silentAfterSeconds),
        readiness: described[index]!,
      }))
      .sort((a, b) => worstHostFirst(a.host, b.host));
  }

  /** Returns whether each group of an attribute is proven, the worst first. */
  groups(by: GroupAttribute, { window }: Question, filter: GroupFilter = {}): Promise<Group[]> {
    return this.#groups.groups(by, window, filter);
  }

  /** Returns null where no instance belonged to the group in the window. */
  group(id: string, { window }: Question, filter: GroupFilter = {}): Promise<GroupDetail | null> {
    return this.#groups.group(id, window, filter);
  }

  /** Counts verdicts of hosts: the largest group first, and the hosts without the attribute last. */
  async readinessGroups(
    by: GroupBy,
    { window }: Question,
    filter: HostFilter = {},
  ): Promise<ReadinessGroup[]> {
    const { hosts } = await this.#scope(window, filter);
    return readinessGroupsOf(await this.#judge.judgeHosts(window, hosts), by);
  }

  /**
   * Returns the hosts for which an operator supplied counts of the cloud in the window, those with unseen
   * calls first.
   */
  async reconciliation({ window }: Question, filter: HostFilter = {}): Promise<Reconciliation[]> {
    const [{ hosts }, factsOf] = await Promise.all([this.#scope(window, filter), this.#factsOf()]);
    const compared = await this.#judge.compareWithCloud(await this.#store.cloudCounts(window, hosts));
    return [...compared]
      .flatMap(([id, pair]) => {
        const found = reconcileHost(pair);
        return found === null ? [] : [describeReconciliation(id, factsOf(id)?.name ?? null, pair, found)];
      })
      .sort((a, b) => b.unseen - a.unseen || (a.id < b.id ? -1 : 1));
  }

  /** Returns the workloads whose fix frees the most hosts, at most `limit`. Verdicts are those of `hosts`. */
  async fixFirst({ window }: Question, filter: HostFilter = {}, limit = 10): Promise<FixFirst> {
    const { hosts } = await this.#scope(window, filter);
    return this.#progress.fixFirst(window, hosts, limit);
  }

  /** Returns the callers by day and week, with a forecast. */
  async burnDown({ window }: Question, filter: HostFilter = {}): Promise<BurnDown> {
    const { hosts } = await this.#scope(window, filter);
    return this.#progress.burnDown(window, hosts, this.#nowUs());
  }

  /** Returns the workloads that were fixed and called again, and those whose exception is over. */
  async endedTriage(): Promise<EndedTriage[]> {
    return this.#triage.ended(await this.#factsOf());
  }

  /** Returns the stored triage of a workload, which can be that of a release of it; empty where there is none. */
  triageRecords(workload: string): Promise<string[]> {
    return this.#triage.recordIds(workload);
  }

  #nowUs(): number {
    return (this.#options.now ?? Date.now)() * 1000;
  }

  async #scope(window: Window, filter: HostFilter): Promise<Scope & { hosts: string[] | null }> {
    if (!narrows(filter)) return { window, hosts: null, identities: null };
    const all = await this.#store.hosts();
    const matches = hostMatcher(filter);
    const hosts = all.flatMap(({ facts, firstUs }) =>
      matchesProfile(facts, filter) && matches({ ...facts, firstUs }) ? [facts.id] : [],
    );
    return { window, hosts, identities: null };
  }

  async #factsOf(): Promise<(hostId: string) => HostFacts | null> {
    const hosts = new Map((await this.#store.hosts()).map(({ facts }) => [facts.id, facts]));
    return (hostId) => hosts.get(hostId) ?? null;
  }

  /** Returns a function that finds the distance of a workload on a host. */
  async #hopsOf(scope: Scope): Promise<(identity: string, host: HostFacts) => HopEvidence> {
    const [measured, instances] = await Promise.all([
      this.#store.measuredHops(scope),
      this.#store.cloudInstances(),
    ]);
    const byPlace = Map.groupBy(measured, ({ identity, hostId }) => `${identity} ${hostId}`);
    const byHost = new Map(instances.map((instance) => [instance.hostId, instance]));
    return (identity, host) =>
      hopEvidence(host, byPlace.get(`${identity} ${host.id}`) ?? [], byHost.get(host.id) ?? null);
  }

  /** Returns the hosts on which a workload called before the window, for one that did not call in it. */
  #hostsEver(scope: Scope): Promise<IdentityHost[]> {
    return this.#store.identityHosts({ ...scope, window: { sinceUs: 0, untilUs: scope.window.untilUs } });
  }
}

function stamps({ sinceUs, untilUs }: Window): Readiness['window'] {
  return { from: toTimestamp(sinceUs), to: toTimestamp(untilUs) };
}
