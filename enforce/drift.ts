/** Compares what is in force in the cloud with what plans have confirmed. Reads only. */
import type { Cloud } from './cloud.ts';
import { errorText } from './cloud_message.ts';
import type { Plan, PlanStep, Target } from './plan.ts';
import { readTarget } from './run/target_calls.ts';
import { compare } from './state/compare.ts';
import type { PlanState } from './state/step_state.ts';

export interface Drift {
  plan: string;
  step: PlanStep;
  /** - `undone`: the value of before. `other`: another value. `unread`: the cloud did not answer. */
  result: 'undone' | 'other' | 'unread';
  text: string;
}

/** Returns the confirmed steps that are not in force any more, or that cannot be read. A target that is gone is none. */
export async function driftOf(
  plan: Plan,
  state: PlanState,
  cloudOf: (target: Target) => Cloud,
): Promise<Drift[]> {
  const found: Drift[] = [];
  for (const step of plan.steps) {
    const { status, before, after } = state.steps[step.id]!;
    if (status !== 'confirmed' || before === null || after === null) continue;
    const drifted = (result: Drift['result'], text: string) =>
      found.push({ plan: plan.id, step, result, text });
    const read = await readTarget(cloudOf(step.target), step);
    if (!read.ok) {
      drifted('unread', `It cannot be read: ${errorText(read.error)}`);
      continue;
    }
    if (read.value.current === null) continue;
    const compared = compare(step, before, after, read.value.current);
    if (compared.result === 'before') drifted('undone', 'Somebody has undone the change.');
    if (compared.result === 'other') drifted('other', `Somebody has changed it: ${compared.detail}.`);
  }
  return found;
}
