/** The events of a plan. The journal has these events, and a plan's state follows from them alone. */
import * as z from 'zod';
import { freeText } from '../../protocol/text.ts';
import { recorded } from '../plan.ts';

/** Milliseconds since 1970. */
const at = z.number().min(0);
const step = z.string();
/**
 * A longer text is cut, never refused: paths of programs, AWS's messages and reasons of operators have any length, and a
 * journal with a line that cannot be read would end all roll-backs of its plan.
 */
const text = freeText(2000);
/** Giver of an order: the name of a user, for the audit log. */
const by = freeText(200);

export const finding = z.object({
  guard: z.string(),
  result: z.enum(['pass', 'wait', 'refuse', 'skip']),
  text,
});

/** `lost`: no answer arrived, and the change may have been made. */
const callOutcome = z.enum(['accepted', 'throttled', 'lost', 'failed']);

export const planEvent = z.discriminatedUnion('type', [
  z.object({ type: z.literal('begun'), at, by }),
  /** A runner has started with a journal that another one had left. */
  z.object({ type: z.literal('taken_over'), at }),
  z.object({ type: z.literal('paused'), at, by, reason: text }),
  z.object({ type: z.literal('resumed'), at, by }),
  z.object({
    type: z.literal('judged'),
    at,
    step,
    result: finding.shape.result,
    findings: z.array(finding),
    before: recorded.nullable(),
    after: recorded.nullable(),
    /** `waived`: the operator goes on without a way back, with a reason in the plan. `unknown`: neither. */
    way_back: z.enum(['proven', 'waived', 'unknown']),
  }),
  z.object({ type: z.literal('sending'), at, step }),
  z.object({
    type: z.literal('answered'),
    at,
    step,
    outcome: callOutcome,
    message: text,
    /** Replaces the expected values where only the answer shows them: the number of a new template version. */
    after: recorded.nullable(),
  }),
  /** `current` null: the target does not exist any more. */
  z.object({ type: z.literal('read'), at, step, current: recorded.nullable(), is_pending: z.boolean() }),
  z.object({ type: z.literal('read_failed'), at, step, message: text }),
  /**
   * `watched`: time that was watched since the soak began, in milliseconds, by step; 0 begins the soak of an `applied`
   * step. `waits`: what the time of a step waits for; empty if it does not wait any more.
   */
  z.object({
    type: z.literal('observed'),
    at,
    watched: z.record(step, z.number().min(0)),
    waits: z.record(step, text).optional(),
  }),
  z.object({
    type: z.literal('soak_judged'),
    at,
    step,
    result: z.enum(['pass', 'wait', 'roll_back']),
    findings: z.array(finding),
  }),
  /** A call without a token was answered with 401. */
  z.object({
    type: z.literal('refused_call'),
    at,
    host: z.string(),
    /** Groups of the plan that the host belongs to. */
    groups: z.array(z.string()),
    /** Steps that the host was launched with: of templates and of an account's default. */
    effect_of: z.array(step).optional(),
    caller: z.object({ id: z.string(), title: text }),
    call: z.string(),
    /** Hosts of the plan on which the same caller was seen. */
    also_on: z.array(z.string()),
  }),
  /** Ids of refused calls that were known before the plan has changed anything: it has not caused them. */
  z.object({ type: z.literal('earlier_calls'), at, calls: z.array(z.string()) }),
  z.object({ type: z.literal('confirmed_by'), at, by, reason: text.optional(), steps: z.array(step) }),
  z.object({ type: z.literal('rollback_ordered'), at, by, reason: text, steps: z.array(step) }),
  z.object({ type: z.literal('restoring'), at, step }),
  z.object({ type: z.literal('restored'), at, step, outcome: callOutcome, message: text }),
]);

export type PlanEvent = z.infer<typeof planEvent>;
export type EventOf<T extends PlanEvent['type']> = Extract<PlanEvent, { type: T }>;
export type Finding = z.infer<typeof finding>;

type Unstamped<T> = T extends unknown ? Omit<T, 'at'> : never;
/** An event that has not got its time yet. */
export type NewEvent = Unstamped<PlanEvent>;
