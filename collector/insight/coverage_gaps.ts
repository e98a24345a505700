/** When a host was not watched within a window, and how much of that may be tolerated. */
import type { GapReason } from '../model/host.ts';
import { HOUR_US, type Window } from '../model/window.ts';
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
    .map((item) => ({
      ...item,
      // Losses that a clock ahead of ours dates after now are losses of now.
      startUs: Math.min(Math.max(item.startUs, span.sinceUs), span.untilUs),
      endUs: Math.min(item.endUs, span.untilUs),
    }))
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
  let toleratedUs = 0;
  for (const { startUs, endUs } of merged(gaps).reverse()) {
    if (toleratedUs + endUs - startUs > toleranceUs) {
      // The window must begin so late in this gap that the rest of it fits the tolerance.
      return Math.max(fromUs, endUs - (toleranceUs - toleratedUs) + windowUs);
    }
    toleratedUs += endUs - startUs;
  }
  return fromUs;
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

function unionUs(gaps: readonly StoredGap[]): number {
  return merged(gaps).reduce((sum, { startUs, endUs }) => sum + endUs - startUs, 0);
}

function merged(gaps: readonly StoredGap[]): { startUs: number; endUs: number }[] {
  const spans: { startUs: number; endUs: number }[] = [];
  for (const { startUs, endUs } of gaps.toSorted((a, b) => a.startUs - b.startUs)) {
    const last = spans.at(-1);
    if (last !== undefined && startUs <= last.endUs) last.endUs = Math.max(last.endUs, endUs);
    else spans.push({ startUs, endUs });
  }
  return spans;
}
