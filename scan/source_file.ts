/** One file as it was read: its bytes, its text, and the positions in that text. Pure: it opens nothing. */

/** A place in a file. */
export interface Position {
  /** Index into `SourceFile.text`, in UTF-16 code units, from 0. */
  index: number;
  /** Offset in the file's bytes, from 0. */
  byte: number;
  /** Line number, from 1. */
  line: number;
  /** Column in UTF-16 code units, from 1. */
  column: number;
}

/** A stretch of a file. `end` is the first position behind it. */
export interface Range {
  start: Position;
  end: Position;
}

export type Encoding = 'utf8' | 'latin1';

/**
 * The text keeps a byte order mark and all line endings, so that `bytesOf(text)` returns the same bytes. Files
 * that are not valid UTF-8 are decoded as ISO 8859-1, where every byte is one character.
 */
export class SourceFile {
  /** Path as it is reported: with `/`, relative to the working directory where it lies below it. */
  readonly path: string;
  readonly bytes: Uint8Array;
  readonly encoding: Encoding;
  readonly text: string;
  #lineStarts: number[] | null = null;
  #checkpoints: number[] | null = null;

  constructor(path: string, bytes: Uint8Array) {
    this.path = path;
    this.bytes = bytes;
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let text: string | null = null;
    try {
      text = STRICT_UTF8.decode(bytes);
    } catch {
      text = null; // Not UTF-8: every byte becomes one character, so nothing is lost.
    }
    this.encoding = text === null ? 'latin1' : 'utf8';
    this.text = text ?? buffer.toString('latin1');
  }

  static fromText(path: string, text: string): SourceFile {
    return new SourceFile(path, Buffer.from(text, 'utf8'));
  }

  /** Returns the bytes of a text in this file's encoding. */
  bytesOf(text: string): Uint8Array {
    return Buffer.from(text, this.encoding);
  }

  get lineCount(): number {
    return this.#starts().length;
  }

  /** Returns the line with this number (from 1), without its line ending; '' for a line that is not there. */
  line(number: number): string {
    const starts = this.#starts();
    const start = starts[number - 1];
    if (start === undefined) return '';
    return this.text.slice(start, starts[number] ?? this.text.length).replace(/\r?\n$|\r$/, '');
  }

  /** Returns the index at which the line with this number (from 1) starts. */
  lineStart(number: number): number {
    const starts = this.#starts();
    return starts[Math.min(Math.max(number, 1), starts.length) - 1]!;
  }

  /** Returns the position of an index, which is moved into the file if it lies outside. */
  position(index: number): Position {
    const clamped = Math.min(Math.max(Math.trunc(index) || 0, 0), this.text.length);
    const starts = this.#starts();
    let low = 0;
    let high = starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (starts[middle]! <= clamped) low = middle;
      else high = middle - 1;
    }
    const start = starts[low]!;
    const byte = this.text.length === this.bytes.length ? clamped : this.#byteAt(clamped);
    return { index: clamped, byte, line: low + 1, column: clamped - start + 1 };
  }

  /** Returns the range between two indices. */
  range(start: number, end: number): Range {
    return { start: this.position(start), end: this.position(Math.max(start, end)) };
  }

  #starts(): number[] {
    if (this.#lineStarts === null) {
      const starts = [0];
      for (let at = this.text.indexOf('\n'); at !== -1; at = this.text.indexOf('\n', at + 1))
        starts.push(at + 1);
      this.#lineStarts = starts;
    }
    return this.#lineStarts;
  }

  /** Counts from the checkpoint before the index, since a file may be one long line. */
  #byteAt(index: number): number {
    if (this.#checkpoints === null) {
      this.#checkpoints = [0];
      for (let start = 0, byte = 0; start + CHECKPOINT <= this.text.length; start += CHECKPOINT) {
        byte += utf8Length(this.text, start, start + CHECKPOINT);
        this.#checkpoints.push(byte);
      }
    }
    const at = Math.floor(index / CHECKPOINT);
    return this.#checkpoints[at]! + utf8Length(this.text, at * CHECKPOINT, index);
  }
}

/** Code units between two stored byte offsets. */
const CHECKPOINT = 4096;

/** Returns the bytes of a part in UTF-8. A surrogate pair counts where it begins. */
function utf8Length(text: string, start: number, end: number): number {
  let bytes = 0;
  for (let at = start; at < end; at++) {
    const code = text.charCodeAt(at);
    if (code < 0x80) bytes += 1;
    else if (code < 0x800) bytes += 2;
    else if (code >= 0xd800 && code <= 0xdbff) bytes += 4;
    else if (code < 0xdc00 || code > 0xdfff) bytes += 3;
  }
  return bytes;
}

const STRICT_UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
