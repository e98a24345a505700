/** The part of the state machine that gives a target its recorded value back. Pure. */
import type { PlanStep } from '../plan.ts';
import type { Comparison } from './compare.ts';
import type { EventOf } from './events.ts';
import { needsRestore, type Restore, type StepState } from './step_state.ts';
import { delayMs, MAX_ATTEMPTS, MAX_PENDING_MS, MAX_READS, readBackDelayMs, STALE_MS } from './timing.ts';

/**
 * Begins to undo a step. A step whose call is under way is undone as soon as its answer is known. A step that was not
 * sent is held. Returns null where there is nothing to undo. A roll-back that has failed before is tried again only
 * with `isOrdered`, which a person's order is. `urgency`: see `StepState`.
 */
export function beginRollback(
  state: StepState,
  step: PlanStep,
  reason: string,
  at: number,
  { isOrdered = false, urgency = 0 }: { isOrdered?: boolean; urgency?: number } = {},
): StepState | null {
  const urgent = Math.max(urgency, state.urgency);
  switch (state.status) {
    case 'planned':
    case 'waiting':
    case 'checked':
      return { ...state, status: 'held', reason, sinceMs: at };
    case 'sent':
    case 'unclear':
      return { ...state, undo: state.undo ?? reason, urgency: urgent };
    case 'held':
      if (!state.isWritten || (state.isStuck && !isOrdered)) return null;
      break;
    case 'confirmed':
    case 'pending':
    case 'applied':
    case 'soaking':
      break;
    default:
      return null;
  }
  const entered = {
    ...state,
    undo: null,
    isStuck: false,
    reason,
    sinceMs: at,
    dueMs: at,
    reads: 0,
    attempts: 0,
    throttles: 0,
    urgency: urgent,
  };
  if (!needsRestore(step)) return { ...entered, status: 'rolled_back', isWritten: false };
  return { ...entered, status: 'rolling_back', restore: 'verify' };
}

export function rollbackSending(state: StepState, at: number): StepState | null {
  if (state.status !== 'rolling_back' || state.restore !== 'ready') return null;
  return { ...enter(state, 'sent', at), sentMs: at, attempts: state.attempts + 1 };
}

export function rollbackAnswered(state: StepState, event: EventOf<'restored'>, at: number): StepState | null {
  if (state.status !== 'rolling_back' || state.restore !== 'sent') return null;
  switch (event.outcome) {
    case 'accepted':
      return enter(state, 'reading', at);
    case 'lost':
      return enter(state, 'unclear', at);
    case 'throttled':
      return {
        ...enter(state, 'ready', at),
        attempts: state.attempts - 1,
        throttles: state.throttles + 1,
        dueMs: at + delayMs(state.throttles),
      };
    case 'failed':
      return stuck(state, at, `The way back is closed: ${event.message}`);
  }
}

/** `compared`: what was read, against the recorded values. */
export function rollbackRead(
  state: StepState,
  compared: Comparison,
  isPending: boolean,
  at: number,
): StepState | null {
  const known = { ...state, reads: state.reads + 1, dueMs: at + readBackDelayMs(state.reads) };
  switch (state.restore) {
    case 'verify':
      if (compared.result === 'other') return foreign(known, compared.detail, at);
      // A description may be old, so the recorded value is sent also where it seems to be in force already.
      return enter(known, 'ready', at);
    case 'unclear':
      if (compared.result === 'other') return foreign(known, compared.detail, at);
      // The recorded value may be that of before our change, in an old description. Sending it again does no harm.
      return again(known, at);
    case 'reading':
      if (compared.result === 'other') return foreign(known, compared.detail, at);
      if (compared.result === 'before' && !isPending) {
        return { ...known, status: 'rolled_back', restore: null, isWritten: false, sinceMs: at };
      }
      // Our change is still shown: the description is old, or the call had no effect.
      if (compared.result === 'after' && at - (state.sentMs ?? at) >= STALE_MS) return again(known, at);
      return at - state.sinceMs < MAX_PENDING_MS
        ? known
        : stuck(known, at, 'The recorded value was not in force after five minutes.');
    default:
      return null;
  }
}

/** A roll-back that cannot read goes on trying for a while. */
export function rollbackUnread(state: StepState, message: string, at: number): StepState {
  if (state.reads + 1 >= MAX_READS) return stuck(state, at, `It cannot be read: ${message}`);
  // Reads that were answered come in quick succession. One that fails, perhaps throttled, is tried again after 2 s or more.
  const restMs =
    state.restore === 'reading' ? Math.max(delayMs(0), readBackDelayMs(state.reads)) : delayMs(state.reads);
  return { ...state, reads: state.reads + 1, dueMs: at + restMs };
}

function again(state: StepState, at: number): StepState {
  if (state.attempts >= MAX_ATTEMPTS) {
    return stuck(state, at, `The recorded value is not in force after ${state.attempts} calls.`);
  }
  return enter(state, 'ready', at);
}

function enter(state: StepState, restore: Restore, at: number): StepState {
  return { ...state, restore, sinceMs: at, dueMs: at, reads: 0 };
}

function foreign(state: StepState, detail: string, at: number): StepState {
  const reason = `Somebody else has changed it, so it was left alone: ${detail}. (${state.reason})`;
  return { ...state, status: 'held', restore: null, isWritten: false, sinceMs: at, reason };
}

/** Our change stays in force, and a person must look. */
function stuck(state: StepState, at: number, problem: string): StepState {
  const reason = `${problem} (Rolled back because: ${state.reason})`;
  return { ...state, status: 'held', restore: null, isStuck: true, sinceMs: at, reason };
}
