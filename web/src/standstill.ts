/** Tells whether a plan that is under way may stand still. */
import type { Plan } from '../../collector/contract/plan.ts';

/** Longer than the time between two reports of a living process, which is 30 s. */
const SILENT_MS = 90_000;

/** Returns why a plan that is under way may stand still; null where its process reports. */
export function standstill(
  plan: Pick<Plan, 'id' | 'phase' | 'is_carried_out' | 'reported'>,
  nowMs: number,
): string | null {
  if (plan.phase === 'made' || plan.phase === 'ended') return null;
  const goOn = `Go on with: imdswatch enforce resume ${plan.id}`;
  if (!plan.is_carried_out) return `No process carries it out. ${goOn}`;
  if (nowMs - Date.parse(plan.reported) < SILENT_MS) return null;
  return `Its process has not reported for a while: it has ended, or cannot reach this collector. Look at: imdswatch enforce status ${plan.id}`;
}
