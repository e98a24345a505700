/** When a host was not watched within a window, and how much of that may be tolerated. */
import type { GapReason } from '../contract/host.ts';
import { HOUR_US, type Window } from '../contract/window.ts';
import type { HostCoverage, StoredGap } from '../store/store.ts';

/**
 * A missing report is a gap only after this time, because reports come every minute by default (at most every
 * hour) and take a moment to arrive. Until then the time since the last report counts neither as watched nor
 * as missing.
 */
export const REPORT_GRACE_US = 5 * 60_000_000;

/** Such a gap may hide calls, and does if the cloud counted them. No tolerance makes it acceptable. */
const NEVER_TOLERATED: ReadonlySet<GapReason> = new Set(['losses', 'cloud_saw_more', 'not_kept']);

export function isNeverTolerated(reason: GapReason): boolean {
  return NEVER_TOLERATED.has(reason);
}

export interface Watched {
  /** Sorted by start. */
  gaps: StoredGap[];
  windowUs: number;
  /** Gaps that overlap count once. */
  missingUs: number;
}

/**
 * Returns the gaps of a window. A window that ends later than `nowUs` (microseconds since 1970) is cut there.
 */
export function watchedOf(
  coverage: HostCoverage | null,
  cloudGaps: readonly StoredGap[],
  window: Window,
  nowUs: number,
): Watched {
  const untilUs = Math.min(window.untilUs, nowUs);
  const span = { sinceUs: Math.min(window.sinceUs, untilUs), untilUs };
  const gaps: StoredGap[] = [...cloudGaps, ...(coverage?.gaps ?? [])];
  const firstUs = coverage?.firstUs ?? null;
  const lastUs = coverage?.lastUs ?? null;
  if (firstUs === null || lastUs === null) {
    gaps.push(gap(span.sinceUs, span.untilUs, 'not_yet_watched', 'No coverage report has ever arrived.'));
  } else {
    if (firstUs > span.sinceUs) gaps.push(gap(span.sinceUs, firstUs, 'not_yet_watched', null));
    if (span.untilUs - lastUs > REPORT_GRACE_US) {
      gaps.push(gap(Math.max(lastUs, span.sinceUs), span.untilUs, 'no_report', null));
    }
    // A report with a time after now means that the host's clock is ahead. Its report on the time until now
    // is still to come.
    const aheadUs = lastUs - nowUs;
    if (aheadUs > REPORT_GRACE_US) {
      const detail = `The host's clock is ${Math.round(aheadUs / 1e6)} s ahead of the collector's.`;
      gaps.push(gap(Math.max(span.untilUs - aheadUs, span.sinceUs), span.untilUs, 'no_report', detail));
    }
  }
  const cut = gaps
    // Losses that a clock ahead of ours dates after now count as losses of now.
    .map((item) => cutTo(item, span.sinceUs, span.untilUs))
    .filter(
      ({ startUs, endUs, reason }) => endUs > startUs || (NEVER_TOLERATED.has(reason) && endUs === startUs),
    )
    .sort(inOrder);
  return { gaps: cut, windowUs: span.untilUs - span.sinceUs, missingUs: unionUs(cut) };
}

/** Orders gaps by their times, then by all that they say, so that the order of the store's rows changes nothing. */
function inOrder(a: StoredGap, b: StoredGap): number {
  return (
    a.startUs - b.startUs ||
    a.endUs - b.endUs ||
    ascending(a.reason, b.reason) ||
    missingOf(b) - missingOf(a) ||
    ascending(a.detail ?? '', b.detail ?? '')
  );
}

function ascending(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/**
 * Returns true if the window counts as watched: there are no losses, and all other gaps together are within
 * the tolerance.
 */
export function isCovered({ gaps }: Pick<Watched, 'gaps'>, toleranceUs: number): boolean {
  let sumUs = 0;
  for (const gap of gaps) {
    if (NEVER_TOLERATED.has(gap.reason)) return false;
    sumUs += Math.max(0, missingOf(gap));
  }
  // The union is never longer than the sum, and most hosts have a few seconds of gaps.
  return sumUs <= toleranceUs || unionUs(gaps) <= toleranceUs;
}

/**
 * Returns the end of the first window of this length that counts as watched if no new gap comes. Microseconds
 * since 1970.
 */
export function coveredFromUs(gaps: readonly StoredGap[], windowUs: number, toleranceUs: number): number {
  let fromUs = Number.NEGATIVE_INFINITY;
  for (const { endUs, reason } of gaps) {
    if (NEVER_TOLERATED.has(reason)) fromUs = Math.max(fromUs, endUs + windowUs);
  }
  // The later the window begins, the less is missing from it, so a binary search finds the first start that
  // fits.
  const starts = gaps.map(({ startUs }) => startUs);
  let tooEarlyUs = Math.min(...starts) - 1;
  if (gaps.length === 0 || unionUs(gaps) <= toleranceUs) return fromUs;
  let lateEnoughUs = Math.max(...gaps.map(({ endUs }) => endUs));
  while (lateEnoughUs - tooEarlyUs > 1) {
    const middleUs = Math.floor((tooEarlyUs + lateEnoughUs) / 2);
    if (unionUs(gaps.map((gap) => cutTo(gap, middleUs, Number.MAX_SAFE_INTEGER))) <= toleranceUs) {
      lateEnoughUs = middleUs;
    } else tooEarlyUs = middleUs;
  }
  return Math.max(fromUs, lateEnoughUs + windowUs);
}

/** Returns 0 to 100, rounded down to hundredths. It is 100 only if not a microsecond is missing. */
export function coveragePercent({ windowUs, missingUs }: Pick<Watched, 'windowUs' | 'missingUs'>): number {
  if (missingUs === 0) return 100;
  return windowUs === 0 ? 0 : Math.floor(((windowUs - missingUs) / windowUs) * 10_000) / 100;
}

/**
 * Returns the end of the hour. Roll-ups are hourly, so a call counts as long as its hour is in the window.
 */
export function hourAfterUs(us: number): number {
  return (Math.floor(us / HOUR_US) + 1) * HOUR_US;
}

function gap(startUs: number, endUs: number, reason: GapReason, detail: string | null): StoredGap {
  return { startUs, endUs, reason, detail };
}

/**
 * Cuts a gap to a span. The unwatched part may lie anywhere in the gap, so the part that is left keeps as
 * much of it as fits.
 */
function cutTo(gap: StoredGap, sinceUs: number, untilUs: number): StoredGap {
  const startUs = Math.min(Math.max(gap.startUs, sinceUs), untilUs);
  const endUs = Math.min(gap.endUs, untilUs);
  return { ...gap, startUs, endUs, missingUs: Math.max(0, Math.min(missingOf(gap), endUs - startUs)) };
}

/** Returns how many microseconds of a gap were not watched. */
export function missingOf({ startUs, endUs, missingUs }: StoredGap): number {
  return missingUs ?? endUs - startUs;
}

/**
 * Returns how many microseconds were not watched: never more than the gaps cover together. Gaps that are
 * unwatched as a whole count once where they overlap.
 */
function unionUs(gaps: readonly StoredGap[]): number {
  const whole = gaps.filter((gap) => missingOf(gap) >= gap.endUs - gap.startUs);
  const partial = gaps.filter((gap) => missingOf(gap) < gap.endUs - gap.startUs);
  const sumUs = partial.reduce((sum, gap) => sum + missingOf(gap), 0);
  return Math.min(lengthOf(gaps), lengthOf(whole) + sumUs);
}

function lengthOf(gaps: readonly StoredGap[]): number {
  let sumUs = 0;
  let reachedUs = Number.NEGATIVE_INFINITY;
  for (const { startUs, endUs } of gaps.toSorted((a, b) => a.startUs - b.startUs)) {
    if (endUs <= Math.max(reachedUs, startUs)) continue;
    sumUs += endUs - Math.max(startUs, reachedUs);
    reachedUs = endUs;
  }
  return sumUs;
}
