/** The span of time that a question is about. */
import * as z from 'zod';

/** Microseconds since 1970. Roll-ups are hourly, so sums begin with the hour of `sinceUs`. Lists of calls are exact. */
export interface Window {
  sinceUs: number;
  untilUs: number;
}

export const HOUR_US = 3_600_000_000;
export const DAY_US = 24 * HOUR_US;

/** RFC 3339, UTC. */
export const time = z.string();
export const window = z.object({ from: time, to: time });

/** One bar of a timeline: calls from `time` until the next point. */
export const timelinePoint = z.object({
  time,
  v1: z.int(),
  /** IMDSv1 calls among them that returned role credentials. */
  v1_credentials: z.int(),
  v2: z.int(),
});
export const timeline = z.object({ bucket_seconds: z.int(), points: z.array(timelinePoint) });
export type Timeline = z.infer<typeof timeline>;
