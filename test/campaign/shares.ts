/** Which fault costs how many calls. Values in, values out. */
import type { AnsweredCall } from './judge.ts';
import type { FaultKind } from './plan.ts';

/** From `fromMs` of the machine's clock on, the host's clock was off by `offsetMs`. */
export interface ClockPeriod {
  fromMs: number;
  offsetMs: number;
}

/** A fault that was carried out, and when it began by the machine's clock. */
export interface BegunFault {
  kind: FaultKind;
  atMs: number;
}

export interface Share {
  kind: FaultKind | 'none';
  faults: number;
  /** Calls since such a fault began and before the next fault did: that are missing and lie in a gap. */
  missing: number;
  /** Those that are stored and lie in a gap: the gap says less than it could. */
  stored: number;
}

export interface SharedCall {
  call: AnsweredCall;
  fate: 'stored' | 'stored in a gap' | 'missing';
}

/** The log is almost in order of time: a call may stand so much too late in it. */
const ORDER_MS = 100;

/** `calls` are in the order in which the service saw them, `periods` and `faults` in the order of time. Most missing first. */
export function sharesOf(
  calls: readonly SharedCall[],
  periods: readonly ClockPeriod[],
  faults: readonly BegunFault[],
): Share[] {
  const shares = new Map<Share['kind'], Share>();
  const shareOf = (kind: Share['kind']) => {
    const share = shares.get(kind) ?? { kind, faults: 0, missing: 0, stored: 0 };
    shares.set(kind, share);
    return share;
  };
  for (const { kind } of faults) shareOf(kind).faults += 1;
  const times = machineTimes(
    calls.map(({ call }) => call.timeMs),
    periods,
  );
  for (const [index, { fate }] of calls.entries()) {
    if (fate === 'stored') continue;
    const latest = faults.findLast(({ atMs }) => atMs <= times[index]!);
    shareOf(latest?.kind ?? 'none')[fate === 'missing' ? 'missing' : 'stored'] += 1;
  }
  return [...shares.values()].sort((a, b) => b.missing - a.missing || b.stored - a.stored);
}

/** Returns the machine's time of each time of the host's clock: a clock that was set back shows a time twice. */
export function machineTimes(shownMs: readonly number[], periods: readonly ClockPeriod[]): number[] {
  let current = 0;
  let reachedMs = Number.NEGATIVE_INFINITY;
  return shownMs.map((timeMs) => {
    const offsetOf = (index: number) => periods[index]?.offsetMs ?? 0;
    for (let index = current; index < periods.length; index += 1) {
      const realMs = timeMs - offsetOf(index);
      const endMs = periods[index + 1]?.fromMs ?? Number.POSITIVE_INFINITY;
      if (realMs < reachedMs - ORDER_MS || realMs >= endMs + ORDER_MS) continue;
      current = index;
      reachedMs = Math.max(reachedMs, realMs);
      return realMs;
    }
    return timeMs - offsetOf(current);
  });
}
