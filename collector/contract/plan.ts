/** Schemas of plans of `imdswatch enforce` as the collector serves them: what their processes have reported. */
import * as z from 'zod';
import { PLAN_STEP_STATES, planPhase, planStepReport, planTarget } from '../../protocol/plan_report.ts';
import { time } from './window.ts';

const states = PLAN_STEP_STATES.map((state) => [state, z.int()] as const);

/** Number of steps in each state. */
export const stepCounts = z.object(
  Object.fromEntries(states) as Record<(typeof PLAN_STEP_STATES)[number], z.ZodInt>,
);

export const plan = z.object({
  id: z.string(),
  created: time,
  created_by: z.string(),
  begun: time.nullable(),
  begun_by: z.string().nullable(),
  /** `made`, `running`, `paused`, or `ended`: nothing more happens to any step by itself. */
  phase: planPhase,
  phase_since: time,
  phase_reason: z.string().nullable(),
  /** A process carried the plan out when it reported last, which it does at least every 30 s. */
  is_carried_out: z.boolean(),
  /** When the plan was reported last, by the collector's clock. */
  reported: time,
  /** Name of who reported it: `command:USER` on the collector's machine, else the name of the admin token. */
  reported_by: z.string(),
  step_count: z.int(),
  /** Hosts that were asked for and are not changed. */
  left_out_count: z.int(),
  states: stepCounts,
});

/** Steps of one group that may be changed together. */
export const planWave = z.object({
  group: z.string(),
  wave: z.int(),
  role: planStepReport.shape.role,
  step_count: z.int(),
  states: stepCounts,
  /** Place of its first step in the plan, from 0. */
  first_position: z.int(),
});

/** A call without a token that was refused, and what followed from it. */
export const planRefusal = z.object({
  host: z.string(),
  /** Id of the workload. */
  caller_id: z.string(),
  caller: z.string(),
  at: time,
  /** Steps that were rolled back, and steps that were held, because of it. */
  rolled_back: z.int(),
  held: z.int(),
});

export const planDetail = plan.extend({
  /** In their order, at most 1,000 of `wave_count`. */
  waves: z.array(planWave),
  wave_count: z.int(),
  /** Refused calls, oldest first, at most 100. */
  refusals: z.array(planRefusal),
});

export const planStep = planStepReport.omit({ target: true, since: true, refusal: true }).extend({
  target: planTarget,
  since: time.nullable(),
  refusal: planStepReport.shape.refusal.unwrap().extend({ at: time }).nullable(),
});

export type StepCounts = z.infer<typeof stepCounts>;
export type Plan = z.infer<typeof plan>;
export type PlanWave = z.infer<typeof planWave>;
export type PlanDetail = z.infer<typeof planDetail>;
export type PlanStep = z.infer<typeof planStep>;
