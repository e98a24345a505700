/** A guard looks at the facts of a step and says if it may go forward. */
import type { Finding } from '../state/events.ts';

export type Answer = Omit<Finding, 'guard'>;

export interface Guard<Facts> {
  /** Stable name, for example `way_back`. */
  name: string;
  /** One sentence for the documentation: what it checks. */
  checks: string;
  judge: (facts: Facts) => Answer;
}

export function pass(text: string): Answer {
  return { result: 'pass', text };
}

export function wait(text: string): Answer {
  return { result: 'wait', text };
}

export function refuse(text: string): Answer {
  return { result: 'refuse', text };
}

export function skip(text: string): Answer {
  return { result: 'skip', text };
}

/** Asks every guard. */
export function askAll<Facts>(guards: readonly Guard<Facts>[], facts: Facts): Finding[] {
  return guards.map(({ name, judge }) => ({ guard: name, ...judge(facts) }));
}

/** Returns what the answers mean together: a target that has its value already is skipped, whatever else is said. */
export function sumUp(findings: readonly Finding[]): Finding['result'] {
  for (const result of ['skip', 'refuse', 'wait'] as const) {
    if (findings.some((finding) => finding.result === result)) return result;
  }
  return 'pass';
}
