/** Guards of every step. Pure. */
import { errorText } from '../cloud_message.ts';
import type { MaintenanceWindow } from '../plan.ts';
import { requiresTokens } from '../state/step_state.ts';
import type { StepFacts } from './facts.ts';
import { type Answer, type Guard, pass, refuse, wait } from './guard.ts';

const MINUTE_MS = 60_000;
/** Launches are told apart by times of AWS and of the plan that differ by no more. */
const MAX_CLOCK_MS = MINUTE_MS;
const DAY_MINUTES = 1440;

export type WitnessFacts = Pick<StepFacts, 'alarmsNotGreen' | 'probe' | 'clockAheadMs'>;

/** Witnesses besides the agents: the operator's own alarms and probe, and the clock by which AWS is asked. */
export const WITNESS_GUARDS: readonly Guard<WitnessFacts>[] = [
  {
    name: 'clock',
    checks: "the plan's clock agrees with AWS's within a minute",
    judge: ({ clockAheadMs }) => {
      if (Math.abs(clockAheadMs) <= MAX_CLOCK_MS) return pass("The plan's clock agrees with AWS's.");
      const minutes = Math.round(Math.abs(clockAheadMs) / MINUTE_MS);
      return wait(
        `The plan's clock is ${minutes} minutes ${clockAheadMs > 0 ? 'behind' : 'ahead of'} AWS's, so launches and CloudWatch's counts cannot be compared with it. Set this machine's clock, end the process and resume the plan; if that does not help, make a new plan.`,
      );
    },
  },
  {
    name: 'alarms',
    checks: "the plan's CloudWatch alarms exist and are not in the state ALARM",
    judge: ({ alarmsNotGreen }) => {
      if (!alarmsNotGreen.ok) return wait(`The alarms cannot be read: ${errorText(alarmsNotGreen.error)}`);
      const names = alarmsNotGreen.value;
      return names.length === 0
        ? pass('No alarm is raised.')
        : wait(`An alarm is raised or missing: ${names.join(', ')}.`);
    },
  },
  {
    name: 'probe',
    checks: "the plan's probe exits with 0",
    judge: ({ probe }) => {
      if (probe === null) return pass('The plan has no probe.');
      if (typeof probe === 'string') return wait(`The probe could not be run: ${probe}`);
      return probe === 0 ? pass('The probe is green.') : wait(`The probe exits with ${probe}.`);
    },
  },
];

export const COMMON_GUARDS: readonly Guard<StepFacts>[] = [
  {
    name: 'account',
    checks: "the credentials belong to the target's account",
    judge: ({ step, callerAccount }) => {
      if (!callerAccount.ok)
        return wait(`AWS did not say whose credentials these are: ${errorText(callerAccount.error)}`);
      const { account } = step.target;
      return callerAccount.value === account
        ? pass(`The credentials belong to the account ${account}.`)
        : refuse(
            `The credentials belong to the account ${callerAccount.value}, and the target to ${account}.`,
          );
    },
  },
  {
    name: 'permission',
    checks: 'a dry run of the change is permitted',
    judge: ({ forward }) => {
      if (forward === null) return pass('AWS has no dry run for this call.');
      if (forward.ok) return pass('A dry run of the change is permitted.');
      const text = `A dry run of the change fails: ${errorText(forward.error)}`;
      return isPassing(forward.error.kind) ? wait(text) : refuse(text);
    },
  },
  { name: 'way_back', checks: 'the change can be undone, as far as AWS can be asked', judge: judgeWayBack },
  {
    name: 'window',
    checks: 'it is inside a maintenance window, if the plan has any',
    judge: ({ plan, nowMs }) => {
      const windows = plan.policy.maintenance_windows;
      if (windows.length === 0) return pass('The plan has no maintenance windows.');
      return windows.some((window) => isInside(window, nowMs))
        ? pass('It is inside a maintenance window.')
        : wait('It is outside all maintenance windows of the plan.');
    },
  },
  {
    name: 'alone',
    checks: 'no other plan is under way for the same target',
    judge: ({ otherPlans }) =>
      otherPlans.length === 0
        ? pass('No other plan is under way for it.')
        : refuse(`The plan ${otherPlans[0]} is under way for it. Finish that, or roll it back.`),
  },
  {
    name: 'refresh',
    checks: 'no instance refresh of an Auto Scaling group that it touches is under way',
    judge: ({ refreshes }) => {
      if (!refreshes.ok)
        return wait(`The instance refreshes of the group cannot be read: ${errorText(refreshes.error)}`);
      const [found] = refreshes.value;
      return found === undefined
        ? pass('No instance refresh is under way.')
        : wait(
            `An instance refresh of the group ${found.group} is under way (${found.status}): its instances are being replaced. It is asked again until that has ended.`,
          );
    },
  },
  ...WITNESS_GUARDS,
];

/** Returns whether the operator's plan goes on without a way back, or the way back is proven, or neither. */
export function wayBackOf(facts: StepFacts): 'proven' | 'waived' | 'unknown' {
  if (obstacleOf(facts) === null) return 'proven';
  return facts.plan.policy.no_way_back_reason === null ? 'unknown' : 'waived';
}

function judgeWayBack(facts: StepFacts): Answer {
  const obstacle = obstacleOf(facts);
  if (obstacle === null) return pass('The way back is open: AWS would permit it.');
  const reason = facts.plan.policy.no_way_back_reason;
  return reason === null
    ? refuse(`${obstacle} Open the way back first, or make a plan with --accept-no-way-back and a reason.`)
    : pass(`${obstacle} The plan goes on without a way back: ${reason}`);
}

/** Returns why the change could perhaps not be undone; null if nothing stands in the way. */
function obstacleOf({ step, back, accountDefaults }: StepFacts): string | null {
  if (back !== null && !back.ok) return `A dry run of the way back fails: ${errorText(back.error)}`;
  // A raised hop limit may be lowered, whatever the account demands of tokens.
  if (!requiresTokens(step)) return null;
  if (!accountDefaults.ok) {
    return `The account's setting HttpTokensEnforced cannot be read: ${errorText(accountDefaults.error)}`;
  }
  const { http_tokens_enforced, managed_by } = accountDefaults.value;
  if (http_tokens_enforced === 'enabled') {
    return 'HttpTokensEnforced is enabled: AWS refuses to go back to optional in this account and region.';
  }
  if (step.target.type === 'account_default' && managed_by === 'declarative-policy') {
    return "A declarative policy of the organisation sets this account's defaults.";
  }
  return null;
}

/** Returns whether the error says nothing about the permission. */
function isPassing(kind: string): boolean {
  return kind === 'throttled' || kind === 'lost';
}

/** Returns whether a time lies in the window (UTC). A window that crosses midnight belongs to the day it begins on. */
function isInside({ days, from_minute, to_minute }: MaintenanceWindow, nowMs: number): boolean {
  const minutes = Math.floor(nowMs / MINUTE_MS);
  // 1970-01-01 was a Thursday, which is day 4.
  const day = (4 + Math.floor(minutes / DAY_MINUTES)) % 7;
  const minute = minutes % DAY_MINUTES;
  if (from_minute < to_minute) return days.includes(day) && minute >= from_minute && minute < to_minute;
  return (
    (days.includes(day) && minute >= from_minute) || (days.includes((day + 6) % 7) && minute < to_minute)
  );
}
