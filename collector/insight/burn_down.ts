/** Counts hosts and workloads that call IMDSv1 over time, by day and by week. Pure. */
import type { BurnDown } from '../contract/fix_first.ts';
import { DAY_US } from '../contract/window.ts';
import type { ReportedDays } from '../store/store.ts';
import { toTimestamp } from '../store/time.ts';
import { type Forecast, forecastOf, MAX_WEEKS } from './forecast.ts';

const WEEK_DAYS = 7;

/** One day of UTC with IMDSv1 calls. `day`: days since 1970. Callers are small numbers, each once. */
export interface CallingDay {
  day: number;
  callers: Uint32Array;
}

export interface BurnDownEvidence {
  hosts: readonly CallingDay[];
  workloads: readonly CallingDay[];
  /** First day of which every hour can be stored; null where nothing is stored. */
  firstDay: number | null;
  /** The day that goes on. */
  today: number;
  /** Days of the chart. */
  days: number;
  /** Days for which a call holds its host: the readiness window. */
  windowDays: number;
  /** Hosts by the first and the last day on which they reported. */
  reported: readonly ReportedDays[];
}

export function burnDownOf(evidence: BurnDownEvidence): BurnDown {
  const { firstDay, today, days, windowDays, reported } = evidence;
  const from = Math.max(today - days + 1, firstDay ?? today + 1);
  const hosts = countRolling(evidence.hosts, from, today, windowDays);
  const workloads = countRolling(evidence.workloads, from, today, windowDays);
  const weeks: BurnDown['weeks'] = [];
  for (let end = today; weeks.length < MAX_WEEKS; end -= WEEK_DAYS) {
    const start = end - WEEK_DAYS;
    if (firstDay === null || start < firstDay) break;
    weeks.unshift({
      from: timeOf(start),
      to: timeOf(end),
      hosts: countDistinct(evidence.hosts, start, end),
      offenders: countDistinct(evidence.workloads, start, end),
      watched_hosts: reported
        .filter((span) => span.firstDay < end && span.lastDay >= start)
        .reduce((sum, { hosts }) => sum + hosts, 0),
    });
  }
  const forecast = (count: (week: BurnDown['weeks'][number]) => number) =>
    describe(forecastOf(weeks.map((week) => ({ count: count(week), watched: week.watched_hosts }))), today);
  return {
    window_days: windowDays,
    days: hosts.map((count, index) => ({
      day: timeOf(from + index),
      hosts: count,
      offenders: workloads[index]!,
      // Before a whole window is stored, calls that held hosts then may be missing.
      complete: firstDay !== null && from + index - windowDays + 1 >= firstDay,
    })),
    weeks,
    forecast: { hosts: forecast((week) => week.hosts), offenders: forecast((week) => week.offenders) },
  };
}

/** Returns for each day the number of callers of the `span` days that end with it. */
function countRolling(called: readonly CallingDay[], from: number, to: number, span: number): number[] {
  const byDay = new Map(called.map(({ day, callers }) => [day, callers]));
  const inSpan = new Uint32Array(sizeFor(called));
  let distinct = 0;
  const counts: number[] = [];
  for (let day = from - span + 1; day <= to; day++) {
    for (const caller of byDay.get(day) ?? []) if (inSpan[caller]!++ === 0) distinct++;
    // Days before the first one were never counted.
    if (day > from) {
      for (const caller of byDay.get(day - span) ?? []) if (--inSpan[caller]! === 0) distinct--;
    }
    if (day >= from) counts.push(distinct);
  }
  return counts;
}

function countDistinct(called: readonly CallingDay[], from: number, to: number): number {
  const seen = new Uint8Array(sizeFor(called));
  let distinct = 0;
  for (const { day, callers } of called) {
    if (day < from || day >= to) continue;
    for (const caller of callers) {
      if (seen[caller] === 0) distinct++;
      seen[caller] = 1;
    }
  }
  return distinct;
}

/** Returns the length of an array that has a place for every caller. */
function sizeFor(called: readonly CallingDay[]): number {
  return called.reduce(
    (most, { callers }) => callers.reduce((top, each) => Math.max(top, each + 1), most),
    0,
  );
}

function describe(forecast: Forecast, today: number): BurnDown['forecast']['hosts'] {
  const unknown = { reason: null, expected: null, earliest: null, latest: null };
  switch (forecast.kind) {
    case 'reached':
      return { ...unknown, kind: 'reached' };
    case 'unknown':
      return { ...unknown, kind: 'unknown', reason: forecast.reason };
    case 'expected': {
      const at = (weeks: number) => timeOf(Math.round(today + weeks * WEEK_DAYS));
      return {
        kind: 'expected',
        reason: null,
        expected: at(forecast.weeks),
        earliest: at(forecast.earliest),
        latest: forecast.latest === null ? null : at(forecast.latest),
      };
    }
  }
}

function timeOf(day: number): string {
  return toTimestamp(day * DAY_US);
}
