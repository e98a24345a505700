/** The alert rules about plans, and about changes that were undone. Pure; times are microseconds since 1970. */
import type { ConfirmedHost } from '../admin/confirmed_hosts.ts';
import type { StepEntry } from '../admin/plans.ts';
import type { Plan } from '../contract/plan.ts';
import { toMicroseconds } from '../store/time.ts';
import type { AlertDraft } from './alert_draft.ts';
import * as text from './plan_alert_text.ts';

/** The latest moments of a plan that alerts were sent for. */
export interface PlanAlertState {
  undoneUs: number;
  heldUs: number;
  endedUs: number;
  /** Last report of a process that was missed after it. Absent: none was. */
  unattendedUs?: number;
  /** An alert says that its process is missed, or that steps are held, and none that this is over. */
  isUnattended?: true;
  isHeld?: true;
}

export const NOTHING_TOLD: PlanAlertState = { undoneUs: 0, heldUs: 0, endedUs: 0 };

export interface PlanFacts {
  plan: Plan;
  endedUs: number | null;
  /** Steps that entered a roll-back, or were held, after what the state says. */
  undone: readonly StepEntry[];
  held: readonly StepEntry[];
}

export function evaluatePlan(
  { plan, endedUs, undone, held }: PlanFacts,
  known: PlanAlertState,
): { alerts: AlertDraft[]; after: PlanAlertState } {
  const alerts: AlertDraft[] = [];
  if (undone.length > 0)
    alerts.push(
      text.planRolledBack(
        plan,
        undone.map(({ step }) => step),
        held.length,
      ),
    );
  if (held.length > 0) alerts.push(text.planHeld(plan, held));
  const isHeld = held.length > 0 || (known.isHeld === true && plan.states.held > 0);
  if (known.isHeld && !isHeld) alerts.push(text.planHoldsNothing(plan));
  const isUnattended = known.isUnattended && toMicroseconds(plan.reported) <= (known.unattendedUs ?? 0);
  if (known.isUnattended && !isUnattended) alerts.push(text.planAttended(plan));
  const hasEnded = endedUs !== null && endedUs > known.endedUs;
  if (hasEnded) alerts.push(text.planEnded(plan));
  if (alerts.length === 0) return { alerts, after: known };
  const latest = (before: number, found: PlanFacts['undone']) =>
    found.reduce((max, { atUs }) => Math.max(max, atUs), before);
  const { isHeld: _held, isUnattended: _unattended, ...rest } = known;
  const after: PlanAlertState = {
    ...rest,
    ...(isHeld ? { isHeld } : {}),
    ...(isUnattended ? { isUnattended } : {}),
    undoneUs: latest(known.undoneUs, undone),
    heldUs: latest(known.heldUs, held),
    endedUs: hasEnded ? endedUs : known.endedUs,
  };
  return { alerts, after };
}

/** States of a step that is changed, or being changed, and neither confirmed nor given back. */
const OPEN_STATES = ['sent', 'unclear', 'pending', 'applied', 'soaking', 'rolling_back'] as const;

/**
 * Judges a plan whose process has not reported for a while. It is told once, until the process has reported and is missed
 * again. Without open changes there is nothing that anybody would have to watch.
 */
export function evaluateUnattended(
  plan: Plan,
  known: PlanAlertState,
): { alert: AlertDraft; after: PlanAlertState } | null {
  const reportedUs = toMicroseconds(plan.reported);
  const open = OPEN_STATES.reduce((sum, state) => sum + plan.states[state], 0);
  if (open === 0 || known.unattendedUs === reportedUs) return null;
  return {
    alert: text.planUnattended(plan, open),
    after: { ...known, unattendedUs: reportedUs, isUnattended: true },
  };
}

/** Evidence about one host. Null: there is none. Only what is later than the confirmation counts. */
export interface HostEvidence {
  /** The latest call without a token that was answered with success. */
  accepted: { us: number; caller: string } | null;
  /** The latest call without a token that was answered with 401: tokens are required. */
  refusedUs: number | null;
  /** The options that the cloud's inventory has, and when it was supplied. */
  cloud: { httpTokens: 'optional' | 'required'; us: number } | null;
}

/** `openUs`: the evidence of an open alert. `closedUs`: only later evidence raises the next one. */
export type UndoneState = { ofUs: number } & ({ openUs: number } | { closedUs: number });

/** Judges one confirmed host. Returns `null` as state where nothing was ever undone. */
export function evaluateHost(
  host: ConfirmedHost,
  evidence: HostEvidence,
  known: UndoneState | null,
): { alert: AlertDraft | null; after: UndoneState | null } {
  const isAgain = known !== null && known.ofUs < host.confirmedUs;
  if (known !== null && 'openUs' in known) {
    if (isAgain) return { alert: text.inForceAgain(host, 'confirmed'), after: null };
    const forceUs = Math.max(evidence.refusedUs ?? 0, requiredUs(evidence));
    if (forceUs <= known.openUs) return { alert: null, after: known };
    const how = forceUs === evidence.refusedUs ? 'refused' : 'cloud';
    return { alert: text.inForceAgain(host, how), after: { ofUs: known.ofUs, closedUs: forceUs } };
  }
  const sinceUs = known === null || isAgain ? host.confirmedUs : known.closedUs;
  const { accepted, cloud } = evidence;
  const open = (us: number, alert: AlertDraft) => ({ alert, after: { ofUs: host.confirmedUs, openUs: us } });
  if (accepted !== null && accepted.us > sinceUs) {
    return open(accepted.us, text.enforcementUndone(host, { by: 'call', ...accepted }));
  }
  if (cloud?.httpTokens === 'optional' && cloud.us > sinceUs) {
    return open(cloud.us, text.enforcementUndone(host, { by: 'cloud', us: cloud.us }));
  }
  if (host.driftedUs !== null && host.driftedUs > sinceUs) {
    return open(host.driftedUs, text.enforcementUndone(host, { by: 'plan', us: host.driftedUs }));
  }
  return { alert: null, after: isAgain ? null : known };
}

function requiredUs({ cloud }: HostEvidence): number {
  return cloud?.httpTokens === 'required' ? cloud.us : 0;
}
