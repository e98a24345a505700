/**
 * Reports about the progress of a plan of `imdswatch enforce`, from the process that carries it out to the collector. A
 * report has the plan's head, and the steps that have changed since the report before. Steps that are not in it stay as
 * they are, so a plan of thousands of steps arrives in several reports. Reports have no values of secrets.
 */
import * as z from 'zod';
import { freeText, identifier, label } from './text.ts';

/** Steps of one report. A report stays below 300 KiB. */
export const MAX_STEPS_OF_REPORT = 100;
export const MAX_STEPS_OF_PLAN = 10_000;
export const MAX_REASON_CHARACTERS = 600;
const MAX_CALLER_CHARACTERS = 300;

/** The states of a step, as `enforce/state/step_state.ts` describes them. */
export const PLAN_STEP_STATES = [
  'planned',
  'waiting',
  'checked',
  'sent',
  'unclear',
  'pending',
  'applied',
  'soaking',
  'confirmed',
  'skipped',
  'refused',
  'failed',
  'rolling_back',
  'rolled_back',
  'held',
  'drifted',
] as const;

/** The states in which nothing more happens to a step by itself. */
export const FINAL_PLAN_STEP_STATES = [
  'confirmed',
  'skipped',
  'refused',
  'failed',
  'rolled_back',
  'held',
  'drifted',
] as const satisfies readonly (typeof PLAN_STEP_STATES)[number][];

/** RFC 3339 in UTC with milliseconds. */
const time = z.iso.datetime({ precision: 3 });
const reason = freeText(MAX_REASON_CHARACTERS).nullable();
const place = { account: z.string().regex(/^\d{12}$/), region: label(64) };

export const planId = z.string().regex(/^p-[0-9a-f]{12}$/);
export const planStepId = z.string().regex(/^s\d{1,6}$/);
export const planStepState = z.enum(PLAN_STEP_STATES);

/**
 * - `made`: nothing was begun. `running`, `paused`: as the operator or a refused call has left it.
 * - `ended`: nothing more happens to any step by itself.
 */
export const planPhase = z.enum(['made', 'running', 'paused', 'ended']);

/** The thing that a step changes. `id` is the instance, launch template or Auto Scaling group; null for an account's default. */
export const planTarget = z.object({
  type: z.enum(['instance', 'template', 'template_default', 'group_version', 'account_default']),
  ...place,
  id: identifier(255).nullable(),
  /** Name of the host, for an instance. */
  name: label(255).nullable(),
});

/** The call without a token that was answered with 401, and because of which the step was rolled back or held. */
export const planRefusal = z.object({
  host: identifier(),
  /** Id of the workload. */
  caller_id: identifier(),
  caller: freeText(MAX_CALLER_CHARACTERS),
  at: time,
});

export const planStepReport = z.object({
  id: planStepId,
  /** Place in the plan, from 0. */
  position: z.int().min(0).max(MAX_STEPS_OF_PLAN),
  target: planTarget,
  change: z.object({
    http_tokens: z.enum(['optional', 'required']).nullable(),
    hop_limit: z.int().min(1).max(64).nullable(),
  }),
  group: label(300),
  wave: z.int().min(0).max(MAX_STEPS_OF_PLAN),
  role: z.enum(['hop_limit', 'canary', 'wave', 'template', 'go_live', 'account']),
  /** The verdict about the host or the group when the plan was made. Null: there was none. */
  verdict: z.enum(['ready', 'blocked', 'fallback', 'rejected', 'enforced', 'unproven']).nullable(),
  state: planStepState,
  /** When the state was entered. Null for `planned` since the plan was made. */
  since: time.nullable(),
  reason,
  refusal: planRefusal.nullable(),
  /** Watched share of the soak. Null for a step that does not soak. */
  soak_percent: z.int().min(0).max(100).nullable(),
});

export const planReport = z.object({
  /** Number of the journal's events that the report covers. A report with fewer than are known is out of date. */
  sequence: z.int().min(0),
  created: time,
  created_by: label(200),
  begun: time.nullable(),
  begun_by: label(200).nullable(),
  phase: planPhase,
  phase_since: time,
  phase_reason: reason,
  /** A process carries the plan out: it reports at least every 30 s. */
  is_carried_out: z.boolean(),
  step_count: z.int().min(1).max(MAX_STEPS_OF_PLAN),
  /** Hosts that were asked for and are not changed. */
  left_out_count: z.int().min(0),
  steps: z.array(planStepReport).max(MAX_STEPS_OF_REPORT),
  /** More reports of the same moment follow: until they have arrived, the steps do not belong together. */
  has_more: z.boolean(),
});

/**
 * The collector's answer. `steps`: how many of the plan's steps it has. `sequence_before`: the sequence that it knew before
 * this report, null for a new plan. By both a process notices what was lost, and sends it again.
 */
export const planReportAnswer = z.object({
  steps: z.int().min(0),
  sequence_before: z.int().min(0).nullable(),
});

export type PlanStepStatus = z.infer<typeof planStepState>;
export type PlanPhase = z.infer<typeof planPhase>;
export type PlanTarget = z.infer<typeof planTarget>;
export type PlanStepReport = z.infer<typeof planStepReport>;
export type PlanReport = z.infer<typeof planReport>;
export type PlanReportAnswer = z.infer<typeof planReportAnswer>;
