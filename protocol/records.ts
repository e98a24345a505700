/** The records of a batch: calls, roll-ups of routine calls, and coverage reports. */
import * as z from 'zod';
import {
  address,
  call,
  callerKeys,
  callerShape,
  httpMethod,
  imdsCategory,
  imdsKind,
  outcome,
  timestamp,
  urlPath,
  userAgent,
  uuidv7,
} from './call.ts';
import { identifier, label } from './text.ts';
import { firstOf, MAX_COUNTERS, MAX_ROLLUP_LINES, MAX_STAGES, plainNames } from './text_bounds.ts';

/**
 * More than any host does in the time of one record; sums of as many records as can be stored stay whole
 * numbers.
 */
const MAX_COUNT = 1_000_000_000;
/** More than a century: no interval is longer. */
const MAX_LIVE_MS = 4_000_000_000_000;
const MAX_LEFT_OUT = 8;
const count = z.int().min(0).max(MAX_COUNT);

/** One kind of request inside a roll-up and how often it was seen. */
export const rollupLine = z.object({
  'imds.kind': imdsKind,
  'imds.category': imdsCategory,
  'http.request.method': httpMethod.nullable(),
  /** Null for the line that collects what did not fit the roll-up's bound on distinct lines. */
  'url.path': urlPath.nullable(),
  'http.response.status_code': z.int().min(100).max(999).nullable(),
  outcome,
  count: count.min(1),
});

/**
 * Routine IMDSv2 calls of one process over one interval. IMDSv1 calls and credential reads are never rolled
 * up.
 */
export const rollup = z.object({
  id: uuidv7,
  first_time: timestamp,
  last_time: timestamp,
  count: count.min(1),
  'user_agent.original': userAgent.nullable(),
  /** The same as on a call. It tells pods apart where the process is not known. */
  'source.address': address,
  lines: z.array(rollupLine).min(1).max(MAX_ROLLUP_LINES),
  ...callerShape,
});

/** A stage's counters by name: whole numbers that only grow while the agent runs. */
export const counters = z
  .record(
    z.string(),
    z
      .number()
      .min(0)
      .overwrite((amount) => Math.min(amount, Number.MAX_SAFE_INTEGER)),
  )
  .overwrite((amounts) => plainNames(amounts, MAX_COUNTERS));
/** Counters of every stage: `{"capture": {"packets": 12}, …}`. */
export const stageCounters = z
  .record(z.string(), counters)
  .overwrite((stages) => Object.fromEntries(firstOf(Object.entries(stages), MAX_STAGES)));

/**
 * Coverage of one interval of one agent: whether calls would have been seen. It is the evidence behind every
 * "nobody calls IMDSv1".
 */
export const coverage = z.object({
  id: uuidv7,
  host_id: identifier(),
  boot_id: identifier(),
  /**
   * Id of one start of the agent, whose reports follow one another without a gap. Absent from older agents,
   * like the next fields.
   */
  run_id: identifier().optional(),
  /** The host's clock since it was started (CLOCK_BOOTTIME), at the start and at the end, in milliseconds. */
  uptime_start_ms: z.number().min(0).max(MAX_LIVE_MS).optional(),
  uptime_end_ms: z.number().min(0).max(MAX_LIVE_MS).optional(),
  start: timestamp,
  end: timestamp,
  /** Milliseconds of the interval in which every capture was live. */
  live_ms: z.number().min(0).max(MAX_LIVE_MS),
  /** Connections to the endpoints that the kernel reported; null where nobody could ask the kernel. */
  kernel_connections: count.nullable(),
  /** Conversations that the capture saw begin. */
  seen_connections: count,
  /**
   * Connections that the kernel reported and the capture was found to have seen; null where nobody could ask.
   */
  joined_connections: count.nullable().optional(),
  /** Connections that the kernel reported, and of which the next report says whether they were seen. */
  undecided_connections: count.optional(),
  /** Calls that were not complete at the end: the next report of the same run vouches for them. */
  open_calls: count.optional(),
  /** When the oldest of these calls, or of the undecided connections, began. */
  open_since: timestamp.optional(),
  /** Settings kept these out of the capture: `interfaces` but for one, and other network `namespaces`. */
  left_out: z
    .array(label(100))
    .overwrite((parts) => firstOf(parts, MAX_LEFT_OUT))
    .optional(),
  /** Losses of this interval by reason (dropped packets, ring-buffer losses, evicted connections …). */
  losses: counters,
});

export const record = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('call'), call }),
  z.object({ kind: z.literal('rollup'), rollup }),
  z.object({ kind: z.literal('coverage'), coverage }),
]);

const callerRef = z.int().min(0);
/**
 * A record of protocol 2. `caller` is the number of a caller that the connection has defined, and the host is
 * the one of the `hello`.
 */
export const referringRecord = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('call'), caller: callerRef, call: call.omit(callerKeys) }),
  z.object({ kind: z.literal('rollup'), caller: callerRef, rollup: rollup.omit(callerKeys) }),
  z.object({ kind: z.literal('coverage'), coverage }),
]);

/** Network namespaces and interfaces that are captured in. */
const MAX_SOURCES = 64;

/** The agent's state now. Not stored in the spool: a lost heartbeat is replaced by the next. */
export const heartbeat = z.object({
  time: timestamp,
  host_id: identifier(),
  agent_version: label(100),
  started: timestamp,
  counters: stageCounters,
  coverage: z.object({
    live: z.boolean(),
    sources: z.array(label(100)).overwrite((sources) => firstOf(sources, MAX_SOURCES)),
  }),
  attribution: z.object({
    method: z.enum(['ebpf', 'sock_diag', 'none']),
    /** The reason why there is no better way; null if it is the best one. */
    reason: label(1000).nullable(),
    /**
     * `ebpf`: the program that needs the kernel's type information. `tracepoint`: the program that does without, which
     * reports no connections. `sock_diag`: look-ups in /proc. Absent from older agents.
     */
    way: z.enum(['ebpf', 'tracepoint', 'sock_diag']).optional(),
    /** The reason why the kernel delivers no process events; absent if it does, and where they are not needed. */
    no_process_events: label(1000).optional(),
  }),
  /** From `pidusage`: percent of one core, and resident bytes. */
  agent: z.object({ cpu_percent: z.number(), memory_bytes: z.number() }),
  spool: z.object({ bytes: z.number(), records: z.number(), overflowed: counters }),
});

export type Rollup = z.infer<typeof rollup>;
export type RollupLine = z.infer<typeof rollupLine>;
export type Counters = z.infer<typeof counters>;
export type StageCounters = z.infer<typeof stageCounters>;
export type Coverage = z.infer<typeof coverage>;
export type WireRecord = z.infer<typeof record>;
export type Heartbeat = z.infer<typeof heartbeat>;
