/**
 * Finds confirmed changes that are not in force any more: by the cloud, and without it by calls that agents saw. Reads
 * only.
 */
import type { Cloud } from './cloud.ts';
import { errorText } from './cloud_message.ts';
import type { Findings } from './findings.ts';
import type { Plan, PlanStep, Target } from './plan.ts';
import { readTarget } from './run/target_calls.ts';
import { compare } from './state/compare.ts';
import { type PlanState, requiresTokens } from './state/step_state.ts';

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

/**
 * Returns the confirmed hosts on which a call without a token was answered since. It needs no credentials of the cloud.
 * Throws `OperatorError` if the collector cannot be asked.
 */
export async function driftByCalls(
  plan: Plan,
  state: PlanState,
  findings: Pick<Findings, 'acceptedCalls'>,
): Promise<Drift[]> {
  const confirmed = plan.steps.flatMap((step) => {
    const { status, sinceMs } = state.steps[step.id]!;
    const { target } = step;
    const isMeant = status === 'confirmed' && requiresTokens(step) && target.type === 'instance';
    return isMeant ? [{ step, sinceMs, host: target.instance_id }] : [];
  });
  if (confirmed.length === 0) return [];
  const sinceMs = Math.min(...confirmed.map((each) => each.sinceMs));
  const calls = await findings.acceptedCalls(
    confirmed.map(({ host }) => host),
    sinceMs,
  );
  return confirmed.flatMap(({ step, sinceMs: confirmedMs, host }): Drift[] => {
    const call = calls.find(({ hostId, atMs }) => hostId === host && atMs > confirmedMs);
    if (call === undefined) return [];
    const at = new Date(call.atMs).toISOString();
    const text = `${call.caller.title} called without a token at ${at} and was answered: tokens are not required any more.`;
    return [{ plan: plan.id, step, result: 'undone', text }];
  });
}
