/** Reports about plans for tests. */
import type { PlanReport, PlanStepReport } from '../../../protocol/plan_report.ts';
import { instanceId, PLACE } from './plans.ts';

export const PLAN_ID = 'p-0123456789ab';

/** Returns a step `sN` at its place in the plan. */
export function stepReport(number: number, given: Partial<PlanStepReport> = {}): PlanStepReport {
  return {
    id: `s${number}`,
    position: number - 1,
    target: { type: 'instance', ...PLACE, id: instanceId(number), name: `host-${number}` },
    change: { http_tokens: 'required', hop_limit: null },
    group: 'asg:web',
    wave: number === 1 ? 1 : 2,
    role: number === 1 ? 'canary' : 'wave',
    verdict: 'ready',
    state: 'planned',
    since: null,
    reason: null,
    refusal: null,
    soak_percent: null,
    ...given,
  };
}

export function planReport(steps: PlanStepReport[], given: Partial<PlanReport> = {}): PlanReport {
  return {
    sequence: 1,
    created: '2026-03-01T00:00:00.000Z',
    created_by: 'command:tester',
    begun: '2026-03-01T00:01:00.000Z',
    begun_by: 'command:tester',
    phase: 'running',
    phase_since: '2026-03-01T00:01:00.000Z',
    phase_reason: null,
    is_carried_out: true,
    step_count: Math.max(1, steps.length),
    left_out_count: 0,
    steps,
    has_more: false,
    ...given,
  };
}
