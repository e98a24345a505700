/**
 * One direction of a TCP connection: segments in any order, doubled and overlapping, become bytes in order.
 *
 * Sequence numbers are compared modulo 2^32 (RFC 9293, section 3.4). Where segments overlap, the byte that is
 * delivered first stands, and the sink is told when the copies differ.
 */
import type { Comparison, Remembered } from './remembered.ts';
import { seqDistance } from './sequence.ts';

/** Receives the stream. `bytes` are valid during the call only. */
export interface StreamSink {
  /** `seq`: sequence number of the first byte. */
  data(bytes: Uint8Array, timeUs: number, seq: number): void;
  /** `length` bytes of the stream were never seen. */
  gap(length: number, timeUs: number): void;
  /** Another copy of delivered bytes differs from them, or cannot be compared any more. */
  conflict(comparison: 'differs' | 'unknown'): void;
}

export interface ReassemblyCounters {
  duplicate_segments: number;
  out_of_order_segments: number;
  out_of_window_segments: number;
  gaps: number;
  gap_bytes: number;
  /** Copies of bytes that differ from those delivered before. */
  conflicting_segments: number;
  /** Copies of bytes to the service that are not remembered any more. */
  unverified_copies: number;
}

interface Chunk {
  seq: number;
  bytes: Uint8Array;
  /** Bytes behind `bytes` that the capture cut off. */
  cut: number;
  timeUs: number;
  ack: number;
}

/** Segments further than this from the expected byte belong to another connection (or to nobody). */
export const WINDOW_BYTES = 16 * 1024 * 1024;
/** A kept segment costs at least this much memory, however few bytes it has. */
const CHUNK_COST_BYTES = 192;

export class Reassembly {
  /** Next byte to deliver; null until the stream's start is known. */
  next: number | null = null;
  /** Sequence number right behind the stream's last byte, once a FIN was seen. */
  private end: number | null = null;
  /** Highest byte that the peer acknowledged. */
  private acked: number | null = null;
  private chunks: Chunk[] = [];
  pendingBytes = 0;
  /** Since when something is held back or known to be missing; null when nothing is. */
  waitingSinceUs: number | null = null;
  private readonly sink: StreamSink;
  private readonly counters: ReassemblyCounters;
  /** Whether a chunk may be delivered yet, given the acknowledgement number that it carried. */
  private readonly isReady: (ack: number) => boolean;
  private readonly remembered: Remembered;
  /** Sequence number behind the last byte that was seen, a FIN included. */
  highest: number | null = null;
  /** Sequence number of the stream's first byte, where the handshake told it. */
  start: number | null = null;

  constructor(
    sink: StreamSink,
    counters: ReassemblyCounters,
    ready: (ack: number) => boolean,
    remembered: Remembered,
  ) {
    this.sink = sink;
    this.counters = counters;
    this.isReady = ready;
    this.remembered = remembered;
  }

  /** All bytes up to the FIN were delivered. */
  get isDone(): boolean {
    return this.end !== null && this.next !== null && seqDistance(this.next, this.end) >= 0;
  }

  get holdsData(): boolean {
    return this.chunks.length > 0;
  }

  /** The stream's first byte has this sequence number (the SYN's plus one). */
  startAt(seq: number): void {
    this.start ??= seq;
    if (this.next !== null) return;
    this.next = seq;
    this.raiseHighest(seq);
    this.flush();
  }

  /** Compares bytes with the stream's own. */
  compare(seq: number, bytes: Uint8Array): Comparison {
    return this.remembered.compare(seq, bytes);
  }

  /** Sequence number of the highest byte, plus one, that the peer acknowledged. */
  get ackedByPeer(): number | null {
    return this.acked;
  }

  get finSeq(): number | null {
    return this.end;
  }

  /** Whether every byte before `ack` was delivered. */
  hasDeliveredUpTo(ack: number): boolean {
    if (this.next === null) return false;
    // A FIN counts one in acknowledgements and is no byte.
    const limit = this.end !== null && seqDistance(ack, this.end) > 0 ? this.end : ack;
    return seqDistance(this.next, limit) >= 0;
  }

  /** Takes a segment. Returns false when it lies outside every window and was ignored. */
  addSegment(seq: number, payload: Uint8Array, cut: number, timeUs: number, ack: number): boolean {
    const length = payload.length + cut;
    if (length === 0) return true;
    if (this.next !== null) {
      const distance = seqDistance(seq, this.next);
      if (Math.abs(distance) > WINDOW_BYTES) {
        this.counters.out_of_window_segments++;
        return false;
      }
      if (distance + length <= 0) {
        this.counters.duplicate_segments++;
        this.compareCopy(seq, payload);
        return true;
      }
      this.raiseHighest((seq + length) >>> 0);
      if (distance <= 0 && this.isReady(ack)) {
        this.deliverChunk({ seq, bytes: payload, cut, timeUs, ack });
        if (this.chunks.length > 0 || this.waitingSinceUs !== null) this.flush();
        return true;
      }
    } else {
      this.raiseHighest((seq + length) >>> 0);
    }
    // A copy: the slice() of a Buffer would be a view into the capture buffer, which the next packet overwrites.
    this.keepChunk({ seq, bytes: Uint8Array.from(payload), cut, timeUs, ack });
    return true;
  }

  /** A FIN whose sequence number (behind its payload) is `seq`. */
  setFin(seq: number): void {
    this.end ??= seq;
    this.raiseHighest((seq + 1) >>> 0);
  }

  /** The FIN was not believed: bytes came behind it. */
  withdrawFin(): void {
    this.end = null;
  }

  /** The peer acknowledged every byte before `ack`. */
  handleAcknowledgement(ack: number, timeUs: number): void {
    // What lies beyond every window was never sent: such an acknowledgement is forged.
    if (this.next !== null && seqDistance(ack, this.next) > WINDOW_BYTES) return;
    if (this.acked === null || seqDistance(ack, this.acked) > 0) this.acked = ack;
    if (this.next === null || this.waitingSinceUs !== null) return;
    // A FIN counts one; bytes acknowledged beyond it do not exist.
    const limit = this.end !== null && seqDistance(ack, this.end) > 0 ? this.end : ack;
    const missing = seqDistance(limit, this.next);
    if (missing > 0 && missing <= WINDOW_BYTES) this.waitingSinceUs = timeUs;
  }

  /** Delivers what has become ready (the other direction moved on). */
  flush(): void {
    while (this.next !== null && this.chunks.length > 0) {
      const first = this.chunks[0]!;
      if (seqDistance(first.seq, this.next) > 0 || !this.isReady(first.ack)) break;
      this.chunks.shift();
      this.pendingBytes -= first.bytes.length + CHUNK_COST_BYTES;
      if (seqDistance(first.seq, this.next) + first.bytes.length + first.cut > 0) {
        this.deliverChunk(first);
      } else {
        this.counters.duplicate_segments++;
        this.compareCopy(first.seq, first.bytes);
      }
    }
    if (this.chunks.length === 0 && (this.next === null || !this.lacksAcknowledgedBytes()))
      this.waitingSinceUs = null;
  }

  /**
   * Gives up on the bytes before the first kept chunk (or before what the peer acknowledged) and goes on behind
   * them. With `everything` also where the peer acknowledged nothing: the connection is over.
   */
  skipGap(timeUs: number, everything: boolean): void {
    const first = this.chunks[0];
    if (this.next === null) {
      if (first !== undefined) this.next = first.seq;
    } else {
      const missing = this.missingBytes(everything);
      if (missing > 0) {
        this.counters.gaps++;
        this.counters.gap_bytes += missing;
        this.next = (this.next + missing) >>> 0;
        this.sink.gap(missing, timeUs);
      }
    }
    this.waitingSinceUs = this.chunks.length > 0 ? timeUs : null;
    this.flush();
  }

  /** Drops everything that is kept. */
  discard(): void {
    this.chunks = [];
    this.pendingBytes = 0;
    this.waitingSinceUs = null;
    this.remembered.discard();
  }

  /** Whether the peer acknowledged a byte that was not delivered and is not kept. */
  lacksAcknowledgedBytes(): boolean {
    return this.missingBytes(false) > 0;
  }

  /** The acknowledgement number that the first kept chunk carried. */
  get firstAck(): number | null {
    return this.chunks[0]?.ack ?? null;
  }

  /** Sequence number of the first kept chunk. */
  get firstSeq(): number | null {
    return this.chunks[0]?.seq ?? null;
  }

  /** Everything before `seq` will not come any more. Returns false when that changes nothing. */
  skipTo(seq: number, timeUs: number): boolean {
    if (this.next === null) {
      this.next = seq;
      return true;
    }
    const missing = seqDistance(seq, this.next);
    if (missing <= 0 || missing > WINDOW_BYTES) return false;
    this.counters.gaps++;
    this.counters.gap_bytes += missing;
    this.next = seq;
    this.sink.gap(missing, timeUs);
    return true;
  }

  private missingBytes(everything: boolean): number {
    if (this.next === null) return 0;
    const first = this.chunks[0];
    const hole = first === undefined ? null : Math.max(0, seqDistance(first.seq, this.next));
    if (everything && hole !== null) return hole;
    if (this.acked === null) return 0;
    const limit = this.end !== null && seqDistance(this.acked, this.end) > 0 ? this.end : this.acked;
    const acknowledged = seqDistance(limit, this.next);
    if (acknowledged <= 0 || acknowledged > WINDOW_BYTES) return 0;
    return hole === null ? acknowledged : Math.min(hole, acknowledged);
  }

  private keepChunk(chunk: Chunk): void {
    let index = this.chunks.length;
    while (index > 0 && seqDistance(this.chunks[index - 1]!.seq, chunk.seq) > 0) index--;
    const before = this.chunks[index - 1];
    if (
      before !== undefined &&
      before.cut === 0 &&
      seqDistance(chunk.seq, before.seq) + chunk.bytes.length + chunk.cut <= before.bytes.length
    ) {
      this.counters.duplicate_segments++;
      const from = seqDistance(chunk.seq, before.seq);
      if (Buffer.compare(chunk.bytes, before.bytes.subarray(from, from + chunk.bytes.length)) !== 0) {
        this.sink.conflict('differs');
      }
      return;
    }
    this.counters.out_of_order_segments++;
    this.chunks.splice(index, 0, chunk);
    this.pendingBytes += chunk.bytes.length + CHUNK_COST_BYTES;
    this.waitingSinceUs ??= chunk.timeUs;
  }

  private raiseHighest(seq: number): void {
    if (this.highest === null || seqDistance(seq, this.highest) > 0) this.highest = seq;
  }

  /** Compares a copy with what was delivered in its place. */
  private compareCopy(seq: number, bytes: Uint8Array): void {
    // A byte before the stream's first one is no byte of it: some keep-alive probes carry one.
    const before = this.start === null ? 0 : Math.max(0, seqDistance(this.start, seq));
    if (before >= bytes.length) return;
    const from = (seq + before) >>> 0;
    const comparison = this.remembered.compare(from, before === 0 ? bytes : bytes.subarray(before));
    if (comparison !== 'same') this.sink.conflict(comparison);
  }

  private deliverChunk(chunk: Chunk): void {
    const skip = -seqDistance(chunk.seq, this.next!);
    if (skip > 0) this.compareCopy(chunk.seq, chunk.bytes.subarray(0, Math.min(skip, chunk.bytes.length)));
    this.next = (chunk.seq + chunk.bytes.length + chunk.cut) >>> 0;
    if (skip < chunk.bytes.length) {
      const bytes = skip === 0 ? chunk.bytes : chunk.bytes.subarray(skip);
      const seq = (chunk.seq + skip) >>> 0;
      this.remembered.remember(seq, bytes);
      this.sink.data(bytes, chunk.timeUs, seq);
    }
    const cut = Math.min(chunk.cut, chunk.bytes.length + chunk.cut - skip);
    if (cut > 0) {
      this.counters.gaps++;
      this.counters.gap_bytes += cut;
      this.sink.gap(cut, chunk.timeUs);
    }
  }
}
