/** Applies a refused call to the state of a plan. Pure. */
import type { Plan, PlanStep } from '../plan.ts';
import type { EventOf } from './events.ts';
import { beginRollback } from './roll_back.ts';
import { isFinal, type PlanState, requiresTokens, type StepState } from './step_state.ts';

/**
 * A call without a token was answered with 401. The groups of its host are rolled back, with what was confirmed, and so
 * is what the host was launched with. Hosts of other groups on which the same caller was seen are held. No other change begins until a person resumes the plan.
 *
 * A refusal while nothing of the group is changed by this plan is somebody else's, and changes nothing.
 */
export function refusedCall(plan: Plan, state: PlanState, event: EventOf<'refused_call'>): PlanState {
  const concerned = concernedBy(plan, event);
  const alsoOn = new Set(event.also_on);
  const isOurs = plan.steps.some((step) => {
    if (!concerned.has(step.id) || !requiresTokens(step)) return false;
    const { isWritten, refusal } = state.steps[step.id]!;
    // The collector may name the caller's other hosts only after the group was rolled back.
    const isMore = alsoOn.size > 0 && refusal?.host === event.host && refusal.caller.id === event.caller.id;
    return isWritten || isMore;
  });
  if (!isOurs) return state;
  const at = state.nowMs;
  const caller = event.caller.title;
  const rollbackReason = `${caller} called without a token on ${event.host} and was refused.`;
  const holdReason = `${caller} runs here too. It called without a token on ${event.host} and was refused.`;
  const refusal = { host: event.host, caller: event.caller, atMs: at };
  const steps = { ...state.steps };
  for (const step of plan.steps) {
    if (!requiresTokens(step)) continue;
    const own = steps[step.id]!;
    const changed = concerned.has(step.id)
      ? beginRollback(own, step, rollbackReason, at, { urgency: isAt(step, event.host) ? 2 : 1 })
      : isOn(step, alsoOn)
        ? hold(own, holdReason, at)
        : null;
    if (changed !== null) steps[step.id] = { ...changed, refusal };
  }
  const paused =
    state.phase === 'running'
      ? {
          phase: 'paused' as const,
          pausedReason: `${rollbackReason} Look at it, then resume the plan for its other groups.`,
        }
      : {};
  return { ...state, ...paused, steps };
}

/** Returns the ids of the steps that a refused call is about. */
function concernedBy(
  { steps }: Plan,
  { host, groups, effect_of = [] }: EventOf<'refused_call'>,
): Set<string> {
  const isIn = (group: string) => groups.includes(group);
  const places = new Set(steps.filter((step) => isIn(step.group) || isAt(step, host)).map(placeOf));
  const concerned = steps.filter((step) => {
    if (isAt(step, host) || effect_of.includes(step.id)) return true;
    // A template may serve several groups, and an account's default serves all that are there.
    if (step.target.type === 'template') return step.target.groups.some(isIn);
    return isIn(step.group) || (step.target.type === 'account_default' && places.has(placeOf(step)));
  });
  return new Set(concerned.map(({ id }) => id));
}

function placeOf({ target }: PlanStep): string {
  return `${target.account}/${target.region}`;
}

function isAt({ target }: PlanStep, host: string): boolean {
  return target.type === 'instance' && target.instance_id === host;
}

function isOn({ target }: PlanStep, hosts: ReadonlySet<string>): boolean {
  return target.type === 'instance' && hosts.has(target.instance_id);
}

/** A call that is under way ends first: the step is then undone, which is the cautious side. */
function hold(state: StepState, reason: string, at: number): StepState | null {
  if (isFinal(state) || state.status === 'rolling_back') return null;
  if (state.status === 'sent' || state.status === 'unclear') return { ...state, undo: state.undo ?? reason };
  return { ...state, status: 'held', reason, sinceMs: at };
}
