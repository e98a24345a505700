/**
 * Connections without data. They are kept as small as a SYN: a flood of them must not cost the connections
 * that carry requests.
 */
import type { FlowTuple } from '../flow.ts';
import { WINDOW_BYTES } from './reassembly.ts';
import type { Handshake } from './remains.ts';
import { ACK, type Segment, SYN } from './segment.ts';
import { seqDistance } from './sequence.ts';
import { timestampOf } from './tcp_options.ts';

export interface HalfOpen<Context> extends Handshake {
  tuple: FlowTuple;
  context: Context;
  /** Sequence number of the client's SYN. */
  isn: number;
}

type Begun = Handshake & { isn: number };

/** Reads a segment of the handshake. Returns whether it shows that the connection is established. */
export function learnHandshake(half: Begun, segment: Segment, fromClient: boolean): boolean {
  const { seq, ack, flags } = segment;
  const answered = (half.isn + 1) >>> 0;
  if ((flags & ACK) === 0 || half.sawServer) return false;
  if (fromClient ? seq !== answered : ack !== answered || (flags & SYN) === 0) return false;
  if (!fromClient) {
    half.sawServer = true;
    half.serverTimestamp = timestampOf(segment.options);
  }
  if (half.serverStart !== null) return false;
  half.serverStart = fromClient ? ack : (seq + 1) >>> 0;
  return true;
}

/** Returns whether a segment lies within the windows of a connection that has only begun. */
export function belongsTo(half: Begun, { seq, ack }: Segment, fromClient: boolean): boolean {
  return Math.abs(seqDistance(fromClient ? seq : ack, half.isn)) <= WINDOW_BYTES;
}

/**
 * Returns whether the receiver of a reset accepts it: it must carry exactly the sequence number that is
 * expected next (RFC 9293, section 3.10.7.3; RFC 5961, section 3).
 */
export function isExpectedReset(half: Begun, { seq, ack, flags }: Segment, fromClient: boolean): boolean {
  if (fromClient) return seq === (half.isn + 1) >>> 0;
  if (half.serverStart !== null) return seq === half.serverStart;
  return (flags & ACK) !== 0 && ack === (half.isn + 1) >>> 0;
}
