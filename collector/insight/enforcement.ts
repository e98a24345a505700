/**
 * Answers what `imdswatch enforce` asks: verdicts with what a change depends on, refused calls, and watched time.
 * Times are milliseconds since 1970.
 */
import { SCALING_GROUP_TAG } from '../../common/instance_tags.ts';
import type { Call, HostFacts } from '../../protocol/call.ts';
import { isV1Use, judgedFields } from '../../protocol/v1_use.ts';
import type { EnforcementCall, EnforcementHost } from '../contract/enforcement.ts';
import { DAY_US } from '../contract/window.ts';
import type { CallFilter, StoredHost, StoreQueries } from '../store/store.ts';
import { WorkloadQueries } from '../store/workload_queries.ts';
import { BUILT_IN_RULES, type WorkloadRules } from '../store/workload_rules.ts';
import { watchedOf } from './coverage_gaps.ts';
import { hopEvidence, hopLimitFor } from './hop_limit.ts';
import { HostJudge } from './host_judge.ts';
import { describeHost } from './hosts.ts';
import type { InsightOptions } from './insight.ts';

const PAGE = 1000;
/** EC2's answer to a call without a token where tokens are required. */
const REFUSED_STATUS = 401;

/** Latest calls of one caller on one host that an answer has. One is enough to act on. */
const CALLS_OF_CALLER = 10;

/** A new instance is noticed after this time. */
const HOSTS_READ_MS = 10_000;

/** Hosts by their ids, and by the names of their Auto Scaling groups, which may get new members. */
export interface WatchedHosts {
  hostIds: readonly string[];
  scalingGroups: readonly string[];
}

export class EnforcementQuestions {
  readonly #store: StoreQueries;
  readonly #options: InsightOptions;
  readonly #rules: WorkloadRules;
  readonly #judge: HostJudge;
  /** All hosts, and when they were read. */
  #hosts: { readMs: number; hosts: StoredHost[]; members: Map<string, HostFacts[]> } = {
    readMs: Number.NEGATIVE_INFINITY,
    hosts: [],
    members: new Map(),
  };

  constructor(store: StoreQueries, options: InsightOptions) {
    this.#rules = options.rules ?? BUILT_IN_RULES;
    this.#store = new WorkloadQueries(store, this.#rules);
    this.#options = options;
    this.#judge = new HostJudge(this.#store, options, () => this.#nowMs() * 1000);
  }

  /** Judges these hosts, or all of them for null, over the readiness window that ends now. */
  async hosts(ids: readonly string[] | null): Promise<EnforcementHost[]> {
    const nowUs = this.#nowMs() * 1000;
    const window = { sinceUs: nowUs - this.#options.readinessWindowDays * DAY_US, untilUs: nowUs };
    const judged = await this.#judge.judgeHosts(window, ids === null ? null : [...ids]);
    const described = await this.#judge.describeReadiness(judged, window);
    return judged.map((each, index) => {
      const { facts, measuredHops = [], cloudInstance } = each.evidence;
      const hops = hopEvidence(facts, measuredHops, cloudInstance);
      const advice = hopLimitFor(hops);
      const host = describeHost(each, nowUs, this.#options.silentAfterSeconds);
      return {
        id: host.id,
        name: host.name,
        account: host.account,
        region: host.region,
        image_id: host.image_id,
        tags: host.tags,
        verdict: host.verdict,
        reason: described[index]!.reason,
        start_seen: host.start_seen,
        coverage_percent: host.coverage_percent,
        hops: hops.hops,
        advised_hop_limit: advice.action === 'raise' ? advice.hopLimit : null,
        is_online: host.state === 'online',
        is_live: each.stored.heartbeat?.heartbeat.coverage.live ?? false,
      };
    });
  }

  /** Judges the hosts whose ids sort after `after`, or begin with null, and returns the id to go on after. */
  async hostsAfter(
    after: string | null,
    limit: number,
  ): Promise<{ items: EnforcementHost[]; next: string | null }> {
    const all = (await this.#store.hosts()).map(({ facts }) => facts.id).sort();
    const following = after === null ? all : all.filter((id) => id > after);
    const ids = following.slice(0, limit);
    const items = ids.length === 0 ? [] : await this.hosts(ids);
    return { items, next: following.length > limit ? ids.at(-1)! : null };
  }

  /**
   * Returns calls without a token of these hosts that were refused with 401 since a time by their host's clock. Those
   * that their client repeated with a token are left out: nothing breaks.
   */
  async refusedCalls(sinceMs: number, watched: WatchedHosts): Promise<EnforcementCall[]> {
    const hosts = await this.#idsOf(watched);
    return this.#v1Calls(sinceMs, hosts, (status) => status === REFUSED_STATUS);
  }

  /** Returns calls without a token that were answered with success on these hosts: tokens are not required there. */
  acceptedCalls(hostIds: readonly string[], sinceMs: number): Promise<EnforcementCall[]> {
    return this.#v1Calls(sinceMs, [...hostIds], (status) => status >= 200 && status < 300);
  }

  /** Lists the hosts, with those that have joined their Auto Scaling groups. The list of all hosts is read now and then. */
  async #idsOf({ hostIds, scalingGroups }: WatchedHosts): Promise<string[]> {
    if (scalingGroups.length === 0) return [...hostIds];
    const { members } = await this.#allHosts();
    const joined = scalingGroups.flatMap((name) => members.get(name) ?? []);
    return [...new Set([...hostIds, ...joined.map(({ id }) => id)])];
  }

  async #allHosts() {
    const nowMs = this.#nowMs();
    if (Math.abs(nowMs - this.#hosts.readMs) >= HOSTS_READ_MS) {
      const hosts = await this.#store.hosts();
      const members = Map.groupBy(
        hosts.map(({ facts }) => facts),
        ({ tags }) => tags?.[SCALING_GROUP_TAG] ?? '',
      );
      this.#hosts = { readMs: nowMs, hosts, members };
    }
    return this.#hosts;
  }

  /** Returns hosts of an account and region of which the first record is not older than a time, by the host's clock. */
  async newHosts(
    { account, region }: { account: string; region: string },
    sinceMs: number,
  ): Promise<{ hostId: string; tags: Readonly<Record<string, string>> }[]> {
    const { hosts } = await this.#allHosts();
    return hosts
      .filter(
        ({ facts, firstUs }) =>
          firstUs >= sinceMs * 1000 &&
          facts['cloud.account.id'] === account &&
          facts['cloud.region'] === region,
      )
      .map(({ facts }) => ({ hostId: facts.id, tags: facts.tags ?? {} }));
  }

  async #v1Calls(
    sinceMs: number,
    hosts: string[],
    isWanted: (status: number) => boolean,
  ): Promise<EnforcementCall[]> {
    const window = { sinceUs: sinceMs * 1000, untilUs: Number.MAX_SAFE_INTEGER };
    const filter: CallFilter = {
      ...{ window, hosts, identities: null, categories: null, path: null },
      version: 1,
      outcomes: ['answered'],
    };
    const found: EnforcementCall[] = [];
    const counts = new Map<string, number>();
    let cursor: string | null = null;
    do {
      const page: Awaited<ReturnType<StoreQueries['calls']>> = await this.#store.calls(filter, PAGE, cursor);
      for (const call of page.calls) {
        // The store's window begins with a whole hour.
        if (Date.parse(call.time) < sinceMs) continue;
        const status = call['http.response.status_code'];
        if (status === null || !isWanted(status) || !isV1Use(judgedFields(call))) continue;
        const described = this.#describe(call);
        const key = `${described.host} ${described.caller.id}`;
        const count = (counts.get(key) ?? 0) + 1;
        counts.set(key, count);
        if (count <= CALLS_OF_CALLER) found.push(described);
      }
      cursor = page.next;
    } while (cursor !== null);
    return found;
  }

  /** Returns the hosts on which a workload called in the readiness window. */
  async hostsOfCaller(callerId: string): Promise<string[]> {
    const untilUs = this.#nowMs() * 1000;
    const window = { sinceUs: untilUs - this.#options.readinessWindowDays * DAY_US, untilUs };
    const rows = await this.#store.identityHosts({ window, hosts: null, identities: [callerId] });
    return [...new Set(rows.map(({ hostId }) => hostId))];
  }

  /**
   * Returns the milliseconds of a span that each host was watched. Time after a host's last report counts as not watched
   * until the next report vouches for it.
   */
  async watched(
    hostIds: readonly string[],
    { sinceMs, untilMs }: { sinceMs: number; untilMs: number },
  ): Promise<Map<string, number>> {
    const window = { sinceUs: sinceMs * 1000, untilUs: untilMs * 1000 };
    const coverage = await this.#store.coverage(window, [...hostIds]);
    return new Map(
      coverage.map((each) => {
        const reportedUs = Math.max(window.sinceUs, Math.min(window.untilUs, each.lastUs ?? 0));
        const { windowUs, missingUs } = watchedOf(each, [], { ...window, untilUs: reportedUs }, reportedUs);
        return [each.hostId, (windowUs - missingUs) / 1000];
      }),
    );
  }

  #describe(call: Call): EnforcementCall {
    const { host } = call;
    return {
      id: call.id,
      host: host.id,
      tags: host.tags ?? {},
      time: call.time,
      caller: { id: this.#rules.workloadIdOfCall(call), title: titleOf(call) },
    };
  }

  #nowMs(): number {
    return (this.#options.now ?? Date.now)();
  }
}

/** Returns the shortest name of a call's caller, for a person. */
export function titleOf(call: Call): string {
  const { process, container, systemd } = call;
  return (
    process?.script ??
    process?.['executable.path'] ??
    process?.name ??
    systemd?.unit ??
    container?.name ??
    `from ${call['source.address']}`
  );
}
