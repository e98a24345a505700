/**
 * Evaluates the alert rules every few seconds, stores the alerts and their state, and starts the deliveries.
 */
import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import type { AdminStore } from '../admin/admin_store.ts';
import type { SubjectChange } from '../admin/alert_subjects.ts';
import type { Lease } from '../admin/lease.ts';
import { type Held, LeaseLostError } from '../admin/leases.ts';
import type { Alert } from '../contract/alert.ts';
import type {
  Destination,
  DestinationChange,
  NewDestination,
  UnroutedAlerts,
} from '../contract/destination.ts';
import type { Group } from '../contract/group.ts';
import type { Host } from '../contract/host.ts';
import type { Offender } from '../contract/offender.ts';
import { DAY_US, type Window } from '../contract/window.ts';
import { type HostSummary, worstHostFirst } from '../insight/hosts.ts';
import type { Owners } from '../insight/owners.ts';
import type { EndedTriage } from '../insight/triage_reader.ts';
import type { StoreQueries } from '../store/store.ts';
import { toTimestamp } from '../store/time.ts';
import type { AlertDraft } from './alert_draft.ts';
import { ALERT_KINDS } from './alert_kinds.ts';
import { factsObject } from './alert_objects.ts';
import { withOwner } from './alert_owner.ts';
import { type AlertState, changedSubjects, STATE_KINDS, stateOf } from './alert_state.ts';
import { SUMMARY_SUBJECT } from './alert_text.ts';
import { dedupKeyOf } from './dedup_key.ts';
import { Deliveries } from './deliveries.ts';
import { Destinations } from './destinations.ts';
import { evaluate, type Findings } from './evaluate.ts';
import { type HostGlance, HostRules } from './host_rules.ts';
import { limitedDigests, recordedAlerts } from './recorded_alerts.ts';
import type { SendOptions, SendResult } from './send.ts';

const INTERVAL_MS = 10_000;
/** Time after which another collector takes over from one that has ended without a word. */
export const ALERTS_LEASE_MS = 12_000;
/** Evaluations take at most this share of the time. On a large store they are made less often. */
const MAX_SHARE = 0.1;
/**
 * Time that hosts have to report after a start. Until then all of them look silent and unproven, because the
 * collector was away.
 */
const HOSTS_SETTLE_MS = 5 * 60_000;
const FINDINGS_WINDOW_US = 14 * DAY_US;
/**
 * A clock that is set back must not make the latest calls disappear: their workloads would count as fixed, and as new when it
 * is right again.
 */
const MAX_BEHIND_US = DAY_US;
/**
 * Older losses, from an agent that was offline, make a host unproven, and the `host_not_ready` alert reports
 * that.
 */
const COVERAGE_WINDOW_US = DAY_US;
/** Hosts that are described at a time. */
const HOSTS_AT_ONCE = 500;

/** The questions that the rules ask about the findings. */
export interface AlertInsight {
  offenders(question: { window: Window }, filter: Record<string, never>): Promise<Offender[]>;
  /** Returns all hosts, some thousand at a time. */
  glances(question: { window: Window }): AsyncIterable<(HostSummary & HostGlance)[]>;
  describeHosts(summaries: readonly HostSummary[]): Promise<Host[]>;
  groups(by: 'asg', question: { window: Window }): Promise<Group[]>;
  endedTriage(): Promise<EndedTriage[]>;
}

export interface AlertsOptions {
  admin: Pick<AdminStore, 'alerts' | 'cursors' | 'transaction' | 'isShared'>;
  /** Its holder, one of several collectors, evaluates the rules and sends the alerts. */
  lease: Lease;
  insight: AlertInsight;
  store: Pick<StoreQueries, 'coverage' | 'hosts'>;
  /** Returns who owns what, as it is now. */
  owners: () => Owners;
  /** Address of the page, such as `https://imdswatch.example.com`. Null: alerts have no link. */
  publicUrl: string | null;
  log: Logger;
  /** Milliseconds since 1970. */
  now?: () => number;
  sending?: SendOptions;
}

export class Alerts {
  readonly #options: AlertsOptions;
  readonly #rows: AdminStore['alerts'];
  readonly #now: () => number;
  readonly #destinations: Destinations;
  readonly #deliveries: Deliveries;
  readonly #startedMs: number;
  /** The state as this holder of the lease has read and changed it. Null: it must be read. */
  #known: { epoch: number; state: AlertState } | null = null;
  #timer: NodeJS.Timeout | null = null;
  #stopped = false;
  #round: Promise<void> = Promise.resolve();
  readonly #counters = {
    evaluations: 0,
    evaluations_failed: 0,
    rounds_failed: 0,
    alerts: 0,
    summaries: 0,
    left_out: 0,
    queue_overflowed: 0,
    unrouted: 0,
  };

  constructor(options: AlertsOptions) {
    const { admin, log, now = Date.now, sending = {} } = options;
    this.#options = options;
    this.#now = now;
    this.#startedMs = now();
    this.#rows = admin.alerts;
    this.#destinations = new Destinations(admin, { now, sending });
    this.#deliveries = new Deliveries(this.#rows, () => options.lease.isHeld, log, now, sending);
  }

  start(): void {
    // Other collectors queue alerts too.
    this.#options.lease.start(() => this.#sendWaiting());
    this.#schedule(0);
  }

  /** Ends deliveries in progress. Alerts that were not delivered are sent after the next start. */
  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#deliveries.stop();
    await this.#round;
    await this.#options.lease.stop();
  }

  destinations(): Promise<Destination[]> {
    return this.#destinations.list();
  }

  /** Returns how many alerts were for no destination. */
  unrouted(): Promise<UnroutedAlerts> {
    return this.#destinations.unrouted();
  }

  /** `by` names the admin, for the log. Throws `OperatorError` (2) if the destination is not valid. */
  async addDestination(destination: NewDestination, by: string): Promise<Destination> {
    const added = await this.#destinations.add(destination);
    this.#options.log.info({ destination: added.name, by }, 'an alert destination was added');
    return added;
  }

  /** Returns null if no destination has this id. Throws `OperatorError` (2). */
  async changeDestination(id: string, change: DestinationChange, by: string): Promise<Destination | null> {
    const changed = await this.#destinations.change(id, change);
    if (changed !== null)
      this.#options.log.info({ destination: changed.name, by }, 'an alert destination was changed');
    return changed;
  }

  /** Returns false if no destination has this id. */
  async removeDestination(id: string, by: string): Promise<boolean> {
    const removed = await this.#destinations.remove(id);
    if (removed) this.#options.log.info({ destination: id, by }, 'an alert destination was removed');
    return removed;
  }

  /** Sends a test alert now. Rejects if the database fails. */
  sendTest(id: string): Promise<SendResult> {
    return this.#destinations.sendTest(id, this.#link('settings'));
  }

  /** Returns the newest first. `digest`: with summaries in place of the alerts that they stand for. */
  recentAlerts(limit: number, { digest = false } = {}): Promise<Alert[]> {
    return this.#rows.recent(limit, { digest });
  }

  /** Returns the alerts whose condition was not reported to be over, oldest first. */
  openAlerts(): Promise<Alert[]> {
    return this.#rows.open();
  }

  counters(): Record<string, number> {
    return { ...this.#counters, ...this.#deliveries.counters() };
  }

  /**
   * Evaluates the rules once, unless another collector does. If it rejects, no alert was stored and the state is unchanged.
   */
  async evaluate(): Promise<void> {
    const held = await this.#options.lease.take();
    if (held === null) {
      this.#known = null;
      return;
    }
    const nowMs = this.#now();
    const nowUs = nowMs * 1000;
    if (this.#known?.epoch !== held.epoch) {
      this.#known = { epoch: held.epoch, state: stateOf(await this.#rows.subjects(STATE_KINDS)) };
    }
    const before = this.#known.state;
    const findings = await this.#findings(nowMs, before);
    const { alerts: drafts, after } = evaluate(before, findings, nowUs);
    try {
      await this.#record(drafts, changedSubjects(before, after), nowUs, held);
    } catch (error) {
      // The next evaluation reads what is stored.
      this.#known = null;
      if (error instanceof LeaseLostError && this.#options.admin.isShared) return;
      throw error;
    }
    this.#known = { epoch: held.epoch, state: after };
    this.#counters.evaluations++;
  }

  /**
   * Stores alerts of other rules with the states of their subjects in one transaction, and begins to send them. Rejects as
   * `AlertRows.record` does.
   */
  async record(
    drafts: readonly AlertDraft[],
    subjects: readonly SubjectChange[],
    held: Held | null,
  ): Promise<void> {
    await this.#record(await this.#withFacts(drafts), subjects, this.#now() * 1000, held);
    if (drafts.length > 0) this.#sendWaiting();
  }

  /** Completes hosts of which the rules about plans know only the id. */
  async #withFacts(drafts: readonly AlertDraft[]): Promise<AlertDraft[]> {
    const ids = drafts.flatMap(({ object }) => (object?.type === 'host' ? [object.id] : []));
    if (ids.length === 0) return [...drafts];
    const facts = new Map(
      (await this.#options.store.hosts([...new Set(ids)])).map((host) => [host.facts.id, host.facts]),
    );
    return drafts.map((draft) => {
      const known = draft.object?.type === 'host' ? facts.get(draft.object.id) : undefined;
      return known === undefined
        ? draft
        : { ...draft, object: factsObject(known), hosts: [{ id: known.id, name: known.name }] };
    });
  }

  async #record(
    drafts: readonly AlertDraft[],
    subjects: readonly SubjectChange[],
    nowUs: number,
    held: Held | null,
  ): Promise<void> {
    const owned = drafts.map(withOwner(this.#options.owners()));
    const limited = await limitedDigests(this.#rows, owned);
    const { recorded: alerts, leftOut } = recordedAlerts(
      owned,
      (draft) => this.#alert(draft, nowUs),
      limited,
    );
    this.#counters.left_out += leftOut;
    if (alerts.length > 0 || subjects.length > 0) {
      const { overflowed, unrouted } = await this.#rows.record(alerts, subjects, nowUs, held);
      this.#counters.queue_overflowed += overflowed;
      this.#counters.unrouted += unrouted;
      if (unrouted > 0) {
        this.#options.log.warn(
          { alerts: unrouted },
          'alerts are for no destination: every destination that wants them is limited to other owners',
        );
      }
    }
    const summaries = alerts.filter(({ audience }) => audience === 'digest').length;
    const own = alerts.filter(({ audience }) => audience === 'own').length;
    this.#counters.alerts += alerts.length - summaries - own;
    this.#counters.summaries += summaries;
  }

  /** Sends the alerts that are due. Resolves when every destination has had its round. */
  sendDue(): Promise<void> {
    return this.#deliveries.sendDue();
  }

  async #findings(nowMs: number, { begun, hosts: before }: AlertState): Promise<Findings> {
    const { insight, store } = this.#options;
    const untilUs = nowMs * 1000;
    // The first evaluation covers all stored calls, so that old workloads count as known from then on.
    const sinceUs = begun.offenders ? untilUs - FINDINGS_WINDOW_US : 0;
    const offenders = await insight.offenders({ window: { sinceUs, untilUs: untilUs + MAX_BEHIND_US } }, {});
    const endedTriage = await insight.endedTriage();
    if (nowMs - this.#startedMs < HOSTS_SETTLE_MS)
      return { offenders, endedTriage, hosts: null, groups: null };
    const window = { sinceUs: untilUs - FINDINGS_WINDOW_US, untilUs };
    const hosts = new HostRules(before, untilUs);
    const changed: HostSummary[] = [];
    for await (const glances of insight.glances({ window })) {
      for (const glance of glances) if (hosts.mayHaveChanged(glance)) changed.push(glance);
    }
    changed.sort(worstHostFirst);
    const lately = { sinceUs: untilUs - COVERAGE_WINDOW_US, untilUs };
    for (let from = 0; from < changed.length; from += HOSTS_AT_ONCE) {
      const some = changed.slice(from, from + HOSTS_AT_ONCE);
      const ids = some.map(({ id }) => id);
      hosts.look(await insight.describeHosts(some), await store.coverage(lately, ids));
    }
    const groups = await insight.groups('asg', { window });
    return { offenders, endedTriage, hosts, groups };
  }

  #alert({ members: _members, ...draft }: AlertDraft, nowUs: number): Alert {
    const { rule, subject, state } = draft;
    const { page, ends } = ALERT_KINDS[rule];
    const isSummary = subject === SUMMARY_SUBJECT;
    const id = randomUUID();
    const time = toTimestamp(nowUs);
    return {
      ...draft,
      id,
      dedup_key: dedupKeyOf(rule, isSummary ? `${subject}/${id}` : subject),
      ends: ends && !isSummary,
      time,
      started: state === 'firing' ? time : null,
      ended: state === 'resolved' ? time : null,
      link: this.#link(isSummary ? page : `${page}/${encodeURIComponent(subject.toWellFormed())}`),
    };
  }

  #link(path: string): string | null {
    const { publicUrl } = this.#options;
    return publicUrl === null ? null : `${publicUrl.replace(/\/+$/, '')}/${path}`;
  }

  #schedule(afterMs: number): void {
    if (this.#stopped) return;
    this.#timer = setTimeout(() => {
      this.#round = this.#evaluateAndSend();
    }, afterMs);
  }

  async #evaluateAndSend(): Promise<void> {
    const beganMs = performance.now();
    try {
      await this.evaluate();
    } catch (error) {
      this.#counters.evaluations_failed++;
      this.#options.log.error({ error: (error as Error).message }, 'alert rules could not be evaluated');
    }
    const tookMs = performance.now() - beganMs;
    // The rules do not wait for deliveries: a destination that does not answer must not delay them.
    this.#sendWaiting();
    this.#schedule(Math.max(INTERVAL_MS, tookMs / MAX_SHARE));
  }

  #sendWaiting(): void {
    this.sendDue().catch((error: Error) => {
      this.#counters.rounds_failed++;
      this.#options.log.error({ error: error.message }, 'waiting alerts could not be read from the database');
    });
  }
}
