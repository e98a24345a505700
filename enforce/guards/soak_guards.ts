/** Guards of the end of a soak. `wait` prolongs the soak, `refuse` rolls back. Pure. */
import type { NoTokenCounts, Outcome } from '../cloud.ts';
import { errorText } from '../cloud_message.ts';
import { WITNESS_GUARDS, type WitnessFacts } from './common_guards.ts';
import { type Answer, type Guard, pass, refuse, wait } from './guard.ts';

export interface SoakFacts extends WitnessFacts {
  /** CloudWatch's count since the change. Null where the step is about no single instance. */
  counts: Outcome<NoTokenCounts | null> | null;
}

export const SOAK_GUARDS: readonly Guard<SoakFacts>[] = [
  { name: 'cloud_count', checks: 'CloudWatch counted no refused call since the change', judge: judgeCount },
  ...WITNESS_GUARDS,
];

function judgeCount({ counts }: SoakFacts): Answer {
  if (counts === null) return pass('It is about no single instance.');
  if (!counts.ok) return wait(`CloudWatch cannot be asked: ${errorText(counts.error)}`);
  const rejected = counts.value?.rejected ?? null;
  // CloudWatch has points of this figure only where there were refusals.
  if (rejected === null || rejected === 0)
    return pass('CloudWatch counted no refused call since the change.');
  return refuse(`CloudWatch counted ${rejected} refused calls since the change.`);
}
