/** Works out growth between two readings. Pure. */
import { regressionLine } from '../collector/regression.ts';
import type { EndingResult, Growth } from './results.ts';
import type { Processors } from './stage.ts';

/** Returns what processes have used since. Those that have ended do not count. */
export function secondsSince(before: Processors, after: Processors): EndingResult['cpu_seconds'] {
  const grown = <T>(now: ReadonlyMap<T, number>, then: ReadonlyMap<T, number>) =>
    sum([...now].map(([process, seconds]) => seconds - (then.get(process) ?? 0)));
  return {
    collectors: grown(after.collectors, before.collectors),
    haproxy: grown(after.haproxy, before.haproxy),
  };
}

/** Returns the slope of a line through samples of memory. Throws for fewer than three. */
export function growthOf<T extends { second: number }>(
  samples: readonly T[],
  bytesOf: (sample: T) => number,
): Growth {
  const points = samples.map((sample) => ({ at: sample.second / 3600, value: bytesOf(sample) }));
  const { slope, slopeError } = regressionLine(points);
  return { bytes_per_hour: slope, error_bytes_per_hour: slopeError };
}

export function sum(values: readonly number[]): number {
  return values.reduce((all, value) => all + value, 0);
}
