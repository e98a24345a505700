/** Schemas of the answers to "what to fix first" and "how does it go". */
import * as z from 'zod';
import { severity } from './offender.ts';
import { triage } from './triage.ts';
import { time, window } from './window.ts';

/** One workload to fix, after those before it in the list. */
export const fix = z.object({
  id: z.string().regex(/^[0-9a-f]{16}$/),
  title: z.string(),
  severity,
  triage,
  /** Held hosts on which it made IMDSv1 calls. */
  hosts: z.int(),
  /** Hosts that this fix frees after those before it; 0 for one that frees only together with the next. */
  frees: z.int(),
  /** Hosts that this fix and those before it free. */
  freed: z.int(),
  /** Those of `freed` that were watched all the time: they become ready when the window has passed. */
  freed_watched: z.int(),
  /** Groups of which this fix and those before it free the last held host, and that have no instance without an agent. */
  freed_groups: z.int(),
});

export const fixFirst = z.object({
  /** The readiness window: the same as that of the hosts' verdicts. */
  window,
  /** When the hosts were judged. Everything that was stored before counts. Triage is always that of now. */
  as_of: time,
  /** Held hosts: `blocked` and `fallback`. Their IMDSv1 calls keep tokens from being required. */
  held_hosts: z.int(),
  /** Held hosts on which every caller is marked as fixed: they wait for the window to pass. */
  waiting_hosts: z.int(),
  /** Held hosts with a caller that has an exception. No fix of another workload frees them. */
  excepted_hosts: z.int(),
  /** Held hosts with a caller whose program is not known. It must be found before it can be fixed. */
  unidentified_hosts: z.int(),
  /** Groups with a held host that does not wait: Auto Scaling groups, launch templates, node groups, images. */
  held_groups: z.int(),
  /**
   * Those of `held_groups` with an instance of which no agent has reported. Nobody knows what it calls, so no fix
   * frees the group.
   */
  agentless_groups: z.int(),
  /** In the order in which to fix them. */
  fixes: z.array(fix),
});

const forecast = z.object({
  /** `reached`: the last whole week had none. `unknown`: see `reason`. */
  kind: z.enum(['reached', 'expected', 'unknown']),
  /**
   * `too_few_weeks`: fewer than four whole weeks are stored. `fleet_changed`: the number of watched hosts changed by
   * more than a tenth. `not_falling`: no clear fall. `overdue`: by the line there should be none. `too_far`: in more
   * than two years.
   */
  reason: z.enum(['too_few_weeks', 'fleet_changed', 'not_falling', 'overdue', 'too_far']).nullable(),
  /** When the line through the weeks reaches zero. */
  expected: time.nullable(),
  /** It does so between these times with a probability of 80 %. `latest` null: later than in two years. */
  earliest: time.nullable(),
  latest: time.nullable(),
});

export const burnDown = z.object({
  /** Days for which a call counts: the readiness window. */
  window_days: z.int(),
  /** By day of UTC, oldest first, today last. */
  days: z.array(
    z.object({
      day: time,
      /** Hosts with an IMDSv1 call in the window that ends with this day. */
      hosts: z.int(),
      offenders: z.int(),
      /** False where the window begins before the first stored day: the numbers can be too low. */
      complete: z.boolean(),
    }),
  ),
  /** Whole weeks, oldest first, at most 12: what the forecast is made from. */
  weeks: z.array(
    z.object({ from: time, to: time, hosts: z.int(), offenders: z.int(), watched_hosts: z.int() }),
  ),
  /** When the last IMDSv1 call is expected. A host becomes ready one window after its last call. */
  forecast: z.object({ hosts: forecast, offenders: forecast }),
});

export type Fix = z.infer<typeof fix>;
export type FixFirst = z.infer<typeof fixFirst>;
export type BurnDown = z.infer<typeof burnDown>;
export type BurnDownForecast = z.infer<typeof forecast>;
