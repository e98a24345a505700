/** Describes a plan and its steps as reports have them. Pure. */
import { type PlanReport, type PlanStepReport, planStepReport } from '../../protocol/plan_report.ts';
import type { Plan, Target } from '../plan.ts';
import { soakMs } from '../state/intents.ts';
import { Progress } from '../state/progress.ts';
import { isFinal, type PlanState } from '../state/step_state.ts';

/** Returns the plan's phase for reports. It has ended when nothing more happens to any step by itself. */
export function phaseOf(plan: Plan, state: PlanState): PlanReport['phase'] {
  if (state.phase === 'new') return 'made';
  const progress = new Progress(plan, state);
  const isOver = plan.steps.every((step) => isFinal(state.steps[step.id]!) || progress.isShut(step));
  return isOver ? 'ended' : state.phase;
}

/** `position`: place of the step in the plan, from 0. Texts are cut to the bounds of the report. */
export function describeStep(plan: Plan, state: PlanState, position: number): PlanStepReport {
  const step = plan.steps[position]!;
  const { status, sinceMs, reason, refusal, watchedMs } = state.steps[step.id]!;
  return planStepReport.parse({
    id: step.id,
    position,
    target: describeTarget(step.target),
    change: { http_tokens: step.change.http_tokens ?? null, hop_limit: step.change.hop_limit ?? null },
    group: step.group,
    wave: step.wave,
    role: step.role,
    verdict: step.evidence?.verdict ?? null,
    state: status,
    since: sinceMs === 0 ? null : timeOf(sinceMs),
    reason,
    refusal:
      refusal === null
        ? null
        : {
            host: refusal.host,
            caller_id: refusal.caller.id,
            caller: refusal.caller.title,
            at: timeOf(refusal.atMs),
          },
    soak_percent: status === 'soaking' ? percent(watchedMs, soakMs(plan, step)) : null,
  } satisfies PlanStepReport);
}

/** Describes a target as reports name it. */
export function describeTarget(target: Target): PlanStepReport['target'] {
  const { type, account, region } = target;
  return { type, account, region, ...nameOf(target) };
}

/** Milliseconds since 1970 as a report has them. */
export function timeOf(ms: number): string {
  return new Date(ms).toISOString();
}

function nameOf(target: Target): { id: string | null; name: string | null } {
  switch (target.type) {
    case 'instance':
      return { id: target.instance_id, name: target.host_name };
    case 'template':
    case 'template_default':
      return { id: target.template_id, name: null };
    case 'group_version':
      return { id: target.scaling_group, name: null };
    case 'account_default':
      return { id: null, name: null };
  }
}

function percent(part: number, whole: number): number {
  return whole === 0 ? 100 : Math.min(100, Math.floor((100 * part) / whole));
}
