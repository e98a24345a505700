/** The texts of alerts about plans. Names in them come from hosts and programs; each channel escapes them. */
import type { ConfirmedHost } from '../admin/confirmed_hosts.ts';
import type { StepEntry } from '../admin/plans.ts';
import type { AlertObject } from '../contract/alert.ts';
import type { HostRef } from '../contract/offender.ts';
import type { Plan, PlanStep, StepCounts } from '../contract/plan.ts';
import { toTimestamp } from '../store/time.ts';
import { type AlertDraft, firing, resolved } from './alert_draft.ts';
import { namedObject, planObject } from './alert_objects.ts';
import { short } from './alert_text.ts';

const NAMES = 5;
/** States in the order in which an ended plan is summed up. */
const OUTCOMES: [keyof StepCounts, string][] = [
  ['confirmed', 'confirmed'],
  ['rolled_back', 'rolled back'],
  ['rolling_back', 'rolling back'],
  ['held', 'held'],
  ['refused', 'refused by a guard'],
  ['failed', 'failed'],
  ['drifted', 'changed by somebody else'],
  ['skipped', 'skipped'],
  ['planned', 'never begun'],
  ['waiting', 'never begun, a guard said not now'],
];

export function planRolledBack(plan: Plan, steps: readonly PlanStep[], held: number): AlertDraft {
  const refusal = steps.find((step) => step.refusal !== null)?.refusal ?? null;
  const because =
    refusal === null
      ? (steps.find(({ reason }) => reason !== null)?.reason ?? 'No reason was reported.')
      : `${refusal.caller} called without a token on ${refusal.host} at ${refusal.at} and was refused.`;
  const also = held === 0 ? '' : ` ${isOrAre(held)} held.`;
  return firing(
    {
      rule: 'plan_rolled_back',
      subject: plan.id,
      severity: 'critical',
      title: short(
        refusal === null
          ? `Plan ${plan.id} rolls back ${changes(steps.length)}`
          : `Plan ${plan.id} rolls back ${changes(steps.length)}: ${refusal.caller} was refused`,
      ),
      text: `${because} The recorded values are given back to ${names(steps)}.${also} Nothing more of the plan goes forward until somebody has looked at it.`,
    },
    planObject(plan),
  );
}

/** A roll-back that has failed comes first: callers may go on to be refused. */
export function planHeld(plan: Plan, held: readonly StepEntry[]): AlertDraft {
  const failed = held.filter(({ wasUndone }) => wasUndone);
  const steps = [...failed, ...held.filter(({ wasUndone }) => !wasUndone)].map(({ step }) => step);
  const reason = steps.find((step) => step.reason !== null)?.reason ?? 'No reason was reported.';
  return firing(
    {
      rule: 'plan_held',
      subject: plan.id,
      severity: failed.length > 0 ? 'critical' : 'warning',
      title: short(
        failed.length > 0
          ? `Plan ${plan.id} could not roll back ${changes(failed.length)}`
          : `Plan ${plan.id} holds ${changes(steps.length)}`,
      ),
      text: `${names(steps)}: nothing more happens there without a person. ${reason} "imdswatch enforce status ${plan.id}" shows all of them.`,
    },
    planObject(plan),
  );
}

/** `open`: changes that are in force or under way, and not confirmed. */
export function planUnattended(plan: Plan, open: number): AlertDraft {
  const isUndoing = plan.states.rolling_back > 0;
  const why = plan.is_carried_out
    ? 'Its process was killed, its machine sleeps, or it cannot reach this collector.'
    : 'Its process has ended.';
  return firing(
    {
      rule: 'plan_unattended',
      subject: plan.id,
      severity: isUndoing ? 'critical' : 'warning',
      title: short(
        isUndoing
          ? `Plan ${plan.id} was left while it rolled back`
          : `Nobody carries out the plan ${plan.id}: ${changes(open)} unconfirmed`,
      ),
      text: `The plan ${plan.id} was reported last at ${plan.reported}. ${why} ${open === 1 ? 'One change is' : `${open} changes are`} not confirmed, and no refused call rolls anything back. On the machine that has the plan: "imdswatch enforce status ${plan.id}", then "imdswatch enforce resume ${plan.id}" or "imdswatch enforce rollback ${plan.id}".`,
    },
    planObject(plan),
  );
}

export function planHoldsNothing(plan: Plan): AlertDraft {
  return resolved(
    {
      rule: 'plan_held',
      subject: plan.id,
      severity: 'warning',
      title: short(`Plan ${plan.id} holds nothing any more`),
      text: `No step of the plan ${plan.id} waits for a person any more.`,
    },
    planObject(plan),
  );
}

export function planAttended(plan: Plan): AlertDraft {
  return resolved(
    {
      rule: 'plan_unattended',
      subject: plan.id,
      severity: 'warning',
      title: short(`Plan ${plan.id} is reported again`),
      text: `The plan ${plan.id} was reported again at ${plan.reported}.`,
    },
    planObject(plan),
  );
}

export function planEnded(plan: Plan): AlertDraft {
  const { states, step_count: count } = plan;
  const isGood = states.confirmed + states.skipped === count;
  const parts = OUTCOMES.filter(([state]) => states[state] > 0).map(
    ([state, name]) => `${states[state]} ${name}`,
  );
  return firing(
    {
      rule: 'plan_ended',
      subject: plan.id,
      severity: isGood ? 'info' : 'warning',
      title: short(
        isGood ? `Plan ${plan.id} has ended: all is confirmed` : `Plan ${plan.id} has ended, not as planned`,
      ),
      text: `Of ${count === 1 ? 'its one step' : `${count} steps`}: ${parts.join(', ')}. It was begun by ${plan.begun_by ?? plan.created_by}.`,
    },
    planObject(plan),
  );
}

export function enforcementUndone(
  host: ConfirmedHost,
  evidence: { by: 'call'; us: number; caller: string } | { by: 'cloud' | 'plan'; us: number },
): AlertDraft {
  const at = toTimestamp(evidence.us);
  const seen = {
    call: () =>
      `${evidence.by === 'call' ? evidence.caller : ''} called without a token at ${at} and was answered: tokens are not required any more.`,
    cloud: () => `The cloud's inventory of ${at} says that tokens are optional.`,
    plan: () => `The process of the plan has read at ${at} that its value is not in force any more.`,
  }[evidence.by]();
  return firing(
    {
      rule: 'enforcement_undone',
      subject: host.hostId,
      severity: 'critical',
      title: short(`Tokens are not required any more on ${host.hostId}`),
      text: `The plan ${host.plan} required tokens on ${host.hostId}, which was confirmed at ${toTimestamp(host.confirmedUs)}. ${seen} Find out who has undone it: "imdswatch enforce drift ${host.plan}", and CloudTrail for ModifyInstanceMetadataOptions.`,
    },
    ...hostOf(host),
  );
}

export function inForceAgain(host: ConfirmedHost, how: 'confirmed' | 'refused' | 'cloud'): AlertDraft {
  const because = {
    confirmed: `The plan ${host.plan} has confirmed it at ${toTimestamp(host.confirmedUs)}.`,
    refused: 'A call without a token was refused there.',
    cloud: "The cloud's inventory says so.",
  }[how];
  return resolved(
    {
      rule: 'enforcement_undone',
      subject: host.hostId,
      severity: 'critical',
      title: short(`Tokens are required again on ${host.hostId}`),
      text: `Tokens are required again on ${host.hostId}. ${because}`,
    },
    hostOf(host)[0],
  );
}

/** A host that was confirmed and is not any more: a plan has given the recorded value back, or it was left out. */
export function noLongerConfirmed(hostId: string): AlertDraft {
  return resolved({
    rule: 'enforcement_undone',
    subject: hostId,
    severity: 'critical',
    title: short(`No plan requires tokens on ${hostId} any more`),
    text: `Tokens are not required on ${hostId}, and no plan says that they should be: its change was given back.`,
  });
}

function hostOf({ hostId: id }: ConfirmedHost): [AlertObject, HostRef[]] {
  const host = { id, name: id };
  return [namedObject('host', host), [host]];
}

function names(steps: readonly PlanStep[]): string {
  const named = steps.slice(0, NAMES).map(({ target }) => {
    if (target.type === 'instance') return `${target.name ?? ''} (${target.id})`.trim();
    return target.id ?? `the default of ${target.account} in ${target.region}`;
  });
  const more = steps.length - named.length;
  return `${named.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

function changes(count: number): string {
  return count === 1 ? 'one change' : `${count} changes`;
}

function isOrAre(count: number): string {
  return count === 1 ? 'One step is' : `${count} steps are`;
}
