/** When a host was not watched within a window, and how much of that may be tolerated. */
import type { GapReason } from '../contract/host.ts';
import { HOUR_US, type Window } from '../contract/window.ts';
import type { HostCoverage, StoredGap } from '../store/store.ts';

/**
 * Reports come every minute unless set otherwise (at most hourly) and travel a moment; only then is a missing report a gap. What
 * lies between the last report and now is neither watched nor missing until then.
 */
export const REPORT_GRACE_US = 5 * 60_000_000;

/** Calls may be among what was lost, and are when the cloud counted them: no tolerance makes that unsaid. */
const NEVER_TOLERATED: ReadonlySet<GapReason> = new Set(['losses', 'cloud_saw_more', 'not_kept']);

export interface Watched {
  /** By start. */
  gaps: StoredGap[];
  windowUs: number;
  /** Gaps that overlap count once. */
  missingUs: number;
}

/** `now`: microseconds since 1970; a window that ends later than now ends now. */
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
    gaps.push(gap(span.sinceUs, span.untilUs, 'not_yet_watched', 'No report of coverage ever came.'));
  } else {
    if (firstUs > span.sinceUs) gaps.push(gap(span.sinceUs, firstUs, 'not_yet_watched', null));
    if (span.untilUs - lastUs > REPORT_GRACE_US) {
      gaps.push(gap(Math.max(lastUs, span.sinceUs), span.untilUs, 'no_report', null));
    }
    // A report cannot be from the future: its host's clock is ahead, and what it will say of the time until now is still to come.
    const aheadUs = lastUs - nowUs;
    if (aheadUs > REPORT_GRACE_US) {
      const detail = `The host's clock is ${Math.round(aheadUs / 1e6)} s ahead of the collector's.`;
      gaps.push(gap(Math.max(span.untilUs - aheadUs, span.sinceUs), span.untilUs, 'no_report', detail));
    }
  }
  const cut = gaps
    // Losses that a clock ahead of ours dates after now are losses of now.
    .map((item) => cutTo(item, span.sinceUs, span.untilUs))
    .filter(
      ({ startUs, endUs, reason }) => endUs > startUs || (NEVER_TOLERATED.has(reason) && endUs === startUs),
    )
    .sort((a, b) => a.startUs - b.startUs || a.endUs - b.endUs || (a.reason < b.reason ? -1 : 1));
  return { gaps: cut, windowUs: span.untilUs - span.sinceUs, missingUs: unionUs(cut) };
}

/** True where nothing stands against the word "watched": losses never may, other gaps up to the tolerance together. */
export function isCovered({ gaps }: Pick<Watched, 'gaps'>, toleranceUs: number): boolean {
  if (gaps.some(({ reason }) => NEVER_TOLERATED.has(reason))) return false;
  return unionUs(gaps) <= toleranceUs;
}

/** From when on a window of this length has no gap that counts, if no new one comes. Microseconds since 1970. */
export function coveredFromUs(gaps: readonly StoredGap[], windowUs: number, toleranceUs: number): number {
  let fromUs = Number.NEGATIVE_INFINITY;
  for (const { endUs, reason } of gaps) {
    if (NEVER_TOLERATED.has(reason)) fromUs = Math.max(fromUs, endUs + windowUs);
  }
  // The later the window begins, the less is missing from it: the first time that fits is searched for.
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

/** 0 to 100, rounded down to hundredths: 100 only where not a microsecond is missing. */
export function coveragePercent({ windowUs, missingUs }: Pick<Watched, 'windowUs' | 'missingUs'>): number {
  if (missingUs === 0) return 100;
  return windowUs === 0 ? 0 : Math.floor(((windowUs - missingUs) / windowUs) * 10_000) / 100;
}

/** Roll-ups are hourly: a call counts for as long as its hour is in the window. */
export function hourAfterUs(us: number): number {
  return (Math.floor(us / HOUR_US) + 1) * HOUR_US;
}

function gap(startUs: number, endUs: number, reason: GapReason, detail: string | null): StoredGap {
  return { startUs, endUs, reason, detail };
}

/** What was not watched of a gap may lie anywhere in it: the part of it that is left has all of it, as far as it fits. */
function cutTo(gap: StoredGap, sinceUs: number, untilUs: number): StoredGap {
  const startUs = Math.min(Math.max(gap.startUs, sinceUs), untilUs);
  const endUs = Math.min(gap.endUs, untilUs);
  return { ...gap, startUs, endUs, missingUs: Math.max(0, Math.min(missingOf(gap), endUs - startUs)) };
}

/** How much of a gap was not watched. */
export function missingOf({ startUs, endUs, missingUs }: StoredGap): number {
  return missingUs ?? endUs - startUs;
}

/** How much was not watched: never more than the gaps cover together. Gaps without anything watched in them count once where they overlap. */
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
