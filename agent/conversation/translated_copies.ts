/**
 * Recognises copies of connections behind address translation. A host that forwards a connection shows it
 * twice: with its caller's addresses and with its own. The sequence number, the window and all options but
 * the segment size survive translation, so a SYN is recognised. That alone is no proof, because a sender
 * chooses all of them. So a flow counts as a copy only as long as the service's sequence numbers and the
 * client's bytes are the same in both.
 */
import type { Connection } from './connection.ts';
import { IDLE_EXPIRY_US, SYN_COPY_WINDOW_US } from './limits.ts';
import { ACK, RST, type Segment, SYN } from './segment.ts';
import { withoutSegmentSize } from './tcp_options.ts';

export interface Copy {
  /** The key of the connection under its caller's own addresses. */
  originalKey: string;
  isn: number;
  sinceUs: number;
  lastUs: number;
  /** The service's first sequence number; null until this flow's handshake shows it. */
  serverStart: number | null;
}

export class TranslatedCopies<Context> {
  private readonly maxEntries: number;
  /** The fingerprint of each recent SYN, with the connection that it opened. */
  private readonly recentSyns = new Map<string, { key: string; timeUs: number }>();
  private readonly copies = new Map<string, Copy>();

  constructor(maxEntries: number) {
    this.maxEntries = maxEntries;
  }

  /** Returns the key of the connection whose SYN this is a copy of. Else keeps the SYN and returns null. */
  originalOf(key: string, segment: Segment): string | null {
    const options = withoutSegmentSize(segment.options);
    const fingerprint = `${segment.seq}|${segment.window}|${segment.destinationAddress}|${Buffer.from(options).toString('latin1')}`;
    const original = this.recentSyns.get(fingerprint);
    if (
      original !== undefined &&
      original.key !== key &&
      Math.abs(segment.timeUs - original.timeUs) <= SYN_COPY_WINDOW_US
    ) {
      return original.key;
    }
    this.recentSyns.delete(fingerprint);
    this.recentSyns.set(fingerprint, { key, timeUs: segment.timeUs });
    if (this.recentSyns.size > this.maxEntries) deleteOldest(this.recentSyns);
    return null;
  }

  addCopy(key: string, originalKey: string, { seq, timeUs }: Segment): void {
    this.copies.delete(key);
    this.copies.set(key, { originalKey, isn: seq, sinceUs: timeUs, lastUs: timeUs, serverStart: null });
    if (this.copies.size > this.maxEntries) deleteOldest(this.copies);
  }

  copyAt(key: string): Copy | undefined {
    return this.copies.get(key);
  }

  deleteCopy(key: string): void {
    this.copies.delete(key);
  }

  /**
   * Compares a segment of a copy with the original. Returns false if the flow is no copy: its handshake
   * differs, or its client sends other bytes. `serverStart` is the service's first sequence number in the
   * original.
   */
  acceptSegment(
    key: string,
    copy: Copy,
    segment: Segment,
    fromClient: boolean,
    original: Connection<Context> | undefined,
    serverStart: number | null,
  ): boolean {
    const { flags, payload } = segment;
    copy.lastUs = Math.max(copy.lastUs, segment.timeUs);
    if (!fromClient && (flags & (SYN | ACK | RST)) === (SYN | ACK)) {
      copy.serverStart ??= (segment.seq + 1) >>> 0;
    }
    if (copy.serverStart !== null && serverStart !== null && copy.serverStart !== serverStart) return false;
    if (!fromClient || payload.length === 0) return true;
    if (original?.compareClient(segment.seq, payload) !== 'same') return false;
    // The map's order is the order of last use.
    this.copies.delete(key);
    this.copies.set(key, copy);
    return true;
  }

  tick(nowUs: number): void {
    for (const [syn, { timeUs }] of this.recentSyns) {
      if (nowUs - timeUs <= SYN_COPY_WINDOW_US) break;
      this.recentSyns.delete(syn);
    }
    for (const [key, { lastUs }] of this.copies) {
      if (nowUs - lastUs <= IDLE_EXPIRY_US) break;
      this.copies.delete(key);
    }
  }
}

export function deleteOldest(map: Map<string, unknown>): void {
  const oldest = map.keys().next();
  if (!oldest.done) map.delete(oldest.value);
}
