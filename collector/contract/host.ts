/** A host: whether it reports, and whether it is proven safe for `HttpTokens=required`, with the evidence. */
import * as z from 'zod';
import { heartbeat } from '../../protocol/records.ts';
import { hostRef, severity } from './offender.ts';
import { time, timeline, window } from './window.ts';

/**
 * Design 3.4, over the window: `ready` (watched, no IMDSv1), `blocked` (IMDSv1-only callers, named),
 * `fallback` (only IMDSv2-capable callers that fell back: fix the hop limit first), `rejected` (IMDSv1 calls
 * already refused with 401: enforced, and something is broken), `enforced` (the cloud says tokens are
 * required, and nobody tried without), `unproven` (not watched all the time; the gaps are named).
 */
export const verdict = z.enum(['ready', 'blocked', 'fallback', 'rejected', 'enforced', 'unproven']);

/**
 * - `not_yet_watched`: from the window's start to the first report.
 * - `agent_not_running`: between two reports of the same boot; `boot`: between the reports of two boots.
 * - `capture_not_live`; `losses`: something was lost or could not be judged meanwhile (`detail` names the
 *   counters).
 * - `no_report`: since the last report.
 * - `cloud_saw_more`: the cloud counted more token-less calls than were seen.
 * - `not_kept`: the host reported more than is kept of one host, records that are not valid, or records of
 *   the future (`detail` says how many of what).
 */
export const gapReason = z.enum([
  'not_yet_watched',
  'agent_not_running',
  'boot',
  'capture_not_live',
  'losses',
  'no_report',
  'cloud_saw_more',
  'not_kept',
]);

export const gap = z.object({
  from: time,
  to: time,
  /** Seconds of the gap that were not watched. */
  seconds: z.number(),
  reason: gapReason,
  detail: z.string().nullable(),
});

export const readiness = z.object({
  verdict,
  /** One or two sentences: why this verdict, and what to do next. */
  reason: z.string(),
  window,
  coverage: z.object({
    watched_seconds: z.number(),
    window_seconds: z.number(),
    /** 0 to 100; 100 only where not a second is missing. */
    percent: z.number(),
    /** Longest first where there are more than 100; then `gap_count` is higher. */
    gaps: z.array(gap),
    gap_count: z.int(),
    /** Connections to the endpoints that the kernel reported; null where nobody could ask it. */
    kernel_connections: z.int().nullable(),
    seen_connections: z.int(),
  }),
  /**
   * Calls that this verdict cannot rule out, because of how the host was watched: `short_lived_namespaces` without eBPF,
   * `one_interface` where the agent's `interface` names one, `one_namespace` where its `max_namespaces` is 0.
   */
  limits: z.array(
    z.object({
      code: z.enum(['short_lived_namespaces', 'one_interface', 'one_namespace']),
      text: z.string(),
    }),
  ),
  /** Boots in the window, oldest first: the latest 100 of `boot_count`. */
  boots: z.array(z.object({ id: z.string(), first_report: time, last_report: time })),
  boot_count: z.int(),
  /**
   * A start of the host was seen in the window. Without one `ready` and `enforced` are about the running state
   * only: what runs at boot is not proven, and launch templates and images must wait.
   */
  start_seen: z.boolean(),
  calls_v1: z.int(),
  calls_v2: z.int(),
  rejected_v1: z.int(),
  /** Refused reads that the same client repeated with a token; not in `calls_v1`. */
  adapted_v1: z.int(),
  /** Reads whose token was refused with 401: a finding of its own, which no verdict covers. */
  refused_tokens: z.int(),
  /** Requests that look for another cloud; not in `calls_v1`. */
  other_cloud_calls: z.int(),
  /** Calls without a token that something on the host answered: no use of the service. They are not in `calls_v1`. */
  answered_by_host_v1: z.int(),
  blocked_attempts: z.int(),
  last_v1: time.nullable(),
  /** Offenders on this host, worst first, at most 100. */
  offenders: z.array(hostOffender()),
  /** The same window as the cloud counted it (`MetadataNoToken`), where the operator supplied it. */
  cloud: z
    .object({
      http_tokens: z.enum(['optional', 'required']).nullable(),
      hop_limit: z.int().nullable(),
      http_endpoint: z.enum(['enabled', 'disabled']).nullable(),
      metadata_no_token: z.int().nullable(),
      /** Token-less calls that were answered with success, over exactly the hours that the cloud counted. */
      seen_no_token: z.int().nullable(),
      counted: window.nullable(),
    })
    .nullable(),
  /** When it will be `ready` if nothing calls IMDSv1 and nothing is missed until then. */
  ready_at: time.nullable(),
  /**
   * AWS CLI: enforces IMDSv2 (`ready`), raises the hop limit (`fallback`), or null where nothing can be
   * advised yet.
   */
  command: z.string().nullable(),
  /** Warnings to read before the command is run, for example that it cannot be undone. May be empty. */
  command_notes: z.array(z.string()),
});

function hostOffender() {
  return z.object({
    id: z.string(),
    title: z.string(),
    severity,
    calls_v1: z.int(),
    credentials_over_v1: z.int(),
    /** Some of its calls on this host were sent on for other programs. */
    acts_for_others: z.boolean(),
    last_v1: time.nullable(),
  });
}

export const host = hostRef.extend({
  account: z.string().nullable(),
  region: z.string().nullable(),
  zone: z.string().nullable(),
  type: z.string().nullable(),
  image_id: z.string().nullable(),
  tags: z.record(z.string(), z.string()),
  /** `silent`: no heartbeat for longer than the silence bound. */
  state: z.enum(['online', 'silent']),
  agent_version: z.string().nullable(),
  attribution_method: z.string().nullable(),
  first_seen: time,
  last_seen: time,
  last_heartbeat: time.nullable(),
  /** The host's clock minus the collector's when the last heartbeat arrived. */
  clock_skew_seconds: z.number().nullable(),
  verdict,
  /** See `readiness.start_seen`. */
  start_seen: z.boolean(),
  coverage_percent: z.number(),
  gap_count: z.int(),
  calls_v1: z.int(),
  offender_count: z.int(),
  last_v1: time.nullable(),
});

/** A host with the evidence of its verdict. */
export const hostReadiness = host.extend({ readiness });

export const hostDetail = host.extend({
  readiness,
  timeline,
  /** The last heartbeat. Its counters show every loss of every stage. */
  heartbeat: heartbeat.nullable(),
});

export const verdictCounts = z.record(verdict, z.int());

/** Hosts that share a value of one attribute: an account, a region, a tag. */
export const readinessGroup = z.object({
  /** `null`: hosts without that attribute. */
  value: z.string().nullable(),
  hosts: z.int(),
  verdicts: verdictCounts,
  calls_v1: z.int(),
  /** Its `ready` hosts of which no start was seen: proven for their running state only. */
  ready_without_start: z.int(),
  /** AWS CLI for all its `ready` hosts, where there are any. */
  command: z.string().nullable(),
  command_notes: z.array(z.string()),
});

export const overview = z.object({
  window,
  hosts: z.object({ total: z.int(), online: z.int(), silent: z.int(), verdicts: verdictCounts }),
  /**
   * Auto Scaling groups by their own verdicts. Null where the question leaves hosts out by more than account and
   * region: a part of a group proves nothing.
   */
  groups: z.object({ by: z.literal('asg'), total: z.int(), verdicts: verdictCounts }).nullable(),
  calls: z.object({ v1: z.int(), v2: z.int(), credentials_over_v1: z.int(), rejected_v1: z.int() }),
  /** Workloads with IMDSv1 calls. */
  offenders: z.int(),
  timeline,
  /** The first 100 of them. */
  silent_hosts: z.array(hostRef.extend({ last_heartbeat: time.nullable() })),
});

export type Verdict = z.infer<typeof verdict>;
export type GapReason = z.infer<typeof gapReason>;
export type Gap = z.infer<typeof gap>;
export type Readiness = z.infer<typeof readiness>;
export type Host = z.infer<typeof host>;
export type HostDetail = z.infer<typeof hostDetail>;
export type ReadinessGroup = z.infer<typeof readinessGroup>;
export type Overview = z.infer<typeof overview>;
