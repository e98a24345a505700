/** Finds the end of a body (RFC 9112, sections 6 and 7). Bodies are skipped and never kept. */

export type BodyLength = number | 'chunked' | 'until-close';

const LF = 0x0a;
/** The longest chunk-size or trailer line. A longer one makes the body malformed. */
const MAX_CHUNK_LINE_BYTES = 4_096;

export class BodySkipper {
  private state: 'counted' | 'until-close' | 'chunk-size' | 'chunk-data' | 'chunk-end' | 'trailer' | 'end';
  private remaining: number;
  private line = '';

  constructor(length: BodyLength) {
    this.remaining = typeof length === 'number' ? length : 0;
    if (length === 'chunked') this.state = 'chunk-size';
    else if (length === 'until-close') this.state = 'until-close';
    else this.state = length === 0 ? 'end' : 'counted';
  }

  /** Returns the index behind the body's last byte, -1 if the body goes on, or `'malformed'`. */
  skip(bytes: Uint8Array, from: number): number | 'malformed' {
    let position = from;
    while (this.state !== 'end') {
      if (position >= bytes.length) return -1;
      if (this.state === 'until-close') return -1;
      if (this.state === 'counted' || this.state === 'chunk-data') {
        const taken = Math.min(this.remaining, bytes.length - position);
        this.remaining -= taken;
        position += taken;
        if (this.remaining === 0) this.state = this.state === 'counted' ? 'end' : 'chunk-end';
        continue;
      }
      const end = bytes.indexOf(LF, position);
      const piece = bytes.subarray(position, end < 0 ? bytes.length : end);
      if (this.line.length + piece.length > MAX_CHUNK_LINE_BYTES) return 'malformed';
      this.line += Buffer.from(piece.buffer, piece.byteOffset, piece.length).toString('latin1');
      if (end < 0) return -1;
      position = end + 1;
      const line = this.line.endsWith('\r') ? this.line.slice(0, -1) : this.line;
      this.line = '';
      if (!this.chunkLine(line)) return 'malformed';
    }
    return position;
  }

  /**
   * Skips `length` bytes that were never seen. Returns false if it is not known any more where the body ends.
   */
  skipUnseen(length: number): boolean {
    if (this.state === 'until-close') return true;
    if (this.state !== 'counted' && this.state !== 'chunk-data') return false;
    if (length > this.remaining) return false;
    this.remaining -= length;
    if (this.remaining === 0) this.state = this.state === 'counted' ? 'end' : 'chunk-end';
    return true;
  }

  get hasEnded(): boolean {
    return this.state === 'end';
  }

  private chunkLine(line: string): boolean {
    switch (this.state) {
      case 'chunk-size': {
        const size = /^[0-9a-f]{1,12}(?=\s*(?:;|$))/i.exec(line);
        if (size === null) return false;
        this.remaining = Number.parseInt(size[0], 16);
        this.state = this.remaining === 0 ? 'trailer' : 'chunk-data';
        return true;
      }
      case 'chunk-end':
        this.state = 'chunk-size';
        return line === '';
      default: // a trailer line; an empty one ends the body
        if (line === '') this.state = 'end';
        return true;
    }
  }
}
