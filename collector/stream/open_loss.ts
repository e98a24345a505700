/** Tells whether the capture of a host loses something. Pure; times are microseconds since 1970. */
import { COVERAGE_RECOVERED_US } from '../alert/host_rules.ts';
import type { StoredGap } from '../store/store.ts';

/** Losses of which each began before the capture had recovered from the one before. */
export interface OpenLoss {
  /** Begin of the first of them. */
  startUs: number;
  last: StoredGap;
}

/** Returns whether the capture has not recovered from a loss that ended then. */
export function isLossOpen(endUs: number, nowUs: number): boolean {
  return nowUs - endUs < COVERAGE_RECOVERED_US;
}

/** Returns the latest losses of a host; null where there is none. */
export function lossOf(gaps: readonly StoredGap[]): OpenLoss | null {
  const losses = gaps
    .filter(({ reason }) => reason === 'losses' || reason === 'capture_not_live')
    .sort((a, b) => b.endUs - a.endUs);
  const [last, ...earlier] = losses;
  if (last === undefined) return null;
  let { startUs } = last;
  for (const gap of earlier) {
    if (startUs - gap.endUs >= COVERAGE_RECOVERED_US) break;
    startUs = Math.min(startUs, gap.startUs);
  }
  return { startUs, last };
}
