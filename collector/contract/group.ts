/** A group of instances: whether tokens can be required for all of it, and why not. */
import * as z from 'zod';
import { verdict, verdictCounts } from './host.ts';
import { hostRef } from './offender.ts';
import { time, window } from './window.ts';

/**
 * Why a group is not proven:
 * - `members_outside_scope`: it has members that are not in the scope of whoever asks. Nothing else is said of these.
 * - `window_not_full`: its hosts have not been watched for a whole window yet, or older records were deleted.
 * - `no_inventory`: the cloud's inventory is missing or too old, so that a member without an agent would not
 *   be known.
 * - `no_agent`: the cloud names a member of which no agent has reported.
 * - `cloud_saw_more`: the cloud counted calls without a token that no agent saw.
 * - `losses`: something was lost, or not kept.
 * - `silent`: a member stopped reporting, and the cloud does not say that it ended.
 * - `end_unknown`: a member ended, and the cloud does not say when.
 * - `launch_unknown`: a member came within the window, and the cloud does not say when.
 * - `boot_not_counted`: the time before the first report of a boot, for which the cloud's count is missing.
 * - `not_watched`: gaps of a member that exceed the tolerance.
 * - `starts_missing`: fewer than three starts were seen with today's image and template version.
 */
export const groupProblemCode = z.enum([
  'members_outside_scope',
  'window_not_full',
  'no_inventory',
  'no_agent',
  'cloud_saw_more',
  'losses',
  'silent',
  'end_unknown',
  'launch_unknown',
  'boot_not_counted',
  'not_watched',
  'starts_missing',
]);

export const groupProblem = z.object({
  code: groupProblemCode,
  /** Members that it concerns; 0 where it concerns the group as a whole. */
  members: z.int(),
  text: z.string(),
  /** The first ten of them. */
  examples: z.array(hostRef),
});

/** Starts that were seen of what instances are launched from now. */
export const groupStarts = z.object({
  /** An Auto Scaling group, else a launch template, else an image, else a host. */
  launcher: z.string(),
  image_id: z.string().nullable(),
  template_version: z.string().nullable(),
  seen: z.int(),
  needed: z.int(),
});

export const groupOffender = z.object({
  id: z.string(),
  title: z.string(),
  hosts: z.int(),
  calls_v1: z.int(),
  last_v1: time,
});

export const group = z.object({
  /**
   * `asg:NAME`, `template:ID`, `image:ID`, `eks-nodegroup:NAME`, `tag:KEY=VALUE`, `account:`, `region:`,
   * `zone:`, `type:`.
   */
  id: z.string(),
  /**
   * The attribute: `asg`, `template`, `image`, `eks-nodegroup`, `tag:KEY`, `account`, `region`, `zone`,
   * `type`.
   */
  by: z.string(),
  value: z.string(),
  accounts: z.array(z.string()),
  regions: z.array(z.string()),
  /** About all members of the window, also those that are gone. `ready` includes what runs at boot. */
  verdict,
  reason: z.string(),
  window,
  /** All instances that belonged to the group in the window. */
  members: z.int(),
  /** Those that run now. */
  running: z.int(),
  /** Those that were watched for their whole life, boot included. */
  watched: z.int(),
  /** Those that called without a token. One is enough to block the group. */
  offending: z.int(),
  calls_v1: z.int(),
  /** The workloads that called without a token, most hosts first: at most 100. */
  offenders: z.array(groupOffender),
  problems: z.array(groupProblem),
  /** A start was seen of everything that launches instances of the group now. */
  start_seen: z.boolean(),
  starts: z.array(groupStarts),
  /** Names what the verdict cannot rule out. */
  limits: z.array(z.string()),
  /** When the group has been watched for a whole window; null where it has. */
  window_full_at: time.nullable(),
  /** When the cloud's inventory of the group was supplied, the oldest part of it; null: never. */
  inventory_at: time.nullable(),
});

export const memberState = z.enum([
  'rejected',
  'blocked',
  'fallback',
  'watched',
  ...groupProblemCode.options,
]);

export const groupMember = hostRef.extend({
  /** `watched`, the verdict of its calls, or the first reason why it was not watched. */
  state: memberState,
  is_running: z.boolean(),
  launched: time.nullable(),
  first_report: time.nullable(),
  last_report: time.nullable(),
  ended: time.nullable(),
  starts_seen: z.int(),
  calls_v1: z.int(),
  image_id: z.string().nullable(),
  template_version: z.string().nullable(),
});

export const groupDetail = group.extend({
  /** Worst first: the first 1,000 of `members`. */
  instances: z.array(groupMember),
  /** Verdicts of its running hosts, each judged alone: at most 1,000. */
  verdicts: verdictCounts,
  /** AWS CLI for those of them that are `ready` by themselves, where there are any. */
  command: z.string().nullable(),
  command_notes: z.array(z.string()),
});

export type Group = z.infer<typeof group>;
export type GroupDetail = z.infer<typeof groupDetail>;
export type GroupMember = z.infer<typeof groupMember>;
export type GroupProblem = z.infer<typeof groupProblem>;
export type GroupProblemCode = z.infer<typeof groupProblemCode>;
export type GroupStarts = z.infer<typeof groupStarts>;
export type GroupOffender = z.infer<typeof groupOffender>;
export type MemberState = z.infer<typeof memberState>;
