/** Collects the evidence about hosts from the store and judges them over the readiness window. */
import type { Readiness } from '../contract/host.ts';
import { DAY_US, type Window } from '../contract/window.ts';
import type { HostChoice } from '../store/host_filter.ts';
import type { CloudCount, HostBriefs, HostCoverage, HostProfile, StoreQueries } from '../store/store.ts';
import { isV1, tally } from './counts.ts';
import { type HostSummary, isSilent, type JudgedHost, summaryOf } from './hosts.ts';
import type { HostEvidence, Judged, Judging } from './judged.ts';
import { titleOf } from './offenders.ts';
import { judge, readinessOf } from './readiness.ts';
import type { Compared } from './reconciliation.ts';

const SECOND_US = 1_000_000;
/**
 * Tolerates restarts of an agent and the like. Losses, and calls that only the cloud counted, are never
 * tolerated.
 */
export const DEFAULT_MAX_MISSING_SECONDS = 60;

/** Hosts that are read and judged at a time: they take a few megabytes and some milliseconds. */
const HOSTS_AT_ONCE = 5000;

export interface HostJudgeOptions {
  readinessWindowDays: number;
  /** A host without a heartbeat for longer is silent. */
  silentAfterSeconds: number;
  /** Time of the readiness window that may be unwatched in all. Default: 60. */
  readinessMaxMissingSeconds?: number;
}

/** A host that was judged by what decides about it: without its facts and its IMDSv2 calls. */
export interface JudgedBrief {
  summary: HostSummary;
  totals: HostEvidence['totals'];
  judged: Judged;
}

export interface JudgedBriefs {
  briefs: JudgedBrief[];
  /** Returns what a host reports about itself besides its id and name. Hosts share these objects. */
  profileOf(brief: JudgedBrief): HostProfile;
}

const NO_PROFILE: HostProfile = {};

export class HostJudge {
  readonly #store: StoreQueries;
  readonly #options: HostJudgeOptions;
  readonly #nowUs: () => number;

  /** `nowUs`: microseconds since 1970. */
  constructor(store: StoreQueries, options: HostJudgeOptions, nowUs: () => number) {
    this.#store = store;
    this.#options = options;
    this.#nowUs = nowUs;
  }

  /**
   * Judges all hosts that are chosen, some thousand at a time, over the readiness window that ends with the window
   * `questionWindow`. Verdicts are those of `judgeHosts`.
   */
  async *judgeAll(questionWindow: Window, choice: HostChoice): AsyncGenerator<JudgedBriefs> {
    let profiles = await this.#store.profiles();
    const window = this.readinessWindow(questionWindow);
    const reported = this.#reported(window);
    const read = (after: number) => {
      const reading = this.#store.hostBriefs(choice, reported, after, HOSTS_AT_ONCE);
      reading.catch(() => {}); // whoever goes on gets the error
      return reading;
    };
    for (let reading: Promise<HostBriefs> | null = read(0); reading !== null; ) {
      const briefs: HostBriefs = await reading;
      // The next hosts are read while these are judged.
      reading = briefs.next === null ? null : read(briefs.next);
      const { withCountedCalls } = briefs;
      // Counts of zero say nothing that changes a verdict.
      const counts =
        withCountedCalls.length === 0 ? [] : await this.#store.cloudCounts(window, withCountedCalls);
      const compared = await this.compareWithCloud(counts);
      const isUnknown = (profile: number) => profile !== 0 && !profiles.has(profile);
      if (briefs.profiles.some(isUnknown)) profiles = await this.#store.profiles();
      const stored = profiles;
      yield {
        briefs: this.#judgeBriefs(briefs, compared, this.judging(window)),
        profileOf: ({ summary: { profile } }) => stored.get(profile)?.facts ?? NO_PROFILE,
      };
    }
  }

  #judgeBriefs(briefs: HostBriefs, compared: ReadonlyMap<string, Compared>, judging: Judging): JudgedBrief[] {
    const coverage = briefs.hostIds.map(
      (hostId, at): HostCoverage => ({
        hostId,
        firstUs: known(briefs.watchedFirstUs[at]!),
        lastUs: known(briefs.watchedLastUs[at]!),
        gaps: [],
        boots: [],
        kernelConnections: null,
        seenConnections: 0,
        losses: {},
      }),
    );
    for (const { host, ...gap } of briefs.gaps) coverage[host]!.gaps.push({ ...gap, detail: null });
    for (const [index, host] of briefs.boots.host.entries()) {
      const firstUs = briefs.boots.firstUs[index]!;
      coverage[host]!.boots.push({ id: '', firstUs, lastUs: firstUs });
    }
    const totalsByHost = Map.groupBy(briefs.totals, ({ hostId }) => hostId);
    return briefs.hostIds.map((id, at): JudgedBrief => {
      const name = briefs.names[at]!;
      const tokens = briefs.tokens[at]!;
      const totals = totalsByHost.get(id) ?? [];
      const evidence: HostEvidence = {
        facts: { id, name },
        totals,
        coverage: coverage[at]!,
        cloudInstance:
          tokens === 0
            ? null
            : {
                hostId: id,
                httpTokens: tokens === 2 ? 'required' : 'optional',
                hopLimit: null,
                httpEndpoint: null,
                suppliedUs: briefs.tokensSuppliedUs[at]!,
              },
        compared: compared.get(id) ?? { counts: [], seen: [] },
      };
      const judged = judge(evidence, judging);
      const receivedUs = known(briefs.receivedUs[at]!);
      const summary: HostSummary = {
        id,
        name,
        profile: briefs.profiles[at]!,
        firstUs: briefs.firstUs[at]!,
        lastUs: briefs.lastUs[at]!,
        receivedUs,
        isSilent: isSilent(receivedUs, judging.nowUs, this.#options.silentAfterSeconds),
        ...summaryOf(totals, judged),
      };
      return { summary, totals, judged };
    });
  }

  /** Judges the hosts of a list, with all evidence. */
  async judgeHosts(questionWindow: Window, hosts: string[]): Promise<JudgedHost[]> {
    const all = await this.#store.hosts(hosts);
    // The present is that of the data, which is known by now.
    const window = this.readinessWindow(questionWindow);
    const reported = this.#reported(window);
    // Coverage is read before calls. What is stored in between can add a call, but never a report whose calls
    // are missing.
    const coverage = await this.#store.coverage(reported, hosts);
    const [totals, counts, instances, hops] = await Promise.all([
      this.#store.hostTotals({ window: reported, hosts, identities: null }),
      this.#store.cloudCounts(window, hosts),
      this.#store.cloudInstances(hosts),
      this.#store.measuredHops({ window: reported, hosts, identities: null }),
    ]);
    const compared = await this.compareWithCloud(counts);
    const totalsByHost = Map.groupBy(totals, ({ hostId }) => hostId);
    const coverageByHost = new Map(coverage.map((entry) => [entry.hostId, entry]));
    const instanceByHost = new Map(instances.map((entry) => [entry.hostId, entry]));
    const hopsByHost = Map.groupBy(hops, ({ hostId }) => hostId);
    return all.map((stored): JudgedHost => {
      const { id } = stored.facts;
      const evidence: HostEvidence = {
        facts: stored.facts,
        totals: totalsByHost.get(id) ?? [],
        coverage: coverageByHost.get(id) ?? null,
        cloudInstance: instanceByHost.get(id) ?? null,
        measuredHops: hopsByHost.get(id) ?? [],
        compared: compared.get(id) ?? { counts: [], seen: [] },
      };
      return { stored, evidence, judged: judge(evidence, this.judging(window)) };
    });
  }

  /** Returns the verdicts with their reasons and evidence, in the order of `hosts`. */
  async describeReadiness(hosts: readonly JudgedHost[], questionWindow: Window): Promise<Readiness[]> {
    const ids = hosts.flatMap(({ evidence }) => evidence.totals.flatMap(({ identity }) => identity ?? []));
    const window = this.readinessWindow(questionWindow);
    const [identities, adapting] = await Promise.all([
      this.#store.identities([...new Set(ids)]),
      this.#adaptingAmong(hosts, window),
    ]);
    const titles = new Map(identities.map((identity) => [identity.id, titleOf(identity)]));
    const judging = this.judging(window);
    const titleById = (id: string) => titles.get(id) ?? id;
    return hosts.map(({ evidence, judged }) => readinessOf(evidence, judged, judging, titleById, adapting));
  }

  /** Returns the workloads of blocked hosts that adapted on some host of the fleet. */
  async #adaptingAmong(hosts: readonly JudgedHost[], window: Window): Promise<Set<string>> {
    const blocked = hosts.filter(({ judged }) => judged.verdict === 'blocked');
    const ids = blocked.flatMap(({ evidence }) =>
      evidence.totals.flatMap(({ identity, kinds }) =>
        identity !== null && kinds.some(isV1) ? [identity] : [],
      ),
    );
    if (ids.length === 0) return new Set();
    const totals = await this.#store.identityTotals({ window, hosts: null, identities: [...new Set(ids)] });
    return new Set(
      totals.flatMap(({ identity, kinds }) => (tally(kinds).adaptedV1 > 0 ? [identity.id] : [])),
    );
  }

  /** Returns for each host the cloud's counts, and the calls that we saw in the same spans. */
  async compareWithCloud(counts: readonly CloudCount[]): Promise<Map<string, Compared>> {
    const countsByHost = [...Map.groupBy(counts, ({ hostId }) => hostId)];
    const compared = countsByHost.map(async ([hostId, hostCounts]): Promise<[string, Compared]> => {
      const spans = hostCounts.map(({ startUs, endUs }) => ({ sinceUs: startUs, untilUs: endUs }));
      const [seen, seenRefused] = await Promise.all([
        this.#store.answeredV1(hostId, spans),
        this.#store.refusedV1(hostId, spans),
      ]);
      return [hostId, { counts: hostCounts, seen, seenRefused }];
    });
    return new Map(await Promise.all(compared));
  }

  /**
   * The window of a question may end in the future. Nothing is watched there, so the days are counted back
   * from now.
   */
  readinessWindow(questionWindow: Window): Window {
    const untilUs = Math.min(questionWindow.untilUs, Math.ceil(this.#nowUs() / SECOND_US) * SECOND_US);
    return { sinceUs: untilUs - this.#options.readinessWindowDays * DAY_US, untilUs };
  }

  /** A host whose clock is ahead of ours reports with times after now. These reports count. */
  #reported(window: Window): Window {
    const untilUs = window.untilUs >= this.#nowUs() ? Number.MAX_SAFE_INTEGER : window.untilUs;
    return { ...window, untilUs };
  }

  /** Returns the window with the tolerance and the present time. */
  judging(window: Window): Judging {
    const seconds = this.#options.readinessMaxMissingSeconds ?? DEFAULT_MAX_MISSING_SECONDS;
    return { window, nowUs: this.#nowUs(), toleranceUs: seconds * 1e6 };
  }
}

function known(us: number): number | null {
  return Number.isNaN(us) ? null : us;
}
