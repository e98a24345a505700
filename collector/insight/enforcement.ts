/**
 * Answers what `imdswatch enforce` asks: verdicts with what a change depends on, refused calls, and watched time.
 * Times are milliseconds since 1970.
 */
import { SCALING_GROUP_TAG } from '../../common/instance_tags.ts';
import type { Call } from '../../protocol/call.ts';
import { isV1Use, judgedFields } from '../../protocol/v1_use.ts';
import type { EnforcementCall, EnforcementHost } from '../contract/enforcement.ts';
import { DAY_US } from '../contract/window.ts';
import type { HostFilter } from '../store/host_filter.ts';
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
  /** Hosts of Auto Scaling groups by its name, and when they were read. */
  readonly #members = new Map<string, { readMs: number; ids: string[] }>();

  constructor(store: StoreQueries, options: InsightOptions) {
    this.#rules = options.rules ?? BUILT_IN_RULES;
    this.#store = new WorkloadQueries(store, this.#rules);
    this.#options = options;
    this.#judge = new HostJudge(this.#store, options, () => this.#nowMs() * 1000);
  }

  /** Judges these hosts over the readiness window that ends now. */
  async hosts(ids: readonly string[]): Promise<EnforcementHost[]> {
    const nowUs = this.#nowMs() * 1000;
    const window = { sinceUs: nowUs - this.#options.readinessWindowDays * DAY_US, untilUs: nowUs };
    const judged = await this.#judge.judgeHosts(window, [...ids]);
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
    // One more than wanted shows that there are more.
    const following = await this.#store.hostPage(null, after, limit + 1);
    const ids = following.slice(0, limit).map(({ facts }) => facts.id);
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

  /** Lists the hosts, with those that have joined their Auto Scaling groups. New ones are looked for now and then. */
  async #idsOf({ hostIds, scalingGroups }: WatchedHosts): Promise<string[]> {
    if (scalingGroups.length === 0) return [...hostIds];
    const joined: string[] = [];
    for (const name of new Set(scalingGroups)) joined.push(...(await this.#membersOf(name)));
    return [...new Set([...hostIds, ...joined])];
  }

  /** Returns the hosts of an Auto Scaling group, as they were at most `HOSTS_READ_MS` ago. */
  async #membersOf(name: string): Promise<string[]> {
    const nowMs = this.#nowMs();
    const known = this.#members.get(name);
    if (known !== undefined && Math.abs(nowMs - known.readMs) < HOSTS_READ_MS) return known.ids;
    const hosts = await this.#allHosts({ tags: [{ key: SCALING_GROUP_TAG, value: name }] });
    const ids = hosts.map(({ facts }) => facts.id);
    for (const [other, { readMs }] of this.#members) {
      if (Math.abs(nowMs - readMs) >= HOSTS_READ_MS) this.#members.delete(other);
    }
    this.#members.set(name, { readMs: nowMs, ids });
    return ids;
  }

  async #allHosts(filter: HostFilter): Promise<StoredHost[]> {
    const found: StoredHost[] = [];
    for (;;) {
      const page = await this.#store.hostPage(filter, found.at(-1)?.facts.id ?? null, PAGE);
      found.push(...page);
      if (page.length < PAGE) return found;
    }
  }

  /** Returns hosts of an account and region of which the first record is not older than a time, by the host's clock. */
  async newHosts(
    { account, region }: { account: string; region: string },
    sinceMs: number,
  ): Promise<{ hostId: string; tags: Readonly<Record<string, string>> }[]> {
    const filter = { accounts: [account], regions: [region], firstSinceUs: sinceMs * 1000 };
    return (await this.#allHosts(filter)).map(({ facts }) => ({ hostId: facts.id, tags: facts.tags ?? {} }));
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
    const scope = { window, hosts: null, identities: [callerId] };
    const found: string[] = [];
    for (;;) {
      const page = await this.#store.callerHosts(scope, found.at(-1) ?? null, PAGE);
      found.push(...page);
      if (page.length < PAGE) return found;
    }
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
