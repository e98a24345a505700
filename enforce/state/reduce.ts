/**
 * Applies an event to the state of a plan. Pure: no clock, no file, no network. The journal's events, applied in
 * their order, always give the same state, so that a runner that was killed goes on where it was.
 *
 * An event that does not fit the state changes nothing: a second answer, an order for a step that is done.
 */
import type { Plan, PlanStep, Recorded } from '../plan.ts';
import { compare } from './compare.ts';
import type { EventOf, PlanEvent } from './events.ts';
import { refusedCall } from './refused_call.ts';
import {
  beginRollback,
  rollbackAnswered,
  rollbackRead,
  rollbackSending,
  rollbackUnread,
} from './roll_back.ts';
import { confirmedBy, observed } from './soak.ts';
import { isFinal, type PlanState, type StepState, withEndpoint } from './step_state.ts';
import { ASK_AGAIN_MS, delayMs, MAX_ATTEMPTS, MAX_PENDING_MS, READ_AGAIN_MS, STALE_MS } from './timing.ts';

/** Changes a step. Returns null where the event does not fit. */
type Change = (state: StepState, step: PlanStep) => StepState | null;

export function reduce(plan: Plan, earlier: PlanState, event: PlanEvent): PlanState {
  // A clock that is set back must not make time run backwards.
  const at = Math.max(event.at, earlier.nowMs);
  const state = { ...earlier, nowMs: at };
  switch (event.type) {
    case 'begun':
      return state.phase === 'new' ? { ...state, phase: 'running' } : state;
    case 'taken_over':
      return changeSteps(plan, state, null, (each) => takenOver(each, at));
    case 'paused':
      return state.phase === 'running' ? { ...state, phase: 'paused', pausedReason: event.reason } : state;
    case 'resumed':
      return state.phase === 'paused' ? { ...state, phase: 'running', pausedReason: null } : state;
    case 'judged':
      if (state.phase !== 'running') return state;
      return changeSteps(plan, state, [event.step], (each) => judged(plan, each, event, at));
    case 'sending':
      if (state.phase !== 'running') return state;
      return changeSteps(plan, state, [event.step], (each) => sending(each, at));
    case 'answered':
      return changeSteps(plan, state, [event.step], (each, step) => answered(each, step, event, at));
    case 'read':
      return changeSteps(plan, state, [event.step], (each, step) => read(each, step, event, at));
    case 'read_failed':
      return changeSteps(plan, state, [event.step], (each) => readFailed(each, event.message, at));
    case 'observed':
      return changeSteps(plan, state, null, (each, { id }) => observed(each, id, event, at));
    case 'soak_judged':
      return soakJudged(plan, state, event);
    case 'refused_call':
      return refusedCall(plan, state, event);
    case 'earlier_calls':
      return state;
    case 'confirmed_by':
      return changeSteps(plan, state, event.steps, (each) => confirmedBy(each, event, at));
    case 'rollback_ordered':
      return changeSteps(plan, state, event.steps, (each, step) =>
        beginRollback(each, step, event.reason, at, { isOrdered: true }),
      );
    case 'restoring':
      return changeSteps(plan, state, [event.step], (each) => rollbackSending(each, at));
    case 'restored':
      return changeSteps(plan, state, [event.step], (each) => rollbackAnswered(each, event, at));
  }
}

/** Applies `change` to these steps, or to all of them for null. */
function changeSteps(plan: Plan, state: PlanState, ids: readonly string[] | null, change: Change): PlanState {
  const wanted = ids === null ? null : new Set(ids);
  const steps = { ...state.steps };
  for (const step of plan.steps) {
    if (wanted !== null && !wanted.has(step.id)) continue;
    steps[step.id] = change(steps[step.id]!, step) ?? steps[step.id]!;
  }
  return { ...state, steps };
}

/** A call that was under way when the runner ended may have arrived or not. */
function takenOver(state: StepState, at: number): StepState | null {
  if (state.status === 'sent') return { ...state, status: 'unclear', sinceMs: at, reads: 0, dueMs: at };
  if (state.restore === 'sent') return { ...state, restore: 'unclear', sinceMs: at, reads: 0, dueMs: at };
  return null;
}

function judged({ policy }: Plan, state: StepState, event: EventOf<'judged'>, at: number): StepState | null {
  const { status } = state;
  if (status !== 'planned' && status !== 'waiting' && status !== 'checked') return null;
  const reason = event.findings.find(({ result }) => result === event.result)?.text ?? null;
  const entered = { ...state, reason, sinceMs: at };
  switch (event.result) {
    case 'wait':
      return { ...entered, status: 'waiting', dueMs: at + ASK_AGAIN_MS };
    case 'refuse':
      return { ...entered, status: 'refused' };
    case 'skip':
      return { ...entered, status: 'skipped' };
    case 'pass': {
      const isWaived = event.way_back === 'waived' && policy.no_way_back_reason !== null;
      if (event.way_back !== 'proven' && !isWaived) {
        return { ...entered, status: 'refused', reason: 'The way back was not proven.' };
      }
      if (event.before === null || event.after === null) return null;
      const { before, after } = event;
      const described = withEndpoint(entered, before);
      return {
        ...described,
        status: 'checked',
        reason: null,
        before,
        after,
        dueMs: Math.max(at, state.dueMs),
      };
    }
  }
}

function sending(state: StepState, at: number): StepState | null {
  if (state.status !== 'checked') return null;
  return {
    ...state,
    status: 'sent',
    sinceMs: at,
    sentMs: at,
    isWritten: true,
    attempts: state.attempts + 1,
    reads: 0,
  };
}

function answered(
  state: StepState,
  step: PlanStep,
  event: EventOf<'answered'>,
  at: number,
): StepState | null {
  if (state.status !== 'sent') return null;
  const entered = { ...state, sinceMs: at, reads: 0, reason: event.message || null };
  switch (event.outcome) {
    case 'accepted': {
      const after = event.after ?? state.after;
      const pending: StepState = {
        ...entered,
        status: 'pending',
        after,
        reason: null,
        dueMs: at + delayMs(0),
      };
      return state.undo === null ? pending : undone(pending, step, at);
    }
    case 'lost':
      return { ...entered, status: 'unclear', dueMs: at };
    case 'throttled':
      return notInForce({ ...entered, dueMs: at + delayMs(state.attempts) }, at);
    case 'failed':
      return { ...entered, status: 'failed', isWritten: false };
  }
}

/** Returns the step after a call that had no effect: it is checked again, unless it must not go on. */
function notInForce(state: StepState, at: number): StepState {
  const idle = { ...state, isWritten: false, sinceMs: at };
  if (state.undo !== null) return { ...idle, status: 'held', reason: state.undo };
  if (state.attempts >= MAX_ATTEMPTS) {
    return { ...idle, status: 'failed', reason: `It had no effect after ${state.attempts} calls.` };
  }
  return { ...idle, status: 'planned' };
}

function undone(state: StepState, step: PlanStep, at: number): StepState {
  return beginRollback(state, step, state.undo ?? '', at) ?? state;
}

function read(earlier: StepState, step: PlanStep, event: EventOf<'read'>, at: number): StepState | null {
  if (earlier.before === null || earlier.after === null) return null;
  const { current } = event;
  if (current === null) {
    if (!earlier.isWritten || earlier.status === 'sent') return null;
    return {
      ...earlier,
      status: 'skipped',
      restore: null,
      isWritten: false,
      reason: 'It is gone.',
      sinceMs: at,
    };
  }
  const state = withEndpoint(earlier, current);
  const compared = compare(step, earlier.before, earlier.after, current);
  if (state.status === 'rolling_back') return rollbackRead(state, compared, event.is_pending, at);
  const known = { ...state, reads: state.reads + 1, dueMs: at + delayMs(state.reads) };
  switch (state.status) {
    case 'unclear': {
      if (compared.result === 'other') return held(known, compared.detail, at);
      if (compared.result === 'after') {
        const pending: StepState = {
          ...known,
          status: 'pending',
          after: withVersion(earlier.after, current),
          reads: 0,
        };
        const settled = { ...pending, sinceMs: at, dueMs: at };
        return state.undo === null ? settled : undone(settled, step, at);
      }
      // Old values may be stale: the call counts as without effect only after a while.
      return at - (state.sentMs ?? at) < STALE_MS ? known : notInForce({ ...known, dueMs: at }, at);
    }
    case 'pending': {
      if (compared.result === 'other') return held(known, compared.detail, at);
      if (compared.unplanned !== '') {
        const undo = `More has changed than was planned, and was not put back: ${compared.unplanned}.`;
        return undone({ ...known, undo }, step, at);
      }
      if (compared.result === 'after' && !event.is_pending) {
        return {
          ...known,
          status: 'applied',
          after: withVersion(earlier.after, current),
          sinceMs: at,
          reads: 0,
        };
      }
      if (at - state.sinceMs < MAX_PENDING_MS) return known;
      return undone({ ...known, undo: 'It was not in force after five minutes.' }, step, at);
    }
    case 'applied':
    case 'soaking':
    case 'confirmed':
      if (compared.result === 'after' || at - (state.sentMs ?? at) < STALE_MS) {
        return { ...known, dueMs: at + READ_AGAIN_MS };
      }
      return {
        ...known,
        status: 'drifted',
        isWritten: false,
        sinceMs: at,
        reason: compared.result === 'before' ? 'Somebody has undone it.' : compared.detail,
      };
    default:
      return null;
  }
}

/** Somebody else has changed the target. It stays as it is, because nobody knows whose value should win. */
function held(state: StepState, detail: string, at: number): StepState {
  const reason = `Somebody else has changed it: ${detail}. Look at it, and make a new plan.`;
  return { ...state, status: 'held', isWritten: false, sinceMs: at, reason };
}

function withVersion(after: Recorded, current: Recorded): Recorded {
  return after.type === 'template' && current.type === 'template'
    ? { ...after, version: current.version }
    : after;
}

function readFailed(state: StepState, message: string, at: number): StepState | null {
  if (isFinal(state)) return null;
  if (state.status === 'rolling_back') return rollbackUnread(state, message, at);
  return { ...state, reads: state.reads + 1, dueMs: at + delayMs(state.reads), reason: message };
}

function soakJudged(plan: Plan, state: PlanState, event: EventOf<'soak_judged'>): PlanState {
  const at = state.nowMs;
  const reason = event.findings.find(({ result }) => result !== 'pass')?.text ?? null;
  const own = state.steps[event.step];
  if (own?.status !== 'soaking') return state;
  switch (event.result) {
    case 'pass':
      return changeSteps(plan, state, [event.step], (each) => ({
        ...each,
        status: 'confirmed',
        reason: null,
        sinceMs: at,
      }));
    case 'wait':
      return changeSteps(plan, state, [event.step], (each) => ({
        ...each,
        reason,
        dueMs: at + ASK_AGAIN_MS,
      }));
    case 'roll_back':
      return changeSteps(plan, state, [event.step], (each, step) =>
        beginRollback(each, step, reason ?? 'A check at the end of the soak failed.', at),
      );
  }
}
