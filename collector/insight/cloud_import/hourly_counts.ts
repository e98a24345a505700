/** Converts sums of periods to sums of whole hours, because the store counts calls by the hour. */
import { OperatorError } from '../../../common/operator_error.ts';
import type { CloudCountInput } from '../../contract/cloud.ts';
import { type CloudFigures, NO_INVENTORY } from './cloud_figures.ts';

const HOUR_SECONDS = 3600;
const MAX_COUNTS = 100_000;

export interface Series {
  hostId: string;
  /** True for `MetadataNoTokenRejected`, false for `MetadataNoToken`. */
  isRejected: boolean;
  periodSeconds: number;
  points: { startMs: number; sum: number }[];
}

interface Span {
  hostId: string;
  startMs: number;
  endMs: number;
  noToken: number | null;
  rejected: number | null;
}

/**
 * Leaves out an hour of which a period is missing, and counts it. Throws `OperatorError` (1) if periods do
 * not add up to hours.
 */
export function hourlyCounts(
  name: string,
  series: readonly Series[],
  ignored: Record<string, number>,
): CloudFigures {
  const spans = new Map<string, Span>();
  let incomplete = 0;
  for (const { hostId, isRejected, periodSeconds, points } of series) {
    const wholeHours = periodSeconds % HOUR_SECONDS === 0;
    if (periodSeconds <= 0 || !(wholeHours || HOUR_SECONDS % periodSeconds === 0)) {
      throw new OperatorError(
        1,
        `${name}: periods of ${periodSeconds} s do not add up to whole hours. Use 3600.`,
      );
    }
    const lengthMs = (wholeHours ? periodSeconds : HOUR_SECONDS) * 1000;
    const expected = wholeHours ? 1 : HOUR_SECONDS / periodSeconds;
    const byStart = new Map<number, { sum: number; starts: Set<number> }>();
    for (const { startMs, sum } of points) {
      if (startMs % (wholeHours ? HOUR_SECONDS * 1000 : periodSeconds * 1000) !== 0) {
        throw new OperatorError(
          1,
          `${name}: ${new Date(startMs).toISOString()} is not the start of a period of ${periodSeconds} s. Let the query start at a whole hour.`,
        );
      }
      const start = wholeHours ? startMs : Math.floor(startMs / lengthMs) * lengthMs;
      const hour = byStart.get(start) ?? { sum: 0, starts: new Set() };
      if (hour.starts.has(startMs)) {
        throw new OperatorError(
          1,
          `${name}: ${hostId} has two values for ${new Date(startMs).toISOString()}.`,
        );
      }
      hour.starts.add(startMs);
      hour.sum += sum;
      byStart.set(start, hour);
    }
    refuseOverlaps(name, hostId, [...byStart.keys()], lengthMs);
    for (const [startMs, { sum, starts }] of byStart) {
      if (starts.size < expected) {
        incomplete += 1;
        continue;
      }
      const key = JSON.stringify([hostId, startMs, lengthMs]);
      const span = spans.get(key) ?? {
        hostId,
        startMs,
        endMs: startMs + lengthMs,
        noToken: null,
        rejected: null,
      };
      spans.set(key, span);
      if (isRejected) span.rejected = sum;
      else span.noToken = sum;
    }
  }
  if (spans.size > MAX_COUNTS) {
    throw new OperatorError(1, `${name} has more than ${MAX_COUNTS} hours. Split it.`);
  }
  const reason = 'hours of which a period is missing';
  const left = incomplete === 0 ? ignored : { ...ignored, [reason]: (ignored[reason] ?? 0) + incomplete };
  return { counts: [...spans.values()].map(toCount), instances: [], inventory: NO_INVENTORY, ignored: left };
}

/** Refuses a day's sum beside the sums of its hours, which would compare calls twice. */
function refuseOverlaps(name: string, hostId: string, starts: number[], lengthMs: number): void {
  starts.sort((a, b) => a - b);
  for (const [index, startMs] of starts.entries()) {
    const next = starts[index + 1];
    if (next !== undefined && next - startMs < lengthMs) {
      throw new OperatorError(
        1,
        `${name}: values of ${hostId} at ${new Date(startMs).toISOString()} overlap with the next value, so their period is not ${lengthMs / 1000} s. Set the period with --period-seconds.`,
      );
    }
  }
}

function toCount({ hostId, startMs, endMs, noToken, rejected }: Span): CloudCountInput {
  return {
    instance_id: hostId,
    start: new Date(startMs).toISOString(),
    end: new Date(endMs).toISOString(),
    // An instance has only one of the two metrics, depending on HttpTokens. Refused calls alone mean that
    // none succeeded.
    metadata_no_token: noToken ?? 0,
    metadata_no_token_rejected: rejected,
  };
}
