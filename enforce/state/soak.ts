/** The part of the state machine that counts watched time, and that ends a soak by a decision of the operator. Pure. */
import type { EventOf } from './events.ts';
import type { StepState } from './step_state.ts';

/** Counts watched time, never more than has passed. The first observation shows that the host is watched. */
export function observed(
  state: StepState,
  id: string,
  event: EventOf<'observed'>,
  at: number,
): StepState | null {
  if (state.status !== 'applied' && state.status !== 'soaking') return null;
  const watchedMs = event.watched[id];
  const waits = event.waits?.[id];
  const told = waits === undefined ? state : { ...state, reason: waits === '' ? null : waits };
  if (watchedMs === undefined) return told;
  if (state.status === 'applied') return { ...told, status: 'soaking', sinceMs: at, dueMs: at, watchedMs: 0 };
  return { ...told, watchedMs: Math.max(state.watchedMs, Math.min(watchedMs, at - state.sinceMs)) };
}

export function confirmedBy(
  state: StepState,
  { by, reason }: EventOf<'confirmed_by'>,
  at: number,
): StepState | null {
  // After a roll-back that failed nobody knows which value is in force.
  const isHeldInForce = state.status === 'held' && state.isWritten && !state.isStuck;
  const isInForce = state.status === 'applied' || state.status === 'soaking' || isHeldInForce;
  if (!isInForce) return null;
  const text = reason === undefined ? `Confirmed by ${by}.` : `Confirmed by ${by}: ${reason}`;
  return { ...state, status: 'confirmed', reason: text, sinceMs: at };
}
