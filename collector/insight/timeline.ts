/**
 * Divides a window into equal parts with the calls of each, for the bars of a chart. Parts without calls have
 * zeroes.
 */
import { DAY_US, HOUR_US, type Timeline, type Window } from '../contract/window.ts';
import type { SeriesPoint } from '../store/store.ts';
import { toTimestamp } from '../store/time.ts';

/** A window that is not longer than this is shown by the hour. */
const MAX_HOURLY_US = 3 * DAY_US;
const MAX_POINTS = 120;

export interface Buckets {
  /** The unit of the sums that the store returns. */
  bucket: 'hour' | 'day';
  /** One or more units. */
  widthUs: number;
  startUs: number;
  count: number;
}

export function bucketsOf({ sinceUs, untilUs }: Window): Buckets {
  const spanUs = Math.max(untilUs - sinceUs, 1);
  const bucket = spanUs <= MAX_HOURLY_US ? 'hour' : 'day';
  const unitUs = bucket === 'hour' ? HOUR_US : DAY_US;
  const startUs = Math.floor(sinceUs / unitUs) * unitUs;
  const units = Math.ceil((Math.max(untilUs, startUs + 1) - startUs) / unitUs);
  const widthUs = Math.ceil(units / MAX_POINTS) * unitUs;
  return { bucket, widthUs, startUs, count: Math.ceil((units * unitUs) / widthUs) };
}

export function timelineOf(points: readonly SeriesPoint[], buckets: Buckets): Timeline {
  const { startUs, widthUs, count } = buckets;
  const bars = Array.from({ length: count }, (_, index) => ({
    time: toTimestamp(startUs + index * widthUs),
    v1: 0,
    v1_credentials: 0,
    v2: 0,
  }));
  for (const point of points) {
    const bar = bars[Math.floor((point.startUs - startUs) / widthUs)];
    if (bar === undefined) continue;
    bar.v1 += point.v1;
    bar.v1_credentials += point.v1Credentials;
    bar.v2 += point.v2;
  }
  return { bucket_seconds: widthUs / 1_000_000, points: bars };
}

/** Returns the IMDSv1 calls of each workload in each part. */
export function trendsOf(
  points: readonly Pick<SeriesPoint, 'identity' | 'startUs' | 'v1'>[],
  buckets: Buckets,
): Map<string, number[]> {
  const trends = new Map<string, number[]>();
  for (const { identity, startUs, v1 } of points) {
    if (identity === null || v1 === 0) continue;
    const trend = trends.get(identity) ?? new Array<number>(buckets.count).fill(0);
    trends.set(identity, trend);
    const index = Math.floor((startUs - buckets.startUs) / buckets.widthUs);
    if (index >= 0 && index < trend.length) trend[index]! += v1;
  }
  return trends;
}
