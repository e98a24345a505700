/**
 * Reports findings that have changed: offenders, verdicts of hosts, silent agents, and captures that lose something. A finding that goes on is
 * reported again each day, because a receiver such as Security Hub drops one that was not updated for long.
 */

import { randomUUID } from 'node:crypto';
import type { AdminStore } from '../admin/admin_store.ts';
import type { FindingReport, FindingState } from '../admin/finding_rows.ts';
import { MAX_CLOCK_DIFFERENCE_MS } from '../admin/lease.ts';
import type { Held } from '../admin/leases.ts';
import { newOffender } from '../alert/alert_text.ts';
import type { Finding } from '../contract/finding.ts';
import type { Host } from '../contract/host.ts';
import type { Offender, OffenderDetail } from '../contract/offender.ts';
import { DAY_US, type Window } from '../contract/window.ts';
import type { HostSummary } from '../insight/hosts.ts';
import type { StoreQueries } from '../store/store.ts';
import { toTimestamp } from '../store/time.ts';
import { findingsAbout, goingOn, type HostGlance, hostsOf, lossKey } from './host_findings.ts';
import { isLossOpen, lossOf } from './open_loss.ts';
import { changeOf, type ReportFields, type WantedFinding } from './reported_change.ts';

const EVERY_US = 60_000_000;
/** Evaluations take at most this share of the time. */
const MAX_SHARE = 0.1;
/** Hosts have this time to report after a start of the collector. Until then all of them look silent and unproven. */
const HOSTS_SETTLE_US = 300_000_000;
const WINDOW_US = 14 * DAY_US;
/** The clocks of two collectors that have the lease differ by no more. Calls of the last minute must not be missing in between. */
const MAX_BEHIND_US = 2 * MAX_CLOCK_DIFFERENCE_MS * 1000;
/** Losses are looked for in this time. One that is open began later, or goes on. */
const LOSSES_US = DAY_US;
/** Hosts that are described at a time, and reports that are stored at a time. */
const AT_ONCE = 500;

export interface ReporterInsight {
  offenders(question: { window: Window }, filter: Record<string, never>): Promise<Offender[]>;
  offender(id: string, question: { window: Window }): Promise<OffenderDetail | null>;
  glances(question: { window: Window }): AsyncIterable<HostGlance[]>;
  describeHosts(summaries: readonly HostSummary[]): Promise<Host[]>;
}

export interface ReporterOptions {
  rows: AdminStore['findings'];
  insight: ReporterInsight;
  store: Pick<StoreQueries, 'hosts' | 'cloudInstances' | 'coverage'>;
  /** The lease of the streams. */
  held: () => Held | null;
  /** Address of the page; null: findings have no link. */
  publicUrl: string | null;
  nowUs: () => number;
}

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
    const window = { sinceUs: nowUs - WINDOW_US, untilUs: nowUs + MAX_BEHIND_US };
    const offenders = await this.#options.insight.offenders({ window }, {});
    const wanted = offenders.map((offender): WantedFinding => {
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

  async #offender(offender: Offender, window: Window, common: ReportFields): Promise<Finding> {
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
    const window = { sinceUs: nowUs - WINDOW_US, untilUs: nowUs };
    for await (const glances of this.#options.insight.glances({ window })) {
      const changed = glances.filter((each) => this.#isHostDue(each, known, seen, nowUs));
      for (let from = 0; from < changed.length; from += AT_ONCE) {
        const wanted = await this.#described(changed.slice(from, from + AT_ONCE), nowUs);
        await this.#store(wanted, known, seen, nowUs);
      }
    }
  }

  /** Notes that the findings of a host go on, and returns whether one of them is to be reported. */
  #isHostDue(
    glance: HostGlance,
    known: ReadonlyMap<string, FindingState>,
    seen: Set<string>,
    nowUs: number,
  ): boolean {
    const found = goingOn(glance, nowUs);
    for (const { key } of found) seen.add(key);
    // Nobody knows whether the capture of a silent host has recovered, so that a loss there is not over.
    if (glance.isSilent) seen.add(lossKey(glance.id));
    return found.some((each) => changeOf(known.get(each.key), each, nowUs) !== null);
  }

  async #described(glances: readonly HostGlance[], nowUs: number): Promise<WantedFinding[]> {
    const { insight, store } = this.#options;
    const hosts = await insight.describeHosts(glances);
    const ids = hosts.map(({ id }) => id);
    const lately = { sinceUs: nowUs - LOSSES_US, untilUs: nowUs };
    const [facts, coverage] = await Promise.all([hostsOf(store, ids), store.coverage(lately, ids)]);
    const factsOf = new Map(facts.map((each) => [each.id, each]));
    const gapsOf = new Map(coverage.map(({ hostId, gaps }) => [hostId, gaps]));
    const glanceOf = new Map(glances.map((each) => [each.id, each]));
    return hosts.flatMap((host) => {
      const { id } = host;
      const loss = lossOf(gapsOf.get(id) ?? []);
      const isOpen = loss !== null && isLossOpen(loss.last.endUs, nowUs);
      return findingsAbout({
        ...{ host, facts: factsOf.get(id)!, glance: glanceOf.get(id)!, link: this.#link('hosts', id) },
        loss: isOpen ? loss : null,
      });
    });
  }

  async #store(
    wanted: readonly WantedFinding[],
    known: ReadonlyMap<string, FindingState>,
    seen: Set<string>,
    nowUs: number,
  ): Promise<void> {
    const reports: FindingReport[] = [];
    const time = toTimestamp(nowUs);
    for (const { key, state, minor, make } of wanted) {
      seen.add(key);
      const change = changeOf(known.get(key), { state, minor }, nowUs);
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
