/**
 * Sends alerts about plans as soon as they are reported, and about confirmed changes that were undone as soon as a call
 * shows it. Calls are looked at when they are stored; those that were stored while nobody looked are asked for.
 */
import type { Logger } from 'pino';
import type { Call } from '../../protocol/call.ts';
import type { Counters } from '../../protocol/records.ts';
import { isV1Use, judgedFields } from '../../protocol/v1_use.ts';
import type { AdminStore } from '../admin/admin_store.ts';
import { StaleStateError, type SubjectChange } from '../admin/alert_subjects.ts';
import type { ConfirmedHost } from '../admin/confirmed_hosts.ts';
import type { Lease } from '../admin/lease.ts';
import { type Held, LeaseLostError } from '../admin/leases.ts';
import type { ChangedPlan } from '../admin/plans.ts';
import { CARRIED_OUT_MS } from '../admin/reported_plan.ts';
import type { EnforcementCall } from '../contract/enforcement.ts';
import { titleOf } from '../insight/enforcement.ts';
import { factsOfCaller } from '../store/defined_caller.ts';
import type { StoredBatch, StoreQueries } from '../store/store.ts';
import { toMicroseconds } from '../store/time.ts';
import type { AlertDraft } from './alert_draft.ts';
import { bounded, MAX_ALERTS_OF_ONE_RULE } from './evaluate.ts';
import { noLongerConfirmed } from './plan_alert_text.ts';
import {
  evaluateHost,
  evaluatePlan,
  evaluateUnattended,
  type HostEvidence,
  NOTHING_TOLD,
  type PlanAlertState,
  type UndoneState,
} from './plan_rules.ts';

const INTERVAL_MS = 10_000;
/** The rest of a report whose process ended in the middle never comes. */
const MAX_PART_MS = 30_000;
/** Calls of several hosts within this time are looked at together. */
const GATHER_MS = 200;
/** While calls go on to show that changes were undone, they are looked at this often. */
const BETWEEN_URGENT_MS = 3000;
/** The inventory of the cloud is looked at this often. It is supplied a few times a day. */
const CLOUD_MS = 60_000;
/** Hosts whose calls are asked for in one question. */
const HOSTS_AT_ONCE = 500;
/** Another collector may have ended between storing calls and looking at them. So stored calls are asked for again. */
const ASK_AGAIN_MS = 3_600_000;
const KINDS = ['plan', 'undone'] as const;

export interface PlanAlertsParts {
  admin: Pick<AdminStore, 'alerts' | 'plans' | 'isShared'>;
  /**
   * Its holder, one of several collectors, tells what became of plans. The collector that stored a call tells what the call
   * shows.
   */
  lease: Pick<Lease, 'take'>;
  questions: { acceptedCalls(hostIds: readonly string[], sinceMs: number): Promise<EnforcementCall[]> };
  store: Pick<StoreQueries, 'cloudInstances'>;
  /** Stores alerts with the states of their subjects, and sends them. */
  record: (
    alerts: readonly AlertDraft[],
    subjects: readonly SubjectChange[],
    held: Held | null,
  ) => Promise<void>;
  /** Resolves when the calls that are being stored are stored. `onStored` gets them only if it was listening before. */
  storedSoFar?: () => Promise<unknown>;
  log: Logger;
  /** Milliseconds since 1970. */
  now?: () => number;
}

export class PlanAlerts {
  readonly #parts: PlanAlertsParts;
  readonly #now: () => number;
  readonly #startedMs: number;
  #told = new Map<string, PlanAlertState>();
  #undone = new Map<string, UndoneState>();
  #confirmed = new Map<string, ConfirmedHost>();
  #confirmedAsOf = '';
  /** Evidence since the confirmation, by host. */
  readonly #evidence = new Map<string, HostEvidence>();
  /** Confirmations whose earlier calls were asked for. */
  readonly #askedOf = new Map<string, number>();
  #askedMs = Number.NEGATIVE_INFINITY;
  #epoch: number | null = null;
  readonly #plans = new Map<string, ChangedPlan>();
  #cloudMs = Number.NEGATIVE_INFINITY;
  #urgedMs = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | null = null;
  /** When the timer ends, by the monotonic clock in milliseconds. */
  #dueMs = Number.POSITIVE_INFINITY;
  #round: Promise<void> = Promise.resolve();
  #isStopped = false;
  readonly #counters = { evaluations: 0, evaluations_failed: 0, calls_looked_at: 0 };

  private constructor(parts: PlanAlertsParts) {
    this.#parts = parts;
    this.#now = parts.now ?? Date.now;
    this.#startedMs = this.#now();
  }

  static async open(parts: PlanAlertsParts): Promise<PlanAlerts> {
    const alerts = new PlanAlerts(parts);
    await alerts.#readStates();
    await alerts.#readConfirmed();
    return alerts;
  }

  start(): void {
    this.#schedule(0);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#round;
  }

  counters(): Counters {
    return { ...this.#counters, confirmed_hosts: this.#confirmed.size };
  }

  /** Takes plans that were reported. They are looked at once all reports of the same moment have arrived. */
  onPlans(changed: readonly ChangedPlan[]): void {
    for (const each of changed) this.#plans.set(each.plan.id, each);
    if (changed.some(({ hasMore }) => !hasMore)) this.#schedule(0);
  }

  /** Tells whether calls matter that are stored now. */
  get isListening(): boolean {
    return this.#confirmed.size > 0;
  }

  /** Takes calls that have just been stored. It costs nothing for hosts that no plan has confirmed. */
  onStored(batches: readonly StoredBatch[]): void {
    if (!this.isListening) return;
    for (const { host, callers, records } of batches) {
      const confirmed = this.#confirmed.get(host.id);
      if (confirmed === undefined) continue;
      for (const record of records) {
        if (record.kind !== 'call') continue;
        const call: Call = { ...record.call, ...factsOfCaller(callers[record.caller]!), host };
        if (isV1Use(judgedFields(call)) && call.outcome === 'answered') this.#look(confirmed, call);
      }
    }
  }

  /** Evaluates once. If it rejects, the rest is evaluated next time, from the states that are stored. */
  async evaluate(): Promise<void> {
    const held = await this.#parts.lease.take();
    await this.#readConfirmed();
    this.#askAgain(held);
    await this.#askForEarlierCalls();
    await this.#readCloud();
    await this.#readStates();
    try {
      if (held !== null) await this.#evaluatePlans(held);
      await this.#evaluateHosts();
    } catch (error) {
      // Another collector has told it, or does from now on. What is left is judged next time.
      const isTold = error instanceof StaleStateError || error instanceof LeaseLostError;
      if (!isTold || !this.#parts.admin.isShared) throw error;
    }
    this.#counters.evaluations += 1;
  }

  /** Judges plans apart from hosts, because only the collector that stored a host's calls can judge that. */
  async #evaluatePlans(held: Held): Promise<void> {
    const alerts: AlertDraft[] = [];
    const subjects: SubjectChange[] = [];
    const done: ChangedPlan[] = [];
    for (const changed of [...this.#plans.values()]) {
      const ageMs = this.#now() - toMicroseconds(changed.plan.reported) / 1000;
      if (changed.hasMore && ageMs < MAX_PART_MS) continue;
      done.push(changed);
      await this.#judgePlan(changed, alerts, subjects);
    }
    const unattended = bounded(await this.#judgeUnattended(subjects), MAX_ALERTS_OF_ONE_RULE);
    await this.#record([...alerts, ...unattended], subjects, held);
    // A report that arrived meanwhile is looked at next time.
    for (const each of done) if (this.#plans.get(each.plan.id) === each) this.#plans.delete(each.plan.id);
  }

  async #evaluateHosts(): Promise<void> {
    const subjects: SubjectChange[] = [];
    const alerts = bounded(this.#judgeHosts(subjects), MAX_ALERTS_OF_ONE_RULE);
    await this.#record(alerts, subjects, null);
  }

  async #record(alerts: AlertDraft[], subjects: SubjectChange[], held: Held | null): Promise<void> {
    if (alerts.length > 0 || subjects.length > 0) await this.#parts.record(alerts, subjects, held);
    for (const { kind, id, state } of subjects) {
      if (kind === 'plan') this.#told.set(id, state as PlanAlertState);
      else if (state === null) this.#undone.delete(id);
      else this.#undone.set(id, state as UndoneState);
    }
  }

  /** Another collector may have told of a plan or a host meanwhile. */
  async #readStates(): Promise<void> {
    const rows = await this.#parts.admin.alerts.subjects(KINDS);
    const of = <T>(wanted: (typeof KINDS)[number]) =>
      new Map(rows.flatMap(({ kind, id, state }) => (kind === wanted ? [[id, state as T] as const] : [])));
    this.#told = of<PlanAlertState>('plan');
    this.#undone = of<UndoneState>('undone');
  }

  /** After another holder has ended, and every hour, calls that it stored and nobody looked at are asked for. */
  #askAgain(held: Held | null): void {
    if (held === null) return;
    const isLate = this.#parts.admin.isShared && this.#now() - this.#askedMs >= ASK_AGAIN_MS;
    if (held.epoch === this.#epoch && !isLate) return;
    this.#epoch = held.epoch;
    this.#askedMs = this.#now();
    this.#askedOf.clear();
  }

  async #judgePlan(
    { change, plan }: ChangedPlan,
    alerts: AlertDraft[],
    subjects: SubjectChange[],
  ): Promise<void> {
    const { plans } = this.#parts.admin;
    // Read once: the record must fail where the state changes while the questions are answered.
    const before = this.#told.get(plan.id) ?? null;
    const known = before ?? NOTHING_TOLD;
    const facts = {
      plan,
      endedUs: plan.phase === 'ended' ? toMicroseconds(plan.phase_since) : null,
      undone: await plans.stepsSince(plan.id, 'undone', known.undoneUs),
      held: await plans.stepsSince(plan.id, 'held', known.heldUs),
    };
    // The steps are from a later report, which may be the first part of several. It is judged when it is noticed.
    if (await plans.hasChangedSince(plan.id, change)) return;
    const { alerts: found, after } = evaluatePlan(facts, known);
    if (after === known) return;
    alerts.push(...found);
    subjects.push({ kind: 'plan', id: plan.id, before, state: after });
  }

  /** After a start of the collector, processes have time to report again. */
  async #judgeUnattended(subjects: SubjectChange[]): Promise<AlertDraft[]> {
    const nowMs = this.#now();
    if (nowMs - this.#startedMs < CARRIED_OUT_MS) return [];
    return (await this.#parts.admin.plans.unattended(nowMs)).flatMap((plan) => {
      const judged = subjects.find(({ kind, id }) => kind === 'plan' && id === plan.id);
      const known = judged?.state ?? this.#told.get(plan.id) ?? NOTHING_TOLD;
      const found = evaluateUnattended(plan, known as PlanAlertState);
      if (found === null) return [];
      if (judged === undefined) {
        subjects.push({
          kind: 'plan',
          id: plan.id,
          before: this.#told.get(plan.id) ?? null,
          state: found.after,
        });
      } else judged.state = found.after;
      return [found.alert];
    });
  }

  #judgeHosts(subjects: SubjectChange[]): AlertDraft[] {
    const alerts: AlertDraft[] = [];
    for (const host of this.#confirmed.values()) {
      const known = this.#undone.get(host.hostId) ?? null;
      const evidence = this.#evidence.get(host.hostId) ?? NO_EVIDENCE;
      const { alert, after } = evaluateHost(host, evidence, known);
      if (alert !== null) alerts.push(alert);
      if (after !== known) subjects.push({ kind: 'undone', id: host.hostId, before: known, state: after });
    }
    // A host that was rolled back requires no tokens, by decision: the alert about the roll-back says so.
    for (const [id, known] of this.#undone) {
      if (this.#confirmed.has(id)) continue;
      if ('openUs' in known) alerts.push(noLongerConfirmed(id));
      subjects.push({ kind: 'undone', id, before: known, state: null });
    }
    return alerts;
  }

  #look({ hostId, confirmedUs }: ConfirmedHost, call: Call): void {
    const us = toMicroseconds(call.time);
    const status = call['http.response.status_code'];
    if (us <= confirmedUs || status === null) return;
    this.#counters.calls_looked_at += 1;
    if (status === 401) this.#note(hostId, { refusedUs: us });
    else if (status >= 200 && status < 300) this.#note(hostId, { accepted: { us, caller: titleOf(call) } });
    else return;
    // The first alert is sent at once. While many hosts are undone, the next ones are gathered and summed up.
    if (this.#mayMatter(hostId)) this.#urge();
  }

  /** Returns whether the evidence can change anything, so that a client that calls on and on costs nothing. */
  #mayMatter(hostId: string): boolean {
    const { accepted, refusedUs } = this.#evidence.get(hostId)!;
    const known = this.#undone.get(hostId);
    if (known === undefined) return accepted !== null;
    if ('openUs' in known) return refusedUs !== null && refusedUs > known.openUs;
    return accepted !== null && accepted.us > known.closedUs;
  }

  /** Keeps the latest evidence of each kind. */
  #note(hostId: string, found: Partial<HostEvidence>): void {
    const { accepted, refusedUs, cloud } = this.#evidence.get(hostId) ?? NO_EVIDENCE;
    this.#evidence.set(hostId, {
      accepted: found.accepted && found.accepted.us > (accepted?.us ?? 0) ? found.accepted : accepted,
      refusedUs: Math.max(found.refusedUs ?? 0, refusedUs ?? 0) || null,
      cloud: found.cloud ?? cloud,
    });
  }

  async #readConfirmed(): Promise<void> {
    const { plans } = this.#parts.admin;
    const asOf = await plans.confirmedVersion();
    if (asOf === this.#confirmedAsOf) return;
    const hosts = await plans.confirmedHosts();
    const wasListening = this.isListening;
    this.#confirmed = new Map(hosts.map((host) => [host.hostId, host]));
    // `askForEarlierCalls` finds them then.
    if (this.isListening && !wasListening) await this.#parts.storedSoFar?.();
    this.#confirmedAsOf = asOf;
    for (const id of this.#evidence.keys()) if (!this.#confirmed.has(id)) this.#evidence.delete(id);
    for (const id of this.#askedOf.keys()) if (!this.#confirmed.has(id)) this.#askedOf.delete(id);
  }

  /** After a start, and for a confirmation that was reported late, calls may be stored already. */
  async #askForEarlierCalls(): Promise<void> {
    const unasked = [...this.#confirmed.values()].filter(
      ({ hostId, confirmedUs }) => this.#askedOf.get(hostId) !== confirmedUs,
    );
    for (let from = 0; from < unasked.length; from += HOSTS_AT_ONCE) {
      const hosts = unasked.slice(from, from + HOSTS_AT_ONCE);
      const sinceUs = Math.min(...hosts.map(({ confirmedUs }) => confirmedUs));
      const calls = await this.#parts.questions.acceptedCalls(
        hosts.map(({ hostId }) => hostId),
        Math.floor(sinceUs / 1000),
      );
      const confirmedUs = new Map(hosts.map((host) => [host.hostId, host.confirmedUs]));
      for (const { host, time, caller } of calls) {
        const us = toMicroseconds(time);
        if (us > confirmedUs.get(host)!) this.#note(host, { accepted: { us, caller: caller.title } });
      }
      for (const host of hosts) this.#askedOf.set(host.hostId, host.confirmedUs);
    }
  }

  async #readCloud(): Promise<void> {
    if (this.#confirmed.size === 0 || this.#now() - this.#cloudMs < CLOUD_MS) return;
    const ids = [...this.#confirmed.keys()];
    for (let from = 0; from < ids.length; from += HOSTS_AT_ONCE) {
      const instances = await this.#parts.store.cloudInstances(ids.slice(from, from + HOSTS_AT_ONCE));
      for (const { hostId, httpTokens, suppliedUs } of instances) {
        if (httpTokens !== null) this.#note(hostId, { cloud: { httpTokens, us: suppliedUs } });
      }
    }
    this.#cloudMs = this.#now();
  }

  #urge(): void {
    const passedMs = this.#now() - this.#urgedMs;
    if (passedMs < BETWEEN_URGENT_MS && passedMs >= 0) {
      this.#schedule(BETWEEN_URGENT_MS);
      return;
    }
    this.#urgedMs = this.#now();
    this.#schedule(GATHER_MS);
  }

  /** Evaluates after this time, or earlier where that was scheduled already. */
  #schedule(afterMs: number): void {
    const dueMs = performance.now() + afterMs;
    if (this.#isStopped || dueMs >= this.#dueMs) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#dueMs = dueMs;
    this.#timer = setTimeout(() => {
      this.#dueMs = Number.POSITIVE_INFINITY;
      this.#round = this.#round.then(() => this.#evaluateSafely());
    }, afterMs);
  }

  async #evaluateSafely(): Promise<void> {
    try {
      await this.evaluate();
    } catch (error) {
      this.#counters.evaluations_failed += 1;
      this.#parts.log.error(
        { error: (error as Error).message },
        'the alert rules about plans could not be evaluated',
      );
    }
    this.#schedule(INTERVAL_MS);
  }
}

const NO_EVIDENCE: HostEvidence = { accepted: null, refusedUs: null, cloud: null };
