/** The facts of a handshake before the first data, and those that are kept of a connection that ended. */
import { ACK, RST, type Segment } from './segment.ts';
import { seqDistance } from './sequence.ts';

/** The facts that the handshake of a connection showed before its first data. */
export interface Handshake {
  /** The service's first sequence number. */
  serverStart: number | null;
  /** The service's SYN-ACK was seen. */
  sawServer: boolean;
  /** The timestamps of both SYNs; null without one. */
  clientTimestamp: number | null;
  serverTimestamp: number | null;
  timeUs: number;
}

/** A SYN this far before the first byte seen may be this connection's own, captured late. */
export const LATE_SYN_WINDOW_BYTES = 1_048_576;

/** The facts that are kept of a connection that ended: only numbers, for there are thousands of them. */
export class Remains {
  readonly lastUs: number;
  readonly isn: number | null;
  readonly clientEnd: number | null;
  readonly serverEnd: number | null;

  constructor(lastUs: number, isn: number | null, clientEnd: number | null, serverEnd: number | null) {
    this.lastUs = lastUs;
    this.isn = isn;
    this.clientEnd = clientEnd;
    this.serverEnd = serverEnd;
  }

  /**
   * Returns how a segment on the same addresses and ports belongs to this connection: it was seen before, it
   * continues behind the end, or it belongs to another connection.
   */
  placeSegment(
    { seq, payload, payloadCutBytes }: Segment,
    fromClient: boolean,
  ): 'before' | 'behind' | 'elsewhere' {
    const end = fromClient ? this.clientEnd : this.serverEnd;
    if (end === null) return 'elsewhere';
    const distance = seqDistance(seq, end);
    if (Math.abs(distance) > LATE_SYN_WINDOW_BYTES) return 'elsewhere';
    return distance + payload.length + payloadCutBytes > 0 ? 'behind' : 'before';
  }

  /** Returns whether a segment acknowledges bytes of its peer behind the end; a FIN counts one. */
  acknowledgesMore({ ack, flags }: Segment, fromClient: boolean): boolean {
    const end = fromClient ? this.serverEnd : this.clientEnd;
    if (end === null || (flags & (ACK | RST)) !== ACK) return false;
    const distance = seqDistance(ack, end);
    return distance > 1 && distance < LATE_SYN_WINDOW_BYTES;
  }
}
