/** Schemas of alerts: one event about an offender, a host, a group or a plan, with the thing that it is about. */
import * as z from 'zod';
import { hostRef } from './offender.ts';
import { time } from './window.ts';

export const alertRule = z.enum([
  'new_offender',
  'credentials_over_v1',
  'host_not_ready',
  'host_silent',
  'coverage_lost',
  'group_ready',
  'group_not_ready',
  'offender_reopened',
  'exception_ended',
  'enforcement_undone',
  'plan_rolled_back',
  'plan_held',
  'plan_ended',
  'plan_unattended',
]);

/** Longest key of deduplication. It is the limit of PagerDuty's Events API v2. */
export const MAX_DEDUP_KEY_CHARACTERS = 255;

/** The thing that an alert is about. */
export const alertObject = z.object({
  type: z.enum(['offender', 'host', 'group', 'plan']),
  id: z.string(),
  name: z.string(),
  /** The account, where there is exactly one. */
  account: z.string().nullable(),
  /** The region, where there is exactly one. */
  region: z.string().nullable(),
  /** All accounts and regions in which an offender or a group was seen. */
  accounts: z.array(z.string()),
  regions: z.array(z.string()),
  /** Tags of a host; empty for everything else. */
  tags: z.record(z.string(), z.string()),
  /** Team or person that is responsible; null where nobody is known. */
  owner: z.string().nullable(),
});

export const alert = z.object({
  id: z.uuid(),
  rule: alertRule,
  /** Id of the offender, host, group or plan that the alert is about; `summary` where it stands for many. */
  subject: z.string(),
  /** The same for every alert about one condition: that it began, goes on or is over. */
  dedup_key: z.string().max(MAX_DEDUP_KEY_CHARACTERS),
  /** `resolved`: what an earlier alert with this `dedup_key` has reported is over. */
  state: z.enum(['firing', 'resolved']),
  /** False: the alert reports an event, which has no end. No alert with `resolved` follows. */
  ends: z.boolean(),
  time,
  /** When the condition was first reported; null where that is not known any more. */
  started: time.nullable(),
  /** When a condition that is over was found to be over. */
  ended: time.nullable(),
  /** An alert that says that a condition is over has the severity of the condition. */
  severity: z.enum(['critical', 'warning', 'info']),
  title: z.string(),
  text: z.string(),
  /** Link to the page; null where the collector does not know its own address. */
  link: z.string().nullable(),
  /** Null for a summary, for a test, and for an alert of an earlier release. */
  object: alertObject.nullable(),
  /** Hosts that are concerned: of an offender those that called last, at most 10. */
  hosts: z.array(hostRef),
});

export type AlertRule = z.infer<typeof alertRule>;
export type AlertObject = z.infer<typeof alertObject>;
export type Alert = z.infer<typeof alert>;
