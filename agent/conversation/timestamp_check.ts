/**
 * Applies the protection against wrapped sequence numbers (RFC 7323, section 5): a receiver drops a segment
 * whose timestamp is older than the last one that it accepted in order.
 */
import { TIMESTAMP_EXPIRY_US } from './limits.ts';
import type { Segment } from './segment.ts';
import { seqDistance } from './sequence.ts';
import { timestampOf } from './tcp_options.ts';

/** Linux accepts a segment that is older by one tick. */
const ALLOWED_TICKS = 1;

interface Recent {
  timestamp: number;
  timeUs: number;
}

export class TimestampCheck {
  private client: Recent | null = null;
  private server: Recent | null = null;
  /** One side does not send timestamps, so the other side's are ignored. */
  private isOff = false;

  /** Adopts the timestamps of the SYNs. */
  adoptHandshake(handshake: {
    sawServer: boolean;
    clientTimestamp: number | null;
    serverTimestamp: number | null;
    timeUs: number;
  }): void {
    const { clientTimestamp, serverTimestamp, timeUs } = handshake;
    this.isOff = clientTimestamp === null || (handshake.sawServer && serverTimestamp === null);
    if (clientTimestamp !== null) this.client = { timestamp: clientTimestamp, timeUs };
    if (serverTimestamp !== null) this.server = { timestamp: serverTimestamp, timeUs };
  }

  /**
   * Returns whether the receiver drops a segment for its age. `received` is the receiver's last
   * acknowledgement number, as far as it was seen. Only a segment that begins there or before sets the
   * timestamp for later comparisons.
   */
  isOld(segment: Segment, fromClient: boolean, received: number | null): boolean {
    if (this.isOff || segment.options.length === 0) return false;
    const timestamp = timestampOf(segment.options);
    if (timestamp === null) return false;
    const recent = fromClient ? this.client : this.server;
    const peer = fromClient ? this.server : this.client;
    if (recent !== null && peer !== null && seqDistance(recent.timestamp, timestamp) > ALLOWED_TICKS) {
      return segment.timeUs - recent.timeUs < TIMESTAMP_EXPIRY_US;
    }
    if (received === null || seqDistance(segment.seq, received) > 0) return false;
    if (recent === null) {
      const first = { timestamp, timeUs: segment.timeUs };
      if (fromClient) this.client = first;
      else this.server = first;
    } else if (seqDistance(timestamp, recent.timestamp) >= 0) {
      recent.timestamp = timestamp;
      recent.timeUs = segment.timeUs;
    }
    return false;
  }
}
