/**
 * Decides what a runner does next. Pure: it follows from the plan, its state and the time alone, so a runner that
 * takes over decides as the one before would have.
 */
import { type Plan, type PlanStep, type Recorded, targetName } from '../plan.ts';
import { Progress } from './progress.ts';
import { isFinal, needsRestore, type PlanState, type StepState } from './step_state.ts';
import { CHECK_HOLDS_MS, READ_AGAIN_MS } from './timing.ts';

/**
 * - `judge`: describe the target and ask the guards. `send`: send the change. `read`: describe the target.
 * - `restore`: send the recorded value. `judge_soak`: ask the guards of the soak's end.
 */
export type Intent =
  | { do: 'judge'; step: PlanStep }
  | { do: 'send'; step: PlanStep; before: Recorded; after: Recorded }
  | { do: 'read'; step: PlanStep }
  | { do: 'restore'; step: PlanStep; before: Recorded; after: Recorded }
  | { do: 'judge_soak'; step: PlanStep };

export interface Agenda {
  /** Things that are due now, the most urgent first. */
  due: Intent[];
  /** If nothing is due, nothing is due before this time. */
  untilMs: number;
  /** Nothing more happens by itself. */
  isDone: boolean;
}

/** A soak is looked at again when its rest may be over, and never later than this. */
const LONGEST_WAIT_MS = 60_000;

/**
 * Returns what is due: roll-backs first, then calls whose result is not known, then ends of soaks, then one change. The
 * roll-backs may go on side by side; of the others that go forward the result of one decides about the next.
 */
export function agendaOf(plan: Plan, state: PlanState, nowMs: number): Agenda {
  const at = Math.max(nowMs, state.nowMs);
  let earliest = Number.POSITIVE_INFINITY;
  const isDue = (each: StepState) => {
    if (each.dueMs <= at) return true;
    earliest = Math.min(earliest, each.dueMs);
    return false;
  };
  const stepsIn = (wanted: (each: StepState) => boolean) =>
    plan.steps.filter(({ id }) => wanted(state.steps[id]!));
  const due: Intent[] = [];

  for (const step of rollbacksOf(plan, state)) {
    const own = state.steps[step.id]!;
    if (!isDue(own)) continue;
    if (own.restore === 'ready') due.push({ do: 'restore', step, before: own.before!, after: own.after! });
    else if (own.restore !== 'sent') due.push({ do: 'read', step });
  }
  for (const step of stepsIn(({ status }) => status === 'unclear' || status === 'pending')) {
    if (isDue(state.steps[step.id]!)) due.push({ do: 'read', step });
  }
  for (const step of stepsIn(({ status }) => status === 'soaking')) {
    const own = state.steps[step.id]!;
    const restMs = soakMs(plan, step) - own.watchedMs;
    const isLate = at - own.sinceMs >= soakMs(plan, step) + READ_AGAIN_MS;
    if (restMs > 0 && !isLate) earliest = Math.min(earliest, at + restMs);
    else if (isDue(own)) due.push({ do: restMs > 0 ? 'read' : 'judge_soak', step });
  }
  const progress = new Progress(plan, state);
  // One call at a time: its result decides about the next.
  const isCalling = stepsIn(({ status }) => status === 'sent').length > 0;
  if (state.phase === 'running' && !isCalling) {
    for (const step of plan.steps) {
      const own = state.steps[step.id]!;
      if (!progress.mayGoForward(step, allowedAtRisk(plan, step.group)) || !isDue(own)) continue;
      const isFresh = own.status === 'checked' && at - own.sinceMs <= CHECK_HOLDS_MS;
      due.push(
        isFresh ? { do: 'send', step, before: own.before!, after: own.after! } : { do: 'judge', step },
      );
      break;
    }
  }
  const isIdle = stepsIn((each) => isUnderWay(each)).length === 0;
  const isOver = plan.steps.every((step) => isFinal(state.steps[step.id]!) || progress.isShut(step));
  return {
    due,
    untilMs: Math.min(earliest, at + LONGEST_WAIT_MS),
    isDone: due.length === 0 && isIdle && (isOver || state.phase === 'paused'),
  };
}

/**
 * Returns the steps that are rolled back: the host of a refused call first, then its group, then others; what was changed
 * last goes first. Of two steps with the same target, the earlier one waits: a hop limit is not lowered while tokens are
 * required.
 */
function rollbacksOf(plan: Plan, state: PlanState): PlanStep[] {
  const taken = new Set<string>();
  return plan.steps
    .filter(({ id }) => state.steps[id]!.status === 'rolling_back')
    .reverse()
    .filter(({ target }) => {
      const name = targetName(target);
      const isFirst = !taken.has(name);
      taken.add(name);
      return isFirst;
    })
    .sort((a, b) => state.steps[b.id]!.urgency - state.steps[a.id]!.urgency);
}

/**
 * Returns the time that the step must be watched. A raised hop limit breaks nobody, and a template's version that nobody
 * uses yet does not either, so they need none.
 */
export function soakMs({ policy }: Plan, step: PlanStep): number {
  const { role } = step;
  if (role === 'hop_limit' || !needsRestore(step)) return 0;
  return 1000 * (role === 'canary' ? policy.canary_soak_seconds : policy.soak_seconds);
}

/** Returns whether something goes on about the step, also while the plan is paused. */
export function isUnderWay({ status }: StepState): boolean {
  return (
    status === 'sent' ||
    status === 'unclear' ||
    status === 'pending' ||
    status === 'applied' ||
    status === 'soaking' ||
    status === 'rolling_back'
  );
}

/** Returns how many instances of a group may be unconfirmed at once: its share, and always one. */
export function allowedAtRisk({ policy, groups }: Plan, group: string): number {
  const size = groups.find(({ id }) => id === group)?.size ?? 0;
  return Math.max(1, Math.floor(policy.max_share * size));
}
