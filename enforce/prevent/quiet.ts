/** Tells whether an account and region have been quiet for long enough for a policy that closes the way back. Pure. */
import type { HostFinding } from '../findings.ts';
import { type Plan, targetName } from '../plan.ts';
import { isSettledWell, type PlanState, requiresTokens, type StepState } from '../state/step_state.ts';

/** Days without a call of IMDSv1 after the last change was confirmed. */
export const QUIET_DAYS = 14;
const DAY_MS = 86_400_000;

export interface BegunPlan {
  plan: Plan;
  state: PlanState;
}

export interface QuietPlace {
  account: string;
  region: string;
  /** Whole days since the last change there was confirmed; 0 while one is not. */
  days: number;
  /** Sentences that say what speaks against a policy now. Empty if nothing does. */
  obstacles: string[];
}

/**
 * Returns the accounts and regions in which plans have changed something. Of plans for the same target the newest counts.
 * `hosts`: all hosts that the collector knows, judged now; null where it was not asked.
 */
export function quietPlaces(
  plans: readonly BegunPlan[],
  hosts: readonly HostFinding[] | null,
  nowMs: number,
): QuietPlace[] {
  const newest = new Map<string, { plan: Plan; place: string; own: StepState }>();
  for (const { plan, state } of plans.toSorted((a, b) => (a.plan.created < b.plan.created ? -1 : 1))) {
    if (state.phase === 'new') continue;
    for (const step of plan.steps) {
      if (!requiresTokens(step)) continue;
      const place = `${step.target.account}/${step.target.region}`;
      newest.set(`${step.target.type} ${targetName(step.target)}`, {
        plan,
        place,
        own: state.steps[step.id]!,
      });
    }
  }
  const places = Map.groupBy(newest.values(), ({ place }) => place);
  return [...places]
    .map(([place, steps]) => {
      const [account, region] = place.split('/') as [string, string];
      const open = steps.filter(({ own }) => !isSettledWell(own));
      const confirmedMs = Math.max(...steps.map(({ own }) => own.sinceMs));
      const days = open.length > 0 ? 0 : Math.max(0, Math.floor((nowMs - confirmedMs) / DAY_MS));
      const obstacles = [
        ...(open.length === 0 ? [] : [openText(open)]),
        ...(days < QUIET_DAYS
          ? [`${days} of ${QUIET_DAYS} days have passed since the last change was confirmed.`]
          : []),
        ...hostObstacles(account, region, hosts),
      ];
      return { account, region, days, obstacles };
    })
    .sort((a, b) => (`${a.account}/${a.region}` < `${b.account}/${b.region}` ? -1 : 1));
}

function openText(open: readonly { plan: Plan; own: StepState }[]): string {
  const { plan, own } = open[0]!;
  const count = open.length === 1 ? '1 change is' : `${open.length} changes are`;
  return `${count} not confirmed: one of the plan ${plan.id} is ${own.status}.`;
}

/** A policy concerns every host of the account, in the plans or not. */
function hostObstacles(account: string, region: string, hosts: readonly HostFinding[] | null): string[] {
  if (hosts === null) return ['The collector was not asked if its hosts are quiet.'];
  const loud = hosts.filter(
    (host) => host.account === account && host.region === region && host.verdict !== 'enforced',
  );
  if (loud.length === 0) return [];
  const { name, verdict, reason } = loud[0]!;
  const others = loud.length === 1 ? '' : ` ${loud.length - 1} more are not enforced.`;
  return [`${name} is ${verdict}: ${reason}${others}`];
}

/** Returns lines about the places, for a policy that closes the way back. */
export function quietText(places: readonly QuietPlace[]): string[] {
  if (places.length === 0) {
    return [
      `Too early: 0 of ${QUIET_DAYS} days. No plan of this machine has changed anything, so nobody knows what the policy would break.`,
    ];
  }
  return places.map(({ account, region, days, obstacles }) =>
    obstacles.length === 0
      ? `${account} in ${region} has been quiet for ${days} days.`
      : `Too early for ${account} in ${region}: ${Math.min(days, QUIET_DAYS)} of ${QUIET_DAYS} days. ${obstacles.join(' ')}`,
  );
}

/** Returns the next step of a plan of which everything is confirmed; null while something is not. */
export function nextStepText(own: BegunPlan, nowMs: number): string | null {
  const isDone =
    own.state.phase !== 'new' && own.plan.steps.every(({ id }) => isSettledWell(own.state.steps[id]!));
  if (!isDone) return null;
  const days = Math.min(...quietPlaces([own], [], nowMs).map((place) => place.days));
  if (!Number.isFinite(days)) return null;
  return days < QUIET_DAYS
    ? `Everything is confirmed. Next: keep the agents running. After ${QUIET_DAYS} quiet days (${days} by now) a policy can keep IMDSv1 from coming back.`
    : `Everything has been confirmed for ${days} days. Next: "imdswatch enforce prevent scp" asks if the account has been quiet, and prints the policy. There is no way back while it is attached, for roll-backs neither: to open it again, the administrators of the organisation detach it.`;
}
