/**
 * Keeps the last delivered bytes of a stream, to compare later copies with. If a copy differs, the receiver
 * may have read other bytes than we did.
 */
import { seqDistance } from './sequence.ts';

/** The sum over all streams, which share this object. */
export interface MemoryUse {
  bytes: number;
}

/** Above this sum each stream keeps only `FLOODED_BYTES`. */
const MAX_BYTES_TOTAL = 16_777_216;
const FLOODED_BYTES = 1_024;

/** Bytes as a Latin-1 string, which is several times cheaper to create and to collect than an array. */
interface Piece {
  seq: number;
  text: string;
}

export type Comparison = 'same' | 'differs' | 'unknown';

export class DeliveredBytes {
  private readonly sharedUse: MemoryUse;
  private readonly maxBytes: number;
  private readonly maxPieceBytes: number;
  private pieces: Piece[] = [];
  private bytes = 0;

  /** Keeps the first `maxPieceBytes` of each piece, and at most `maxBytes` of all pieces. */
  constructor(use: MemoryUse, maxBytes: number, maxPieceBytes: number) {
    this.sharedUse = use;
    this.maxBytes = maxBytes;
    this.maxPieceBytes = maxPieceBytes;
  }

  /** Keeps a copy of bytes that follow the bytes of the last call. */
  remember(seq: number, bytes: Uint8Array): void {
    const length = Math.min(bytes.length, this.maxPieceBytes);
    this.pieces.push({ seq, text: textOf(bytes, length) });
    this.addBytes(length);
    const limit = this.sharedUse.bytes > MAX_BYTES_TOTAL ? FLOODED_BYTES : this.maxBytes;
    while (this.bytes > limit && this.pieces.length > 1) this.addBytes(-this.pieces.shift()!.text.length);
    if (this.pieces.length > MAX_PIECES) this.addBytes(-this.pieces.shift()!.text.length);
  }

  /** Compares bytes with the ones that were delivered in their place. */
  compare(seq: number, bytes: Uint8Array): Comparison {
    let known = 0;
    const text = textOf(bytes, bytes.length);
    for (const piece of this.pieces) {
      const offset = seqDistance(piece.seq, seq);
      const from = Math.max(0, offset);
      const to = Math.min(text.length, offset + piece.text.length);
      if (to <= from) continue;
      if (text.slice(from, to) !== piece.text.slice(from - offset, to - offset)) return 'differs';
      known += to - from;
    }
    return known >= bytes.length ? 'same' : 'unknown';
  }

  discard(): void {
    this.addBytes(-this.bytes);
    this.pieces = [];
  }

  private addBytes(bytes: number): void {
    this.bytes += bytes;
    this.sharedUse.bytes += bytes;
  }
}

function textOf(bytes: Uint8Array, length: number): string {
  const buffer = bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return buffer.toString('latin1', 0, length);
}

/** The most pieces of one stream. It bounds the cost of tiny segments: each piece is an object. */
const MAX_PIECES = 512;
