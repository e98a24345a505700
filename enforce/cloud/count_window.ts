/** Cuts the window of the counts into whole days and the hours at both ends. Pure. */
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** CloudWatch may still add to a period for some minutes after its end. */
const SETTLING_MS = 15 * 60_000;
/** A sync of many accounts and regions takes minutes. */
const QUERY_MS = 30 * 60_000;

export interface CountSpan {
  sinceMs: number;
  untilMs: number;
  periodSeconds: 3600 | 86_400;
}

/** Returns spans from the oldest to the newest. The last hour ended a quarter of an hour ago or earlier. */
export function countSpans(nowMs: number, days: number): CountSpan[] {
  const untilMs = Math.floor((nowMs - SETTLING_MS) / HOUR_MS) * HOUR_MS;
  // Metrics Insights looks back from the moment of the query, which is a little later.
  const sinceMs = Math.ceil((nowMs + QUERY_MS - days * DAY_MS) / HOUR_MS) * HOUR_MS;
  const firstDayMs = Math.ceil(sinceMs / DAY_MS) * DAY_MS;
  const lastDayMs = Math.floor(untilMs / DAY_MS) * DAY_MS;
  const spans: CountSpan[] =
    firstDayMs < lastDayMs
      ? [
          { sinceMs, untilMs: firstDayMs, periodSeconds: 3600 },
          { sinceMs: firstDayMs, untilMs: lastDayMs, periodSeconds: 86_400 },
          { sinceMs: lastDayMs, untilMs, periodSeconds: 3600 },
        ]
      : [{ sinceMs, untilMs, periodSeconds: 3600 }];
  return spans.filter((span) => span.sinceMs < span.untilMs);
}
