/**
 * Reassembles one direction of a TCP connection: segments in any order, repeated or overlapping, become bytes
 * in order.
 *
 * Sequence numbers are compared modulo 2^32 (RFC 9293, section 3.4). Where segments overlap, the byte that is
 * delivered first counts, and the sink learns when the copies differ.
 */
import type { ReassemblyCounters } from './counters.ts';
import type { Comparison, DeliveredBytes } from './delivered_bytes.ts';
import { seqDistance } from './sequence.ts';

/** Receives the stream. `bytes` are valid only during the call. */
export interface StreamSink {
  /** Receives the next bytes; `seq` is the sequence number of the first one. */
  data(bytes: Uint8Array, timeUs: number, seq: number): void;
  /** Learns that `length` bytes of the stream were never seen. */
  gap(length: number, timeUs: number): void;
  /** Learns that another copy of delivered bytes differs, or cannot be compared any more. */
  conflict(comparison: 'differs' | 'unknown'): void;
}

interface Chunk {
  seq: number;
  bytes: Uint8Array;
  /** The number of bytes behind `bytes` that the capture cut off. */
  cut: number;
  timeUs: number;
  ack: number;
}

/** Segments further than this from the expected byte belong to another connection, or to none. */
export const WINDOW_BYTES = 16 * 1024 * 1024;
/** A kept segment costs at least this much memory, however few bytes it has. */
const CHUNK_COST_BYTES = 192;

export class Reassembly {
  /** Sequence number of the next byte to deliver; null until the stream's start is known. */
  next: number | null = null;
  /** Sequence number behind the stream's last byte, once a FIN was seen. */
  finSeq: number | null = null;
  /** Highest acknowledgement number of the peer. */
  ackedByPeer: number | null = null;
  private chunks: Chunk[] = [];
  pendingBytes = 0;
  /** Time since which bytes are held back or known to be missing; null if there are none. */
  waitingSinceUs: number | null = null;
  private readonly sink: StreamSink;
  private readonly counters: ReassemblyCounters;
  /** Returns whether a chunk with this acknowledgement number may be delivered yet. */
  private readonly isReady: (ack: number) => boolean;
  /** The last bytes that were delivered. */
  readonly delivered: DeliveredBytes;
  /** Sequence number behind the last byte that was seen; a FIN counts one. */
  highest: number | null = null;
  /** Sequence number of the stream's first byte; null if the handshake did not show it. */
  start: number | null = null;

  constructor(
    sink: StreamSink,
    counters: ReassemblyCounters,
    ready: (ack: number) => boolean,
    remembered: DeliveredBytes,
  ) {
    this.sink = sink;
    this.counters = counters;
    this.isReady = ready;
    this.delivered = remembered;
  }

  /** Returns whether all bytes up to the FIN were delivered. */
  get isDone(): boolean {
    return this.finSeq !== null && this.next !== null && seqDistance(this.next, this.finSeq) >= 0;
  }

  get holdsData(): boolean {
    return this.chunks.length > 0;
  }

  /** Starts the stream: its first byte has this sequence number (the SYN's plus one). */
  startAt(seq: number): void {
    this.start ??= seq;
    if (this.next !== null) return;
    this.next = seq;
    this.raiseHighest(seq);
    this.flush();
  }

  /** Compares bytes with the delivered ones in the same place. */
  compare(seq: number, bytes: Uint8Array): Comparison {
    return this.delivered.compare(seq, bytes);
  }

  /** Returns whether every byte before `ack` was delivered. */
  hasDeliveredUpTo(ack: number): boolean {
    if (this.next === null) return false;
    // A FIN counts one in acknowledgements, but is no byte.
    const limit = this.finSeq !== null && seqDistance(ack, this.finSeq) > 0 ? this.finSeq : ack;
    return seqDistance(this.next, limit) >= 0;
  }

  /** Adds a segment. Returns false if it lies outside every window and is ignored. */
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
    // The bytes are copied: slice() of a Buffer is a view into the capture buffer, which the next packet
    // overwrites.
    this.keepChunk({ seq, bytes: Uint8Array.from(payload), cut, timeUs, ack });
    return true;
  }

  /** Handles a FIN whose sequence number (behind its payload) is `seq`. */
  setFin(seq: number): void {
    this.finSeq ??= seq;
    this.raiseHighest((seq + 1) >>> 0);
  }

  /** Withdraws the FIN: bytes came behind it. */
  withdrawFin(): void {
    this.finSeq = null;
  }

  /** Learns that the peer acknowledged every byte before `ack`. */
  handleAcknowledgement(ack: number, timeUs: number): void {
    // Bytes beyond every window were never sent: such an acknowledgement is forged.
    if (this.next !== null && seqDistance(ack, this.next) > WINDOW_BYTES) return;
    if (this.ackedByPeer === null || seqDistance(ack, this.ackedByPeer) > 0) this.ackedByPeer = ack;
    if (this.next === null || this.waitingSinceUs !== null) return;
    // A FIN counts one. There are no bytes beyond it.
    const limit = this.finSeq !== null && seqDistance(ack, this.finSeq) > 0 ? this.finSeq : ack;
    const missing = seqDistance(limit, this.next);
    if (missing > 0 && missing <= WINDOW_BYTES) this.waitingSinceUs = timeUs;
  }

  /** Delivers the chunks that became ready because the other direction moved on. */
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
   * Gives up on the missing bytes before the first kept chunk, or before the peer's acknowledgement, and
   * continues behind them. With `everything`, also gives up on bytes that the peer did not acknowledge: the
   * connection is over.
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

  /** Deletes all kept bytes. */
  discard(): void {
    this.discardPending();
    this.delivered.discard();
  }

  /** Deletes the bytes that wait; those that were delivered can still be compared. */
  discardPending(): void {
    this.chunks = [];
    this.pendingBytes = 0;
    this.waitingSinceUs = null;
  }

  /** Returns whether the peer acknowledged a byte that was not delivered and is not kept. */
  lacksAcknowledgedBytes(): boolean {
    return this.missingBytes(false) > 0;
  }

  /** Returns the acknowledgement number of the first kept chunk. */
  get firstAck(): number | null {
    return this.chunks[0]?.ack ?? null;
  }

  /** Returns the sequence number of the first kept chunk. */
  get firstSeq(): number | null {
    return this.chunks[0]?.seq ?? null;
  }

  /** Gives up on every byte before `seq`. Returns false if that changes nothing. */
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
    if (this.ackedByPeer === null) return 0;
    const limit =
      this.finSeq !== null && seqDistance(this.ackedByPeer, this.finSeq) > 0 ? this.finSeq : this.ackedByPeer;
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

  /** Compares a copy with the bytes that were delivered in its place. */
  private compareCopy(seq: number, bytes: Uint8Array): void {
    // A byte before the stream's first one does not belong to it: some keep-alive probes carry one.
    const before = this.start === null ? 0 : Math.max(0, seqDistance(this.start, seq));
    if (before >= bytes.length) return;
    const from = (seq + before) >>> 0;
    const comparison = this.delivered.compare(from, before === 0 ? bytes : bytes.subarray(before));
    if (comparison !== 'same') this.sink.conflict(comparison);
  }

  private deliverChunk(chunk: Chunk): void {
    const skip = -seqDistance(chunk.seq, this.next!);
    if (skip > 0) this.compareCopy(chunk.seq, chunk.bytes.subarray(0, Math.min(skip, chunk.bytes.length)));
    this.next = (chunk.seq + chunk.bytes.length + chunk.cut) >>> 0;
    if (skip < chunk.bytes.length) {
      const bytes = skip === 0 ? chunk.bytes : chunk.bytes.subarray(skip);
      const seq = (chunk.seq + skip) >>> 0;
      this.delivered.remember(seq, bytes);
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
