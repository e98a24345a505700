/** Groups unexplained calls into runs, each with the gaps before and after it. Values in, values out. */
import type { AnsweredCall, Span } from './judge.ts';

/** Calls that are no further apart are one run. */
const SAME_RUN_MS = 1_500;

export function explain(unexplained: readonly AnsweredCall[], gaps: readonly Span[]): string[] {
  const runs: AnsweredCall[][] = [];
  for (const call of unexplained.toSorted((a, b) => a.timeMs - b.timeMs)) {
    const run = runs.at(-1);
    if (run !== undefined && call.timeMs - run.at(-1)!.timeMs <= SAME_RUN_MS) run.push(call);
    else runs.push([call]);
  }
  return runs.map((run) => describeRun(run, gaps));
}

function describeRun(run: readonly AnsweredCall[], gaps: readonly Span[]): string {
  const [first, last] = [run[0]!, run.at(-1)!];
  const before = gaps.filter(({ toMs }) => toMs < first.timeMs).sort((a, b) => b.toMs - a.toMs)[0];
  const after = gaps.filter(({ fromMs }) => fromMs > last.timeMs).sort((a, b) => a.fromMs - b.fromMs)[0];
  const v1 = run.filter(({ version }) => version === 1).length;
  const numbers = run.slice(0, 3).map(({ number }) => number);
  return [
    `${v1} IMDSv1 and ${run.length - v1} IMDSv2 calls (number ${numbers.join(', ')} …)`,
    `from ${timeText(first.timeMs)} to ${timeText(last.timeMs)}`,
    before === undefined
      ? 'no gap before'
      : `${first.timeMs - before.toMs} ms after a gap of ${before.reason}`,
    after === undefined ? 'no gap after' : `${after.fromMs - last.timeMs} ms before a gap of ${after.reason}`,
  ].join(', ');
}

function timeText(ms: number): string {
  return new Date(ms).toISOString();
}

export interface TimeInGaps {
  reason: string;
  count: number;
  ms: number;
  /** Covers the time between the first call and the last one. */
  percent: number;
}

/** Returns how much of the time of these calls lies in gaps of each reason, and in any; most first. */
export function timeInGaps(gaps: readonly Span[], calls: readonly AnsweredCall[]): TimeInGaps[] {
  const times = calls.map(({ timeMs }) => timeMs);
  // A list of every call is too long to be the arguments of a function.
  const fromMs = times.reduce((least, time) => Math.min(least, time), Number.POSITIVE_INFINITY);
  const toMs = times.reduce((most, time) => Math.max(most, time), Number.NEGATIVE_INFINITY);
  const within = gaps
    .map((gap) => ({ ...gap, fromMs: Math.max(gap.fromMs, fromMs), toMs: Math.min(gap.toMs, toMs) }))
    .filter((gap) => gap.toMs >= gap.fromMs);
  const timeOf = (reason: string, spans: readonly Span[]): TimeInGaps => {
    const ms = unionMs(spans);
    return { reason, count: spans.length, ms, percent: Math.round((ms / (toMs - fromMs)) * 100) };
  };
  const byReason = Map.groupBy(within, ({ reason }) => reason.split(' ')[0]!);
  const each = [...byReason].map(([reason, spans]) => timeOf(reason, spans));
  return [timeOf('all', within), ...each.sort((a, b) => b.ms - a.ms)];
}

function unionMs(spans: readonly Span[]): number {
  let sumMs = 0;
  let reachedMs = Number.NEGATIVE_INFINITY;
  for (const { fromMs, toMs } of spans.toSorted((a, b) => a.fromMs - b.fromMs)) {
    sumMs += Math.max(0, toMs - Math.max(fromMs, reachedMs));
    reachedMs = Math.max(reachedMs, toMs);
  }
  return sumMs;
}
