/** Counts calls by the labels of their metrics. Nothing else is done before somebody asks for metrics. */
import type { Call } from '../../protocol/call.ts';

export const CALL_CONFIDENCES = [
  'exact',
  'probable',
  'none',
] as const satisfies readonly Call['attribution.confidence'][];
export const CALL_VERSIONS = ['1', '2', 'none'] as const;

export class CallCounts {
  readonly versions: Record<(typeof CALL_VERSIONS)[number], number> = { 1: 0, 2: 0, none: 0 };
  readonly confidences: Record<(typeof CALL_CONFIDENCES)[number], number> = {
    exact: 0,
    probable: 0,
    none: 0,
  };

  add(call: Call): void {
    this.versions[call['imds.version'] ?? 'none'] += 1;
    this.confidences[call['attribution.confidence']] += 1;
  }
}
