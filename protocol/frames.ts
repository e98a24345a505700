/**
 * Frames on the WebSocket between agent and collector: one JSON object a text message, validated on both sides.
 *
 * agent: `hello` → collector: `welcome` (or `refused` and close) → agent: `batch`es and `heartbeat`s, collector: `ack`s.
 * A batch is named by (`stream`, `seq`): `stream` is the UUID of one spool, `seq` counts up from 1 without gaps.
 * An `ack` of n says that every batch of the stream up to and including n is durably stored. `welcome.last_seq`
 * tells a returning agent where to go on; a batch at or below it is acknowledged again and not stored twice.
 *
 * A frame that is not valid closes the connection. A record inside a valid batch that is not (it comes from an agent of
 * another version, or speaks for another host) must not: the agent would send it again for ever. It is left out, and
 * counted in the `ack`.
 */
import * as z from 'zod';
import { hostFacts } from './call.ts';
import { heartbeat } from './records.ts';

/** Version of these frames. A collector answers a version that it does not speak with `refused`. */
export const PROTOCOL_VERSION = 1;
/** Where on the collector agents connect. */
export const AGENT_PATH = '/v1/agent';
/** Largest message either side accepts, in bytes. */
export const MAX_FRAME_BYTES = 4 * 1024 * 1024;

const seq = z.int().min(0);

export const hello = z.object({
  type: z.literal('hello'),
  protocol: z.int().min(1),
  agent_version: z.string(),
  stream: z.uuid(),
  host: hostFacts,
});
export const batch = z.object({
  type: z.literal('batch'),
  seq: seq.min(1),
  /**
   * Each a `record` of records.ts, checked one by one by the receiver. Empty when what the agent had put into this batch
   * became unreadable on its disk before it was acknowledged: the sequence stays without gaps.
   */
  records: z.array(z.unknown()),
});
export const heartbeatFrame = z.object({ type: z.literal('heartbeat'), heartbeat });
export const agentFrame = z.discriminatedUnion('type', [hello, batch, heartbeatFrame]);

export const welcome = z.object({ type: z.literal('welcome'), protocol: z.int().min(1), last_seq: seq });
export const ack = z.object({
  type: z.literal('ack'),
  seq,
  /** Records that were refused, in the batches that this acknowledgement adds. They are gone; the agent counts them. */
  rejected: z.int().min(0).default(0),
});
export const refused = z.object({
  type: z.literal('refused'),
  reason: z.enum(['protocol', 'invalid', 'stream', 'out_of_order', 'unavailable', 'superseded', 'host']),
  /** For the operator: what is wrong and what to do. */
  message: z.string(),
});
export const collectorFrame = z.discriminatedUnion('type', [welcome, ack, refused]);

export type AgentFrame = z.infer<typeof agentFrame>;
export type CollectorFrame = z.infer<typeof collectorFrame>;
