/**
 * Frames on the WebSocket between agent and collector: one JSON object a text message, validated on both
 * sides.
 *
 * agent: `hello` → collector: `welcome` (or `refused` and close) → agent: `batch`es and `heartbeat`s,
 * collector: `ack`s. A batch is named by (`stream`, `seq`): `stream` is the UUID of one spool, `seq` counts
 * up from 1 without gaps. An `ack` of n says that every batch of the stream up to and including n is durably
 * stored. `welcome.last_seq` tells a returning agent where to go on; a batch at or below it is acknowledged
 * again and not stored twice.
 *
 * Protocol 2 describes a caller once per connection: a batch defines in `callers` those that are new to the
 * connection, and its records refer to them by number (`referringRecord` of records.ts). Numbers count up
 * from 0 in the order of definition. The definitions of a connection may take `MAX_CALLERS_BYTES`; an agent
 * that would go beyond begins anew: `forget` empties the table before the batch's own definitions, which
 * alone may be more. A new connection has an empty table.
 *
 * Protocol 3 has more values of `imds.category` (`other-cloud`) and `imds.fallback` (`adapted`). A collector
 * of protocol 2 would refuse records with them, so it gets `other` and null in their place.
 *
 * A frame that is not valid closes the connection. A record inside a valid batch that is not (it comes from
 * an agent of another version, or speaks for another host) must not: the agent would send it again for ever.
 * It is left out, and counted in the `ack`.
 */
import * as z from 'zod';
import { callerFacts, hostFacts } from './call.ts';
import { heartbeat } from './records.ts';
import { label } from './text.ts';

/** Newest and oldest version of these frames that this release speaks, as agent and as collector. */
export const PROTOCOL_VERSION = 3;
export const OLDEST_PROTOCOL_VERSION = 1;
/** Path of the collector's URL that agents connect to. */
export const AGENT_PATH = '/v1/agent';
/** Largest message either side accepts, in bytes. */
export const MAX_FRAME_BYTES = 4 * 1024 * 1024;
/** More records in one batch than any agent sends: they send 1,000. */
const MAX_BATCH_RECORDS = 2_000;
/** Bound on the callers that a connection has defined: bytes of their JSON without the number. */
export const MAX_CALLERS_BYTES = 128 * 1024;

/**
 * Reason of a close with code 1001 (going away, RFC 6455 section 7.4.1) by a collector that hands its agents
 * over to others: everything that it received is acknowledged, and the agent connects again at once. Agents of
 * releases before it do so after their usual delay.
 */
export const HANDED_OVER = 'handed over';

/** 32 random bytes in base64url (RFC 4648 section 5) without padding. */
export const ENROLMENT_KEY = /^[A-Za-z0-9_-]{43}$/;

const seq = z.int().min(0);

export const hello = z.object({
  type: z.literal('hello'),
  /** The oldest version that the agent speaks. A collector that has none in common answers `refused`. */
  protocol: z.int().min(1),
  /** The newest. A collector of protocol 1 does not know this field, and speaks 1. */
  protocol_max: z.int().min(1).optional(),
  agent_version: label(100),
  stream: z.uuid(),
  host: hostFacts,
  /**
   * Sent with an enrolment token only: a secret of the agent's own, the same at each try. It proves that an
   * agent which asks for a credential again is the one that enrolled. Agents of releases before it do not
   * send it, and collectors before it ignore it.
   */
  enrolment_key: z.string().regex(ENROLMENT_KEY).optional(),
});
export const batch = z.object({
  type: z.literal('batch'),
  seq: seq.min(1),
  /**
   * Each item is a `record` of records.ts, which the receiver checks one by one. The list is empty where the
   * records became unreadable on the agent's disk before they were acknowledged. So the sequence has no gaps.
   */
  records: z.array(z.unknown()).max(MAX_BATCH_RECORDS),
  /**
   * Callers that the records of this batch refer to, from protocol 2 on. Each item is a `callerDefinition`.
   * An error in one affects only its records.
   */
  callers: z
    .array(z.looseObject({ ref: z.int().min(0) }))
    .max(MAX_BATCH_RECORDS)
    .optional(),
  forget: z.boolean().optional(),
});
export const callerDefinition = callerFacts.extend({ ref: z.int().min(0) });
export const heartbeatFrame = z.object({ type: z.literal('heartbeat'), heartbeat });
export const agentFrame = z.discriminatedUnion('type', [hello, batch, heartbeatFrame]);

/** The pace that a collector tells an agent. Agents of releases before these fields ignore them. */
export const pace = z.object({
  /**
   * Seconds between two heartbeats; absent for the agent's own interval. An agent whose own interval is longer
   * keeps it.
   */
  heartbeat_seconds: z.number().min(0.1).max(3600).optional(),
  /**
   * Seconds over which agents spread their first attempt to connect again after they lost this collector; absent
   * where few agents are connected.
   */
  reconnect_seconds: z.number().min(0).max(3600).optional(),
});
export const welcome = z.object({
  type: z.literal('welcome'),
  /** The version that both sides speak from here on. */
  protocol: z.int().min(1),
  last_seq: seq,
  /**
   * The credential of an agent that showed an enrolment token, sent once. The agent shows it from then on.
   */
  credential: z.string().min(1).optional(),
  ...pace.shape,
});
export const ack = z.object({
  type: z.literal('ack'),
  seq,
  /**
   * Number of refused records in the batches that this acknowledgement adds. They are not stored, and the
   * agent counts them.
   */
  rejected: z.int().min(0).default(0),
  /** In place of the pace that the agent was told before; absent where that holds. */
  pace: pace.optional(),
});
export const REFUSAL_REASONS = [
  'protocol',
  'invalid',
  'stream',
  'out_of_order',
  'unavailable',
  'superseded',
  /** Not known to agents of protocol 1. */
  'host',
] as const;
export const refused = z.object({
  type: z.literal('refused'),
  /** One of `REFUSAL_REASONS`, or what a newer collector calls it. */
  reason: z.string(),
  /** Text for the operator: the problem and what to do. */
  message: z.string(),
});
export const collectorFrame = z.discriminatedUnion('type', [welcome, ack, refused]);

export type Pace = z.infer<typeof pace>;
export type AgentFrame = z.infer<typeof agentFrame>;
export type RefusalReason = (typeof REFUSAL_REASONS)[number];
export type CollectorFrame = z.infer<typeof collectorFrame>;
