/**
 * Schemas of offenders: workloads over the whole fleet. The API serves them, and `offenders --json` prints
 * them.
 */
import * as z from 'zod';
import { type ancestor, attributionConfidence, attributionMethod, callerShape } from '../../protocol/call.ts';
import { advice, adviceKind } from './advice.ts';
import { triage } from './triage.ts';
import { time, timeline, window } from './window.ts';

/**
 * Worst first. `credentials`: role credentials were handed out over IMDSv1. `v1`: IMDSv1 calls that were
 * answered. `fallback`: all its IMDSv1 calls followed a token request that failed. `rejected`: all of them
 * were refused with 401. `stale_token`: reads with a token were refused with 401. `blocked`: a local rule
 * stopped its calls, whose version nobody saw. `adapts`: it calls without a token first, and takes one when it
 * is refused. `none`: IMDSv2 only.
 */
export const severity = z.enum([
  'credentials',
  'v1',
  'fallback',
  'rejected',
  'stale_token',
  'blocked',
  'adapts',
  'none',
]);

export const hostRef = z.object({ id: z.string(), name: z.string() });

/** The kind of starter that runs helper programs for a workload that is no program itself. */
export const startedBy = z.enum(['cron', 'unit', 'container', 'supervisor', 'session', 'unknown']);

/** One release of a workload: its paths and image tag as they were seen. */
export const offenderRelease = z.object({
  /** Versions in its paths, and the tag of its image; null where it has none. */
  release: z.string().nullable(),
  executable: z.string().nullable(),
  script: z.string().nullable(),
  image_tag: z.string().nullable(),
  /** IMDSv1 calls in the window. An old release that still makes some keeps the workload from being fixed. */
  calls_v1: z.int(),
  calls_v2: z.int(),
  last_seen: time.nullable(),
  last_v1: time.nullable(),
  /** Id of the release. Earlier releases of imdswatch had such ids for workloads; the API takes them too. */
  id: z.string().regex(/^[0-9a-f]{16}$/),
});

export const offender = z.object({
  id: z.string().regex(/^[0-9a-f]{16}$/),
  severity,
  /** False where the process is not known. Then only hosts and `source_address` identify the workload. */
  attributed: z.boolean(),
  /**
   * Name in lists: the script, else the executable, else the command of a cron entry, else the unit or image, else
   * the process name, else the source address.
   */
  title: z.string(),
  executable: z.string().nullable(),
  name: z.string().nullable(),
  script: z.string().nullable(),
  user: z.string().nullable(),
  uid: z.int().nullable(),
  container_image: z.string().nullable(),
  systemd_unit: z.string().nullable(),
  k8s_namespace: z.string().nullable(),
  k8s_container: z.string().nullable(),
  source_address: z.string().nullable(),
  /**
   * Programs such as `/usr/bin/curl` that called for the workload, that which called last first, at most 10. The
   * workload is what ran them.
   */
  helpers: z.array(z.string()),
  /**
   * Set where no program is the workload: a cron entry, a unit, a container or a supervisor's program that runs
   * helpers. `session`: a person's. `unknown`: the parents had ended before they could be read.
   */
  started_by: startedBy.nullable(),
  /** The command of a cron entry or of a supervisor's program. */
  entry: z.string().nullable(),
  /** Releases of the workload, that which called last first, at most 10; never empty. */
  releases: z.array(offenderRelease),
  calls_v1: z.int(),
  /** IMDSv2 calls, including those that were rolled up. */
  calls_v2: z.int(),
  /** Attempts that a local rule stopped before a request was sent. */
  blocked_attempts: z.int(),
  /**
   * Credential reads without a token that the service answered with 2xx: these credentials can have been
   * stolen by SSRF.
   */
  credentials_over_v1: z.int(),
  /** Time of the latest of them. With it an alert distinguishes a recurrence from an event that goes on. */
  last_credentials_over_v1: time.nullable(),
  /** All credential reads without a token, whatever came back. */
  credentials_over_v1_attempts: z.int(),
  /**
   * Calls without a token that were answered 401: tokens are already required there, and something is broken.
   */
  rejected_v1: z.int(),
  /**
   * Reads without a token that were refused with 401, and that the same client then repeated with one. They
   * are not in `calls_v1`.
   */
  adapted_v1: z.int(),
  /** Reads with a token that were refused with 401, and not repeated with a new one: stale or wrong tokens. */
  refused_tokens: z.int(),
  /** Requests that look for another cloud. They are not in `calls_v1`. */
  other_cloud_calls: z.int(),
  /** Calls without a token that something on the host answered: no use of the service. They are not in `calls_v1`. */
  answered_by_host_v1: z.int(),
  /**
   * Some of its calls were sent on for other programs, which are not known: it is a proxy, or a program like one.
   */
  acts_for_others: z.boolean(),
  /** Reads without a token just after a token request that got no answer, or was refused. */
  fallbacks: z.object({ token_unanswered: z.int(), token_refused: z.int() }),
  /** Calls without a token by category. */
  categories_v1: z.record(z.string(), z.int()),
  /** Roles whose credentials were requested without a token, most frequent first, at most 10. */
  roles_v1: z.array(z.string()),
  /** The most frequent ones, at most 10. */
  user_agents: z.array(z.string()),
  /** SDK or tool and its releases, from the user agents; empty where they tell none. */
  clients: z.array(z.object({ name: z.string(), version: z.string().nullable() })),
  host_count: z.int(),
  /**
   * Hosts on which no other workload made an IMDSv1 call in the window: one fix of this workload frees them.
   */
  hosts_freed: z.int(),
  /** Those that called most recently, at most 10. */
  hosts: z.array(hostRef),
  accounts: z.array(z.string()),
  regions: z.array(z.string()),
  first_seen: time,
  last_seen: time,
  first_v1: time.nullable(),
  last_v1: time.nullable(),
  /** IMDSv1 calls in equal parts of the window, oldest first. */
  trend_v1: z.array(z.int()),
  advice_kind: adviceKind,
  advice_headline: z.string(),
  /** Decisions of people about it. They change no verdict. */
  triage,
});

export const offenderHost = hostRef.extend({
  account: z.string().nullable(),
  region: z.string().nullable(),
  calls_v1: z.int(),
  first_seen: time,
  last_seen: time,
  last_v1: time.nullable(),
});

export const offenderProcess = z.object({
  host: hostRef,
  /** May lie up to a minute before its last call. */
  last_seen: time,
  process: callerShape.process,
  container: callerShape.container,
  k8s: callerShape.k8s,
  systemd: callerShape.systemd,
  'attribution.method': attributionMethod,
  'attribution.confidence': attributionConfidence,
});

export const offenderDetail = offender.extend({
  window,
  advice,
  /** Most recent first, at most 1,000. */
  all_hosts: z.array(offenderHost),
  /**
   * Paths that were requested without a token, most frequent first. Null stands for all that are not listed.
   */
  paths_v1: z.array(z.object({ path: z.string().nullable(), calls: z.int(), last_seen: time })),
  timeline,
  /** Its latest processes with their parents, at most 20. */
  processes: z.array(offenderProcess),
});

export type Severity = z.infer<typeof severity>;
export type HostRef = z.infer<typeof hostRef>;
export type Offender = z.infer<typeof offender>;
export type OffenderDetail = z.infer<typeof offenderDetail>;
export type OffenderProcess = z.infer<typeof offenderProcess>;
export type AncestorFacts = z.infer<typeof ancestor>;
