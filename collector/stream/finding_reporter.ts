/**
 * Reports findings that have changed: offenders, verdicts of hosts, and hosts whose agent is silent. A finding that goes on is
 * reported again each day, because a receiver such as Security Hub drops one that was not updated for long.
 */
import { randomUUID } from 'node:crypto';
import type { AdminStore } from '../admin/admin_store.ts';
import type { FindingReport, FindingState } from '../admin/finding_rows.ts';
import type { Held } from '../admin/leases.ts';
import { newOffender } from '../alert/alert_text.ts';
import type { Finding, FindingHost } from '../contract/finding.ts';
import type { Host } from '../contract/host.ts';
import type { Offender, OffenderDetail } from '../contract/offender.ts';
import { DAY_US, type Window } from '../contract/window.ts';
import type { HostSummary } from '../insight/hosts.ts';
import type { StoreQueries } from '../store/store.ts';
import { toTimestamp } from '../store/time.ts';

const EVERY_US = 60_000_000;
/** Evaluations take at most this share of the time. */
const MAX_SHARE = 0.1;
/** Hosts have this time to report after a start of the collector. Until then all of them look silent and unproven. */
const HOSTS_SETTLE_US = 300_000_000;
const WINDOW_US = 14 * DAY_US;
/** Changes of numbers, such as that of the hosts of an offender, are reported at most this often. */
const MINOR_US = 3600_000_000;
/** Hosts that are described at a time, and reports that are stored at a time. */
const AT_ONCE = 500;

export interface ReporterInsight {
  offenders(question: { window: Window }, filter: Record<string, never>): Promise<Offender[]>;
  offender(id: string, question: { window: Window }): Promise<OffenderDetail | null>;
  glances(question: { window: Window }): AsyncIterable<HostSummary[]>;
  describeHosts(summaries: readonly HostSummary[]): Promise<Host[]>;
}

export interface ReporterOptions {
  rows: AdminStore['findings'];
  insight: ReporterInsight;
  store: Pick<StoreQueries, 'hosts' | 'cloudInstances'>;
  /** The lease of the streams. */
  held: () => Held | null;
  /** Address of the page; null: findings have no link. */
  publicUrl: string | null;
  nowUs: () => number;
}

interface Wanted {
  key: string;
  state: string;
  minor: string;
  make: (common: Common) => Promise<Finding>;
}

type Common = Pick<Finding, 'id' | 'key' | 'change' | 'time'>;

export class FindingReporter {
  readonly #options: ReporterOptions;
  readonly #startedUs: number;
  #dueUs = 0;

  constructor(options: ReporterOptions) {
    this.#options = options;
    this.#startedUs = options.nowUs();
  }

  /** Does nothing until it is time. Rejects where the store fails. */
  async report(): Promise<void> {
    const { nowUs } = this.#options;
    const beganUs = nowUs();
    if (beganUs < this.#dueUs) return;
    const known = new Map((await this.#options.rows.states()).map((state) => [state.key, state]));
    const seen = new Set<string>();
    await this.#offenders(known, seen, beganUs);
    const areHostsSettled = beganUs - this.#startedUs >= HOSTS_SETTLE_US;
    if (areHostsSettled) await this.#hosts(known, seen, beganUs);
    await this.#resolve(known, seen, areHostsSettled, beganUs);
    this.#dueUs = nowUs() + Math.max(EVERY_US, (nowUs() - beganUs) / MAX_SHARE);
  }

  async #offenders(
    known: ReadonlyMap<string, FindingState>,
    seen: Set<string>,
    nowUs: number,
  ): Promise<void> {
    const window = { sinceUs: nowUs - WINDOW_US, untilUs: nowUs };
    const offenders = await this.#options.insight.offenders({ window }, {});
    const wanted = offenders.map((offender): Wanted => {
      const { severity, triage, accounts, regions, roles_v1, host_count } = offender;
      return {
        key: `offender/${offender.id}`,
        state: JSON.stringify([severity, triage.state, triage.owner, accounts, regions, roles_v1]),
        minor: String(host_count),
        make: (common) => this.#offender(offender, window, common),
      };
    });
    await this.#store(wanted, known, seen, nowUs);
  }

  async #offender(offender: Offender, window: Window, common: Common): Promise<Finding> {
    const { insight, store } = this.#options;
    const detail = await insight.offender(offender.id, { window });
    const ids = (detail?.all_hosts ?? offender.hosts).map(({ id }) => id);
    const { title, text } = newOffender(offender, false);
    const isCritical = offender.credentials_over_v1 > 0;
    return {
      ...common,
      type: 'offender',
      first_seen: offender.first_v1 ?? offender.first_seen,
      last_seen: offender.last_v1 ?? offender.last_seen,
      severity: isCritical ? 'critical' : 'warning',
      title,
      text,
      link: this.#link('offenders', offender.id),
      offender,
      hosts: await hostsOf(store, ids),
      process: detail?.processes[0] ?? null,
    };
  }

  async #hosts(known: ReadonlyMap<string, FindingState>, seen: Set<string>, nowUs: number): Promise<void> {
    const { insight } = this.#options;
    const window = { sinceUs: nowUs - WINDOW_US, untilUs: nowUs };
    for await (const summaries of insight.glances({ window })) {
      for (let from = 0; from < summaries.length; from += AT_ONCE) {
        const some = summaries.slice(from, from + AT_ONCE);
        const changed = some.filter((each) => this.#isHostDue(each, known, seen, nowUs));
        if (changed.length === 0) continue;
        const hosts = await insight.describeHosts(changed);
        const facts = new Map(
          (
            await hostsOf(
              this.#options.store,
              hosts.map(({ id }) => id),
            )
          ).map((host) => [host.id, host]),
        );
        const wanted = hosts.flatMap((host) => this.#aboutHost(host, facts.get(host.id)!));
        await this.#store(wanted, known, seen, nowUs);
      }
    }
  }

  /** Notes that the findings of a host go on, and returns whether one of them is to be reported. */
  #isHostDue(
    { id, verdict, isSilent }: HostSummary,
    known: ReadonlyMap<string, FindingState>,
    seen: Set<string>,
    nowUs: number,
  ): boolean {
    const keys = [{ key: `verdict/${id}`, state: verdict as string }];
    if (isSilent) keys.push({ key: `host_silent/${id}`, state: '' });
    for (const { key } of keys) seen.add(key);
    return keys.some(({ key, state }) => {
      const before = known.get(key);
      return before === undefined || changeOf(before, { state, minor: '' }, nowUs) !== null;
    });
  }

  #aboutHost(host: Host, facts: FindingHost): Wanted[] {
    const { id, name, verdict, state } = host;
    const common = { first_seen: host.first_seen, last_seen: host.last_seen, link: this.#link('hosts', id) };
    const { severity, reason } = VERDICTS[verdict];
    const wanted: Wanted[] = [
      {
        key: `verdict/${id}`,
        state: verdict,
        minor: '',
        make: async (given) => ({
          ...{ ...given, ...common, type: 'verdict', severity, verdict, reason, host: facts },
          title: `Host ${name} is ${verdict}`,
          text: `Host ${name} (${id}): ${reason}`,
          coverage_percent: host.coverage_percent,
        }),
      },
    ];
    if (state === 'silent') {
      wanted.push({
        key: `host_silent/${id}`,
        state: '',
        minor: '',
        make: async (given) => ({
          ...{ ...given, ...common, type: 'sensor', rule: 'host_silent', severity: 'warning', host: facts },
          title: `Host ${name} is silent`,
          text: `The agent of host ${name} (${id}) does not report, last at ${host.last_heartbeat ?? host.last_seen}. Calls on it are not seen.`,
        }),
      });
    }
    return wanted;
  }

  async #store(
    wanted: readonly Wanted[],
    known: ReadonlyMap<string, FindingState>,
    seen: Set<string>,
    nowUs: number,
  ): Promise<void> {
    const reports: FindingReport[] = [];
    const time = toTimestamp(nowUs);
    for (const { key, state, minor, make } of wanted) {
      seen.add(key);
      const before = known.get(key);
      const change = before === undefined ? 'new' : changeOf(before, { state, minor }, nowUs);
      if (change === null) continue;
      const finding = await make({ id: randomUUID(), key, change, time });
      reports.push({ key, change, state, minor, timeUs: nowUs, finding });
      if (reports.length >= AT_ONCE) await this.#options.rows.store(reports.splice(0), this.#options.held());
    }
    if (reports.length > 0) await this.#options.rows.store(reports, this.#options.held());
  }

  /** Reports what is over: an offender without calls in the window, a host that is gone, an agent that is back. */
  async #resolve(
    known: ReadonlyMap<string, FindingState>,
    seen: ReadonlySet<string>,
    areHostsSettled: boolean,
    nowUs: number,
  ): Promise<void> {
    const { rows, held } = this.#options;
    const over = [...known.values()].filter(
      ({ key, change }) =>
        change !== 'resolved' && !seen.has(key) && (areHostsSettled || key.startsWith('offender/')),
    );
    for (let from = 0; from < over.length; from += AT_ONCE) {
      const some = new Map(over.slice(from, from + AT_ONCE).map((state) => [state.key, state]));
      const reports = (await rows.latest([...some.keys()])).map((finding): FindingReport => {
        const { state, minor } = some.get(finding.key)!;
        const common = { id: randomUUID(), change: 'resolved' as const, time: toTimestamp(nowUs) };
        const title = finding.title.startsWith('Over: ') ? finding.title : `Over: ${finding.title}`;
        return {
          ...{ key: finding.key, change: 'resolved', state, minor, timeUs: nowUs },
          finding: { ...finding, ...common, title },
        };
      });
      await rows.store(reports, held());
    }
  }

  #link(page: string, id: string): string | null {
    const { publicUrl } = this.#options;
    return publicUrl === null
      ? null
      : `${publicUrl.replace(/\/+$/, '')}/${page}/${encodeURIComponent(id.toWellFormed())}`;
  }
}

/** Returns the change that is to be reported; null where it is not time for one. */
function changeOf(
  before: FindingState,
  { state, minor }: Pick<FindingState, 'state' | 'minor'>,
  nowUs: number,
): 'new' | 'updated' | null {
  if (before.change === 'resolved') return 'new';
  const sinceUs = nowUs - before.timeUs;
  const isDue =
    before.state !== state || sinceUs >= DAY_US || (before.minor !== minor && sinceUs >= MINOR_US);
  return isDue ? 'updated' : null;
}

const VERDICTS: Record<Host['verdict'], { severity: Finding['severity']; reason: string }> = {
  ready: {
    severity: 'info',
    reason: 'No IMDSv1 call was seen while it was watched. Tokens can be required.',
  },
  enforced: { severity: 'info', reason: 'Tokens are required, and nobody called without one.' },
  blocked: {
    severity: 'warning',
    reason: 'Workloads call IMDSv1 there. Fix them before tokens are required.',
  },
  fallback: {
    severity: 'warning',
    reason: 'Clients that support IMDSv2 fell back to IMDSv1. Fix the hop limit first.',
  },
  rejected: {
    severity: 'warning',
    reason: 'Tokens are required, and calls without one are refused: something is broken.',
  },
  unproven: { severity: 'info', reason: 'It was not watched all the time, so nothing is proven.' },
};

async function hostsOf(
  store: Pick<StoreQueries, 'hosts' | 'cloudInstances'>,
  ids: readonly string[],
): Promise<FindingHost[]> {
  const [hosts, instances] = await Promise.all([store.hosts(ids), store.cloudInstances(ids)]);
  const options = new Map(instances.map((each) => [each.hostId, each]));
  return hosts.map(({ facts }) => ({
    ...{ id: facts.id, name: facts.name, tags: facts.tags ?? {}, type: facts.type ?? null },
    account: facts['cloud.account.id'] ?? null,
    region: facts['cloud.region'] ?? null,
    zone: facts['cloud.availability_zone'] ?? null,
    image_id: facts['image.id'] ?? null,
    http_tokens: options.get(facts.id)?.httpTokens ?? null,
    hop_limit: options.get(facts.id)?.hopLimit ?? null,
  }));
}
