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
import type { Host, HostDetail, Overview, Readiness, ReadinessGroup, Verdict } from '../contract/host.ts';
import type { Offender, OffenderDetail } from '../contract/offender.ts';
import type { OwnerExplanation } from '../contract/owner.ts';
import type { Window } from '../contract/window.ts';
import { narrows } from '../store/host_filter.ts';
import type { HostProfile, IdentityTotals, PlaceSums, Scope, StoreQueries } from '../store/store.ts';
import { toTimestamp } from '../store/time.ts';
import { WorkloadQueries } from '../store/workload_queries.ts';
import { BUILT_IN_RULES, type WorkloadRules } from '../store/workload_rules.ts';
import { isV1, tallyAll } from './counts.ts';
import { isSeenEnabled } from './enforce_command.ts';
import type { Held, HeldHosts } from './fix_first.ts';
import { type Fleet, type GroupFilter, placesOf } from './group/fleet.ts';
import { GroupQuestions } from './group/group_questions.ts';
import { type MembersOutside, NO_MEMBERS_OUTSIDE } from './group/members_outside.ts';
import { type HopEvidence, hopEvidence } from './hop_limit.ts';
import {
  chosenHosts,
  type HostBoard,
  type HostPlace,
  type HostSelection,
  orderOf,
  type PageChoice,
  pageOfHosts,
} from './host_board.ts';
import {
  DEFAULT_MAX_MISSING_SECONDS,
  HostJudge,
  type HostJudgeOptions,
  type JudgedBrief,
} from './host_judge.ts';
import { describeHost, describeSummary, type HostSummary, verdictCounts, worstHostFirst } from './hosts.ts';
import { describeOffender, MAX_LISTED, titleOf, type UntriagedOffender } from './offenders.ts';
import { Progress } from './progress.ts';
import type { GroupBy, HostFilter, Question } from './question.ts';
import { readinessGroupsOf } from './readiness_groups.ts';
import { describeReconciliation, reconcileHost } from './reconciliation.ts';
import { worstFirst } from './severity.ts';
import { bucketsOf, timelineOf, trendsOf } from './timeline.ts';
import { type EndedTriage, type TriageOptions, TriageReader, valuesOf } from './triage_reader.ts';
import { sumsOfPlaces, type WorkloadSums } from './workload_sums.ts';

const MAX_DETAIL_HOSTS = 1000;
const MAX_PATHS = 100;
/** Bounds the list of the overview, which has the count of all of them beside it. */
const MAX_SILENT_HOSTS = 100;
const MAX_PROCESSES = 20;
/** Hosts that are described at a time where all are listed. */
const DESCRIBED_AT_ONCE = 500;
/** Hosts whose counts are compared with the cloud's at a time. */
const COMPARED_AT_ONCE = 1000;

export interface InsightOptions extends HostJudgeOptions, TriageOptions {
  /** Rules that join the releases of a workload. Default: the built-in ones. */
  rules?: WorkloadRules;
  /** Tells which groups have members that the store does not show. Default: it shows the whole fleet. */
  outside?: MembersOutside;
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
    this.#groups = new GroupQuestions(this.#store, this.#judge, options.outside ?? NO_MEMBERS_OUTSIDE);
  }

  /**
   * Judges the hosts that a filter selects, or all of them. Lists and counts are made of the result. `held` gets the held
   * ones. `withEnabled`: also looks which ready hosts have a service that was seen on.
   */
  async board(
    { window }: Question,
    filter: HostFilter = {},
    { held, withEnabled = false }: { held?: HeldHosts; withEnabled?: boolean } = {},
  ): Promise<HostBoard> {
    const asOfUs = this.#nowUs();
    const hosts: HostSummary[] = [];
    const profiles = new Map<number, HostProfile>();
    const seenEnabled = withEnabled ? new Set<string>() : null;
    for await (const { briefs, profileOf } of this.#judge.judgeAll(window, choiceOf(filter))) {
      for (const brief of briefs) {
        hosts.push(brief.summary);
        profiles.set(brief.summary.profile, profileOf(brief));
        held?.add(brief, profileOf(brief));
      }
      for (const id of withEnabled ? await this.#seenEnabled(briefs) : []) seenEnabled?.add(id);
    }
    // The data can be older than the question.
    return { asOfUs: Math.min(asOfUs, this.#nowUs()), hosts, profiles, seenEnabled };
  }

  /** Returns the ids of ready hosts whose service was last seen on. */
  async #seenEnabled(briefs: readonly JudgedBrief[]): Promise<string[]> {
    const ready = briefs.filter(({ summary }) => summary.verdict === 'ready');
    if (ready.length === 0) return [];
    const found = await this.#store.cloudInstances(ready.map(({ summary }) => summary.id));
    const instances = new Map(found.map((each) => [each.hostId, each]));
    return ready.flatMap(({ summary: { id }, judged: { calls } }) =>
      isSeenEnabled(calls, instances.get(id) ?? null) ? [id] : [],
    );
  }

  /** Judges all hosts once, for the board and for what to fix first. */
  async boardWithHeld(question: Question): Promise<{ board: HostBoard; held: Held }> {
    const held = this.#progress.heldHosts();
    const board = await this.board(question, {}, { held, withEnabled: true });
    return { board, held: await this.#progress.completeHeld(held, question.window) };
  }

  /** `board`, `groupVerdicts`: of the same window; without them, hosts and Auto Scaling groups are judged now. */
  async overview(
    { window }: Question,
    filter: HostFilter = {},
    board?: HostBoard,
    groupVerdicts?: readonly Verdict[],
  ): Promise<Overview> {
    const scope = scopeOf(window, filter);
    const buckets = bucketsOf(window);
    const places = placesOf(filter);
    const [judged, totals, points, groups] = await Promise.all([
      board ?? this.board({ window }, filter),
      this.#store.callTotals(scope),
      this.#store.series(scope, buckets.bucket, false),
      places === null ? null : (groupVerdicts ?? this.#groups.verdicts('asg', window, places)),
    ]);
    const hosts = chosenHosts(judged, filter);
    const calls = tallyAll(totals);
    const offenders = totals.filter(({ identity, kinds }) => identity !== null && kinds.some(isV1)).length;
    const verdicts = verdictCounts([]);
    const silentHosts: Overview['silent_hosts'] = [];
    let silent = 0;
    for (const host of hosts) {
      verdicts[host.verdict] += 1;
      if (!host.isSilent) continue;
      silent += 1;
      if (silent > MAX_SILENT_HOSTS) continue;
      const { id, name, receivedUs } = host;
      silentHosts.push({ id, name, last_heartbeat: receivedUs === null ? null : toTimestamp(receivedUs) });
    }
    return {
      window: stamps(window),
      hosts: { total: hosts.length, online: hosts.length - silent, silent, verdicts },
      groups: groups === null ? null : { by: 'asg', total: groups.length, verdicts: verdictCounts(groups) },
      calls: {
        v1: calls.v1,
        v2: calls.v2,
        credentials_over_v1: calls.credentialsV1,
        rejected_v1: calls.rejectedV1,
      },
      offenders,
      timeline: timelineOf(points, buckets),
      silent_hosts: silentHosts,
    };
  }

  /**
   * Returns every workload that called, worst first. Workloads that only use IMDSv2 come last (`severity` is
   * `none`).
   */
  async offenders(question: Question, filter: HostFilter = {}): Promise<Offender[]> {
    return this.offendersOf(await this.untriaged(question, filter));
  }

  /** Returns offenders of before with the triage of now. */
  async offendersOf(offenders: readonly UntriagedOffender[]): Promise<Offender[]> {
    const triage = await this.#triage.now();
    return offenders.map(({ offender, identity, tags }) => ({
      ...offender,
      triage: triage.of(identity, valuesOf({ tags, accounts: offender.accounts })),
    }));
  }

  /** Returns the offenders in their order, with what their triage depends on. */
  async untriaged({ window }: Question, filter: HostFilter = {}): Promise<UntriagedOffender[]> {
    const scope = scopeOf(window, filter);
    const totals = await this.#store.identityTotals(scope);
    const identities = withV1(totals);
    const [hosts, points] = await Promise.all([
      this.#store.workloadHosts(scope, { latest: MAX_LISTED, tagKeys: this.#triage.tagKeys() }),
      this.#store.series({ ...scope, identities }, bucketsOf(window).bucket, true),
    ]);
    const trend = points.flatMap(({ identity, ...point }) =>
      identity === null ? [] : { identity, ...point },
    );
    return this.#describeOffenders(window, { totals, hosts, trend });
  }

  /** Returns sums by account and region, of which `untriagedOf` makes the offenders of any of them. */
  async placeSums({ window }: Question): Promise<{ window: Window; places: PlaceSums[] }> {
    const { bucket } = bucketsOf(window);
    const options = { latest: MAX_LISTED, tagKeys: this.#triage.tagKeys(), bucket };
    return { window, places: await this.#store.sumsByPlace(window, options) };
  }

  /** Returns the same as `untriaged` with a filter that selects places (`selectsPlaces`), of sums that were made before. */
  async untriagedOf(
    { window, places }: { window: Window; places: readonly PlaceSums[] },
    filter: HostFilter,
  ): Promise<UntriagedOffender[]> {
    return this.#describeOffenders(window, sumsOfPlaces(places, filter, MAX_LISTED));
  }

  async #describeOffenders(
    window: Window,
    { totals, hosts: workloadHosts, trend: points }: WorkloadSums,
  ): Promise<UntriagedOffender[]> {
    const buckets = bucketsOf(window);
    const hostsOf = new Map(workloadHosts.map((each) => [each.identity, each]));
    const listed = [...new Set(workloadHosts.flatMap(({ latest }) => latest.map(({ hostId }) => hostId)))];
    const [factsOf, hops] = await Promise.all([
      this.#factsOf(listed),
      this.#hopsOf({ window, hosts: listed, identities: withV1(totals) }),
    ]);
    const trends = trendsOf(points, buckets);
    return totals
      .map((row) => {
        const { id } = row.identity;
        const trend = trends.get(id) ?? new Array<number>(buckets.count).fill(0);
        const hosts = hostsOf.get(id) ?? null;
        const { offender } = describeOffender({
          totals: row,
          hosts,
          factsOf,
          hopsOf: (host) => hops(id, host),
          trend,
          paths: [],
        });
        return { offender, identity: row.identity, tags: hosts?.tags ?? {} };
      })
      .sort((a, b) => worstFirst(a.offender, b.offender));
  }

  /** Returns null where no workload has this id. Its counts are zero where it did not call in the window. */
  async offender(givenId: string, { window }: Question): Promise<OffenderDetail | null> {
    const [identity] = await this.#store.identities([givenId]);
    if (identity === undefined) return null;
    // A link of an earlier release of imdswatch has the id of a workload's release.
    const { id } = identity;
    const scope: Scope = { window, hosts: null, identities: [id] };
    const buckets = bucketsOf(window);
    const options = { latest: MAX_DETAIL_HOSTS, tagKeys: this.#triage.tagKeys() };
    const [[found], [inWindow], points, paths, callers, triage] = await Promise.all([
      this.#store.identityTotals(scope),
      this.#store.workloadHosts(scope, options),
      this.#store.series(scope, buckets.bucket, false),
      this.#store.pathsV1(id, MAX_PATHS),
      this.#store.callers(id, MAX_PROCESSES, null),
      this.#triage.now(),
    ]);
    // A workload that did not call in the window has the hosts of before.
    const before = { ...scope, window: { sinceUs: 0, untilUs: window.untilUs } };
    const hosts = inWindow ?? (await this.#store.workloadHosts(before, options))[0] ?? null;
    const latest = hosts?.latest ?? [];
    const listed = new Set([...latest, ...callers].map(({ hostId }) => hostId));
    const shown = latest.slice(0, MAX_LISTED).map(({ hostId }) => hostId);
    const [factsOf, hops] = await Promise.all([
      this.#factsOf([...listed]),
      this.#hopsOf({ ...scope, hosts: shown }),
    ]);
    const totals: IdentityTotals = found ?? { identity, kinds: [] };
    const timeline = timelineOf(points, buckets);
    const { offender, advice } = describeOffender({
      totals,
      hosts: inWindow === undefined && hosts !== null ? { ...hosts, freed: 0 } : hosts,
      factsOf,
      hopsOf: (host) => hops(id, host),
      trend: timeline.points.map(({ v1 }) => v1),
      paths: paths.flatMap(({ path }) => path ?? []),
    });
    const refOf = (hostId: string) => ({ id: hostId, name: factsOf(hostId)?.name ?? hostId });
    return {
      ...offender,
      triage: triage.of(identity, valuesOf(hosts)),
      window: stamps(window),
      advice,
      all_hosts: latest.map(({ hostId, callsV1, firstUs, lastUs, lastV1Us }) => ({
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

  /**
   * Returns a page of hosts, by default those first that keep tokens from being required. `board`: of the same
   * window; without it, hosts are judged now.
   */
  async hostPage(
    question: Question,
    selection: HostSelection,
    { limit, place }: PageChoice,
    board?: HostBoard,
  ): Promise<{ items: Host[]; next: HostPlace | null; asOfUs: number }> {
    const { verdicts: _v, state: _s, sort, ...filter } = selection;
    const judged = board ?? (await this.board(question, filter));
    const { hosts, next } = pageOfHosts(chosenHosts(judged, selection), orderOf(sort), limit, place);
    return { items: await this.describeHosts(hosts), next, asOfUs: judged.asOfUs };
  }

  /** Returns all hosts in the order of their list, some hundred at a time. They are judged at one time. */
  async *allHosts(question: Question, selection: HostSelection = {}): AsyncGenerator<Host[]> {
    for await (const summaries of this.#ordered(question, selection))
      yield await this.describeHosts(summaries);
  }

  async *#ordered(question: Question, selection: HostSelection): AsyncGenerator<HostSummary[]> {
    const { verdicts: _v, state: _s, sort, ...filter } = selection;
    const ordered = chosenHosts(await this.board(question, filter), selection).toSorted(orderOf(sort));
    for (let from = 0; from < ordered.length; from += DESCRIBED_AT_ONCE)
      yield ordered.slice(from, from + DESCRIBED_AT_ONCE);
  }

  /** Returns all hosts with what shows that an alert may be due, some thousand at a time. */
  async *glances({ window }: Question): AsyncGenerator<(HostSummary & { lastLossUs: number | null })[]> {
    for await (const { briefs } of this.#judge.judgeAll(window, null)) {
      yield briefs.map(({ summary, judged: { watched } }) => ({
        ...summary,
        lastLossUs: watched.gaps.reduce<number | null>(
          (latest, { reason, endUs }) =>
            reason === 'losses' || reason === 'capture_not_live' ? Math.max(latest ?? endUs, endUs) : latest,
          null,
        ),
      }));
    }
  }

  /** Describes judged hosts. Leaves out those that retention has deleted meanwhile. */
  async describeHosts(summaries: readonly HostSummary[]): Promise<Host[]> {
    const stored = new Map(
      (await this.#store.hosts(summaries.map(({ id }) => id))).map((host) => [host.facts.id, host]),
    );
    return summaries.flatMap((summary) => {
      const host = stored.get(summary.id);
      return host === undefined ? [] : [describeSummary(summary, host)];
    });
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

  /** Returns a page of hosts with their evidence, in the order of `hostPage`. */
  async readinessPage(
    question: Question,
    filter: HostFilter,
    { limit, place }: PageChoice,
  ): Promise<{ items: { host: Host; readiness: Readiness }[]; next: HostPlace | null }> {
    const { hosts: all } = await this.board(question, filter);
    const { hosts, next } = pageOfHosts(all, worstHostFirst, limit, place);
    return { items: await this.#describeReadiness(question, hosts), next };
  }

  /** Returns all hosts with their evidence, some hundred at a time. */
  async *allReadiness(
    question: Question,
    filter: HostFilter = {},
  ): AsyncGenerator<{ host: Host; readiness: Readiness }[]> {
    for await (const summaries of this.#ordered(question, filter))
      yield await this.#describeReadiness(question, summaries);
  }

  async #describeReadiness(
    { window }: Question,
    summaries: readonly HostSummary[],
  ): Promise<{ host: Host; readiness: Readiness }[]> {
    const ids = summaries.map(({ id }) => id);
    const judged = new Map(
      (await this.#judge.judgeHosts(window, ids)).map((host) => [host.stored.facts.id, host]),
    );
    const hosts = ids.flatMap((id) => judged.get(id) ?? []);
    const described = await this.#judge.describeReadiness(hosts, window);
    const nowUs = this.#nowUs();
    return hosts.map((host, index) => ({
      host: describeHost(host, nowUs, this.#options.silentAfterSeconds),
      readiness: described[index]!,
    }));
  }

  /** Returns whether each group of an attribute is proven, the worst first. */
  groups(by: GroupAttribute, { window }: Question, filter: GroupFilter = {}): Promise<Group[]> {
    return this.#groups.groups(by, window, filter);
  }

  /** Judges the members of all groups once, for the groups of any attribute and any place. */
  fleet({ window }: Question): Promise<Fleet> {
    return this.#groups.fleet(window);
  }

  /** Returns the same as `groups` of members that were judged before. */
  groupsOf(fleet: Fleet, by: GroupAttribute, filter: GroupFilter = {}): Promise<Group[]> {
    return this.#groups.groupsOf(fleet, by, filter);
  }

  /** Returns null where no instance belonged to the group in the window. */
  group(id: string, { window }: Question, filter: GroupFilter = {}): Promise<GroupDetail | null> {
    return this.#groups.group(id, window, filter);
  }

  /**
   * Counts verdicts of hosts: the largest group first, and the hosts without the attribute last. `board`: of the same
   * window, with the hosts that were seen enabled; without it, hosts are judged now.
   */
  async readinessGroups(
    by: GroupBy,
    question: Question,
    filter: HostFilter = {},
    board?: HostBoard,
  ): Promise<ReadinessGroup[]> {
    const judged = board ?? (await this.board(question, filter, { withEnabled: true }));
    return readinessGroupsOf(judged, chosenHosts(judged, filter), by);
  }

  /**
   * Returns the hosts for which an operator supplied counts of the cloud in the window, those with unseen
   * calls first.
   */
  async reconciliation({ window }: Question, filter: HostFilter = {}): Promise<Reconciliation[]> {
    const found: Reconciliation[] = [];
    for (let after: string | null = null; ; ) {
      const ids = await this.#store.countedHosts(window, choiceOf(filter), after, COMPARED_AT_ONCE);
      const [counts, factsOf] = await Promise.all([this.#store.cloudCounts(window, ids), this.#factsOf(ids)]);
      for (const [id, pair] of await this.#judge.compareWithCloud(counts)) {
        const compared = reconcileHost(pair);
        if (compared !== null)
          found.push(describeReconciliation(id, factsOf(id)?.name ?? null, pair, compared));
      }
      after = ids.at(-1) ?? null;
      if (ids.length < COMPARED_AT_ONCE) break;
    }
    return found.sort((a, b) => b.unseen - a.unseen || (a.id < b.id ? -1 : 1));
  }

  /** Returns the workloads whose fix frees the most hosts, at most `limit`. Verdicts are those of `hostPage`. */
  async fixFirst({ window }: Question, filter: HostFilter = {}, limit = 10): Promise<FixFirst> {
    const asOfUs = this.#nowUs();
    const held = await this.#progress.held(window, choiceOf(filter));
    // The data can be older than the question.
    return this.fixFirstOf(held, Math.min(asOfUs, this.#nowUs()), limit);
  }

  /** Returns the same of hosts that were judged before. Triage is that of now. */
  fixFirstOf(held: Held, asOfUs: number, limit = 10): Promise<FixFirst> {
    return this.#progress.fixFirst(held, asOfUs, limit);
  }

  /** Returns the callers by day and week, with a forecast. */
  async burnDown({ window }: Question, filter: HostFilter = {}): Promise<BurnDown> {
    return this.#progress.burnDown(window, choiceOf(filter), this.#nowUs());
  }

  /** Returns the workloads that were fixed and called again, and those whose exception is over. */
  async endedTriage(): Promise<EndedTriage[]> {
    return this.#triage.ended();
  }

  /** Returns who owns a workload, and why; null where no workload has this id. Its hosts are those of the whole time. */
  async explainOwner(givenId: string): Promise<OwnerExplanation | null> {
    const [identity] = await this.#store.identities([givenId]);
    if (identity === undefined) return null;
    const { id } = identity;
    const tagKeys = this.#triage.tagKeys();
    const window = { sinceUs: 0, untilUs: this.#nowUs() };
    const scope: Scope = { window, hosts: null, identities: [id] };
    const [[hosts], triage] = await Promise.all([
      this.#store.workloadHosts(scope, { latest: 0, tagKeys }),
      this.#triage.now(),
    ]);
    const values = valuesOf(hosts ?? null);
    const { owner, owner_by } = triage.of(identity, values);
    return {
      ...{ id, title: titleOf(identity), owner, owner_by },
      found: this.#triage.ownerOf(identity, values),
      facts: {
        namespace: identity.k8sNamespace,
        unit: identity.unit,
        image: identity.image,
        script: identity.script,
        executable: identity.executable,
        accounts: [...values.accounts],
        tags: Object.fromEntries(tagKeys.map((key) => [key, [...values.tag(key)]])),
      },
    };
  }

  /** Returns the stored triage of a workload, which can be that of a release of it; empty where there is none. */
  triageRecords(workload: string): Promise<string[]> {
    return this.#triage.recordIds(workload);
  }

  #nowUs(): number {
    return (this.#options.now ?? Date.now)() * 1000;
  }

  /** Returns a function that finds the facts of these hosts. */
  async #factsOf(ids: readonly string[]): Promise<(hostId: string) => HostFacts | null> {
    const hosts = new Map((await this.#store.hosts(ids)).map(({ facts }) => [facts.id, facts]));
    return (hostId) => hosts.get(hostId) ?? null;
  }

  /** Returns a function that finds the distance of a workload on a host of the scope. */
  async #hopsOf(
    scope: Scope & { hosts: string[] },
  ): Promise<(identity: string, host: HostFacts) => HopEvidence> {
    const [measured, instances] = await Promise.all([
      this.#store.measuredHops(scope),
      this.#store.cloudInstances(scope.hosts),
    ]);
    const byPlace = Map.groupBy(measured, ({ identity, hostId }) => `${identity} ${hostId}`);
    const byHost = new Map(instances.map((instance) => [instance.hostId, instance]));
    return (identity, host) =>
      hopEvidence(host, byPlace.get(`${identity} ${host.id}`) ?? [], byHost.get(host.id) ?? null);
  }
}

function withV1(totals: readonly IdentityTotals[]): string[] {
  return totals.filter(({ kinds }) => kinds.some(isV1)).map(({ identity }) => identity.id);
}

function choiceOf(filter: HostFilter): HostFilter | null {
  return narrows(filter) ? filter : null;
}

function scopeOf(window: Window, filter: HostFilter): Scope {
  return { window, hosts: choiceOf(filter), identities: null };
}

function stamps({ sinceUs, untilUs }: Window): Readiness['window'] {
  return { from: toTimestamp(sinceUs), to: toTimestamp(untilUs) };
}
