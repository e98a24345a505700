/** The state of a plan and of its steps. Plain values, made from the journal's events by `reduce.ts`. */
import { FINAL_PLAN_STEP_STATES, type PlanStepStatus } from '../../protocol/plan_report.ts';
import type { Plan, PlanStep, Recorded } from '../plan.ts';

/**
 * - `planned`: nothing was done. `waiting`: a guard says not now. `checked`: every guard agrees.
 * - `sent`: the change is under way. `unclear`: its answer was lost; it is read, never sent again blindly.
 * - `pending`: accepted, not in force yet. `applied`: in force. `soaking`: in force and watched.
 * - `confirmed`: watched for the whole soak. `skipped`: nothing to do. `refused`: a guard says no.
 * - `failed`: the cloud refused the change, and nothing was changed.
 * - `rolling_back`, `rolled_back`: the recorded value is being, or is, in force again.
 * - `held`: nothing more happens without a person. `drifted`: somebody else has changed it.
 */
export type Status = PlanStepStatus;

/**
 * Part of a roll-back. `verify`: read first, so that only our own value is replaced. `ready`: the recorded value may be
 * sent. `sent`, `unclear`: as of a change. `reading`: accepted, until it is read back.
 */
export type Restore = 'verify' | 'ready' | 'sent' | 'unclear' | 'reading';

/** A call without a token that was answered with 401, as the state remembers it. */
export interface Refusal {
  host: string;
  caller: { id: string; title: string };
  atMs: number;
}

export interface StepState {
  status: Status;
  restore: Restore | null;
  reason: string | null;
  /** Values of before the change. They are in the journal before the change is sent. */
  before: Recorded | null;
  /** Values that the target is to have. */
  after: Recorded | null;
  /** The metadata service was on when the instance was described last. `HttpEndpoint` is sent only then. */
  isEndpointOn: boolean;
  /** Our change may be in force. */
  isWritten: boolean;
  /** The refused call because of which the step is rolled back or held. Null: there was none. */
  refusal: Refusal | null;
  /** Why the step must be undone as soon as it is known what became of its call. */
  undo: string | null;
  /** When the status was entered. Milliseconds since 1970, like the next ones. */
  sinceMs: number;
  /** When the change was sent last. */
  sentMs: number | null;
  /** Nothing is done about the step before this time. */
  dueMs: number;
  /** Reads since the status or the part of the roll-back was entered. */
  reads: number;
  /** Calls that were sent and that did not settle it: throttled, or read to have had no effect. */
  attempts: number;
  /** Calls of a roll-back that were throttled. They changed nothing, so they are repeated for as long as it takes. */
  throttles: number;
  /** Order of roll-backs: 2 for the host of a refused call, 1 for its group, 0 for others. */
  urgency: number;
  /** Watched time of the soak, which began at `sinceMs`. */
  watchedMs: number;
  /** A roll-back has failed. Only a person's order tries it again. */
  isStuck: boolean;
}

export interface PlanState {
  /** `paused`: no change goes forward. Reads and roll-backs go on. */
  phase: 'new' | 'running' | 'paused';
  pausedReason: string | null;
  steps: Readonly<Record<string, StepState>>;
  /** The latest time of an event. Time never runs backwards in a plan. */
  nowMs: number;
}

export function initialState(plan: Plan): PlanState {
  const step: StepState = {
    status: 'planned',
    restore: null,
    reason: null,
    before: null,
    after: null,
    isEndpointOn: false,
    isWritten: false,
    refusal: null,
    undo: null,
    sinceMs: 0,
    sentMs: null,
    dueMs: 0,
    reads: 0,
    attempts: 0,
    throttles: 0,
    urgency: 0,
    watchedMs: 0,
    isStuck: false,
  };
  return {
    phase: 'new',
    pausedReason: null,
    steps: Object.fromEntries(plan.steps.map(({ id }) => [id, step])),
    nowMs: 0,
  };
}

const FINAL: ReadonlySet<Status> = new Set(FINAL_PLAN_STEP_STATES);

/** Returns whether nothing more happens to the step by itself. */
export function isFinal({ status }: StepState): boolean {
  return FINAL.has(status);
}

/** Returns whether the step has its value for good, so that later waves may follow. */
export function isSettledWell({ status }: StepState): boolean {
  return status === 'confirmed' || status === 'skipped';
}

/** Returns whether the step uses up the allowed share of its group: changed, or being changed, and not confirmed. */
export function isAtRisk(state: StepState): boolean {
  return state.status !== 'confirmed' && (state.isWritten || state.status === 'sent');
}

/** Returns whether the step can break callers: it requires tokens. A raised hop limit breaks nobody. */
export function requiresTokens({ change }: PlanStep): boolean {
  return change.http_tokens === 'required';
}

/** Returns whether the step changes what is launched from now on, and no instance that runs. */
export function concernsLaunches(step: PlanStep): boolean {
  return step.target.type !== 'instance' && needsRestore(step);
}

/** Returns the state with what a description says about the metadata service. */
export function withEndpoint(state: StepState, described: Recorded): StepState {
  if (described.type !== 'instance') return state;
  return { ...state, isEndpointOn: described.options.http_endpoint === 'enabled' };
}

/** Returns whether undoing the step needs a call. A template's version that nobody uses may stay. */
export function needsRestore({ target }: PlanStep): boolean {
  return target.type !== 'template' || target.goes_live;
}
