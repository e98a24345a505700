/**
 * Models a receiver of one TCP connection, written from the RFCs and the documentation of Linux,
 * independently of the code under test. It knows nothing of captures: segments arrive, and its application
 * reads a stream.
 *
 * Sources: RFC 9293 section 3.10.7, RFC 5961 sections 3 and 4 (resets, SYN), RFC 7323 section 5 (timestamps),
 * RFC 6093 (urgent data).
 */
import { ACK, FIN, RST, type Segment, SYN, URG } from '../../../../agent/conversation/segment.ts';

/** A packet on its way: it may be dropped, and its checksum may be wrong. */
export interface Wire {
  segment: Segment;
  arrives: boolean;
  isIntact: boolean;
  /** Offset of the urgent pointer; it has a meaning only if URG is set. */
  urgentPointer?: number;
}

function distance(a: number, b: number): number {
  const wrapped = (a - b) % 2 ** 32;
  if (wrapped >= 2 ** 31) return wrapped - 2 ** 32;
  return wrapped < -(2 ** 31) ? wrapped + 2 ** 32 : wrapped;
}

export class Receiver {
  /** The bytes that the application reads. */
  stream = '';
  expected: number;
  isReset = false;
  private isClosed = false;
  private readonly window: number;
  private recentTimestamp: number;
  private acknowledged: number;
  /** Early bytes by their distance from the stream's start. The first copy of a byte counts. */
  private readonly early = new Map<number, number>();
  private readonly urgent = new Set<number>();
  private readonly start: number;
  private taken = 0;

  constructor(isn: number, window: number, timestamp: number) {
    this.start = (isn + 1) % 2 ** 32;
    this.expected = this.start;
    this.acknowledged = this.start;
    this.window = window;
    this.recentTimestamp = timestamp;
  }

  take({ segment, arrives, isIntact, urgentPointer }: Wire): void {
    if (!arrives || !isIntact || this.isReset) return;
    const { flags, seq, payload } = segment;
    if (flags & RST) {
      if (seq === this.expected) this.isReset = true;
      return;
    }
    if (flags & SYN || !(flags & ACK)) return;
    const timestamp = segment.options.length === 12 ? Buffer.from(segment.options).readUInt32BE(4) : null;
    if (timestamp !== null && distance(this.recentTimestamp, timestamp) > 1) return;
    const offset = distance(seq, this.expected);
    if (offset + payload.length < 0 || offset > this.window || this.isClosed) return;
    if (timestamp !== null && distance(seq, this.acknowledged) <= 0) this.recentTimestamp = timestamp;
    if (flags & URG) this.urgent.add(distance(seq, this.start) + (urgentPointer ?? 0) - 1);
    this.takeBytes(offset, payload);
    if (flags & FIN && distance(seq, this.expected) + payload.length === 0) {
      this.isClosed = true;
      this.expected = (this.expected + 1) % 2 ** 32;
    }
    this.acknowledged = this.expected;
  }

  private takeBytes(offset: number, payload: Uint8Array): void {
    // A segment in order is accepted whole: early bytes in its place are dropped.
    const inOrder = offset <= 0;
    payload.forEach((byte, n) => {
      const place = this.taken + offset + n;
      if (place < this.taken) return;
      if (inOrder || !this.early.has(place)) this.early.set(place, byte);
    });
    for (let byte = this.early.get(this.taken); byte !== undefined; byte = this.early.get(this.taken)) {
      this.early.delete(this.taken);
      if (!this.urgent.has(this.taken)) this.stream += String.fromCharCode(byte);
      this.taken++;
      this.expected = (this.expected + 1) % 2 ** 32;
    }
  }
}
