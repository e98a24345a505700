/**
 * The last bytes of a stream that were delivered, to compare later copies with. A copy that differs means that the
 * receiver may have read something else than we did.
 */
import { seqDistance } from './sequence.ts';

/** Shared by all streams: how much they remember together. */
export interface MemoryUse {
  bytes: number;
}

/** Above this sum every stream keeps only `FLOODED_BYTES`. */
const MAX_BYTES_TOTAL = 16_777_216;
const FLOODED_BYTES = 1_024;

/** Bytes as a string of Latin-1: several times cheaper to make and to collect than an array of its own. */
interface Piece {
  seq: number;
  text: string;
}

export type Comparison = 'same' | 'differs' | 'unknown';

export class Remembered {
  private readonly sharedUse: MemoryUse;
  private readonly maxBytes: number;
  private readonly maxPieceBytes: number;
  private pieces: Piece[] = [];
  private bytes = 0;

  /** Of each piece the first `maxPieceBytes` are kept, and `maxBytes` of all pieces. */
  constructor(use: MemoryUse, maxBytes: number, maxPieceBytes: number) {
    this.sharedUse = use;
    this.maxBytes = maxBytes;
    this.maxPieceBytes = maxPieceBytes;
  }

  /** Keeps a copy of bytes that follow those of the last call. */
  remember(seq: number, bytes: Uint8Array): void {
    const length = Math.min(bytes.length, this.maxPieceBytes);
    this.pieces.push({ seq, text: textOf(bytes, length) });
    this.addBytes(length);
    const limit = this.sharedUse.bytes > MAX_BYTES_TOTAL ? FLOODED_BYTES : this.maxBytes;
    while (this.bytes > limit && this.pieces.length > 1) this.addBytes(-this.pieces.shift()!.text.length);
    if (this.pieces.length > MAX_PIECES) this.addBytes(-this.pieces.shift()!.text.length);
  }

  /** Compares bytes with those that were delivered in their place. */
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

/** Bounds what a stream of tiny segments costs: each piece is an object of its own. */
const MAX_PIECES = 512;
