/**
 * Reads HTTP/1.x heads (RFC 9112) line by line, wherever they are split. Only the values that a verdict or
 * the framing needs are taken from a line. The line itself, and with it every other header's value, is
 * dropped at once.
 */
import { MAX_HEAD_BYTES, MAX_LINE_BYTES } from './limits.ts';

const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const TAB = 0x09;
/** The characters of a token (RFC 9110, section 5.6.2). */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** The headers that frame a message's body (RFC 9112, section 6.3). */
export interface Framing {
  contentLength: number | null;
  chunked: boolean;
}

/** Control characters without the tab, which a header's value may hold. */
const CONTROL = /[\0-\x08\x0a-\x1f\x7f]/;

/** Reads one head and calls `readStartLine` and `readHeader` for its lines. */
export abstract class HeadReader {
  /** When the head's first byte was captured, in microseconds since the Unix epoch. */
  startUs: number | null = null;
  readonly framing: Framing = { contentLength: null, chunked: false };
  /** The number of lines longer than `MAX_LINE_BYTES`. */
  cutLines = 0;
  /**
   * Every line so far ends with CR LF and is a start line or a header in the form of RFC 9112. Servers differ
   * in how they read any other line.
   */
  protected isStrict = true;
  protected contentLengths = 0;
  protected transferEncodings = 0;
  private line = Buffer.alloc(0);
  private lineBytes = 0;
  private headBytes = 0;
  private sawStartLine = false;
  private headerName = '';
  private headerValue = '';

  get hasStartLine(): boolean {
    return this.sawStartLine;
  }

  /**
   * Reads bytes from the index `from` on. Returns the index behind the head's last byte, -1 if the head goes
   * on, or `'malformed'` if this is no head.
   */
  read(bytes: Uint8Array, from: number, timeUs: number): number | 'malformed' {
    let position = from;
    while (position < bytes.length) {
      const end = bytes.indexOf(LF, position);
      const piece = bytes.subarray(position, end < 0 ? bytes.length : end);
      // Empty lines before the start line are skipped (RFC 9112, section 2.2); the head begins behind them.
      if (this.startUs === null && (piece.length > 1 || (piece.length === 1 && piece[0] !== CR))) {
        this.startUs = timeUs;
      }
      this.headBytes += piece.length + 1;
      if (this.headBytes > MAX_HEAD_BYTES) return 'malformed';
      if (end < 0) {
        this.append(piece);
        return !this.sawStartLine && this.cannotBegin(this.line) ? 'malformed' : -1;
      }
      position = end + 1;
      const line = this.takeLine(piece);
      if (line.length === 0) {
        if (!this.sawStartLine) {
          this.isStrict = false;
          continue;
        }
        this.endHeader();
        return position;
      }
      if (!this.sawStartLine) {
        const verdict = this.readStartLine(line);
        if (verdict === 'malformed') return 'malformed';
        this.sawStartLine = true;
        if (verdict === 'whole') return position;
      } else {
        this.headerLine(line);
      }
    }
    return -1;
  }

  /** Reads the start line. Returns `'whole'` if the message has no headers (HTTP/0.9). */
  protected abstract readStartLine(line: Buffer): 'headers' | 'whole' | 'malformed';
  /** Reads a header; `name` is in lower case. */
  protected abstract readHeader(name: string, value: string): void;
  /**
   * Returns whether no start line can begin with these bytes, so that garbage is rejected before it grows.
   */
  protected abstract cannotBegin(partial: Buffer): boolean;

  private append(piece: Uint8Array): void {
    this.lineBytes += piece.length;
    const room = MAX_LINE_BYTES - this.line.length;
    if (room > 0 && piece.length > 0) this.line = Buffer.concat([this.line, piece.subarray(0, room)]);
  }

  private takeLine(piece: Uint8Array): Buffer {
    let line: Buffer;
    if (this.lineBytes === 0 && piece.length <= MAX_LINE_BYTES) {
      line = piece instanceof Buffer ? piece : Buffer.from(piece.buffer, piece.byteOffset, piece.length);
    } else {
      this.append(piece);
      line = this.line;
      if (this.lineBytes > MAX_LINE_BYTES) {
        this.cutLines++;
        this.isStrict = false;
      }
      this.line = Buffer.alloc(0);
      this.lineBytes = 0;
    }
    if (line.length > 0 && line[line.length - 1] === CR) return line.subarray(0, -1);
    this.isStrict = false;
    return line;
  }

  private headerLine(line: Buffer): void {
    if (line[0] === SPACE || line[0] === TAB) {
      // A folded line (RFC 9112, section 5.2) continues the last header's value and is never a header.
      this.isStrict = false;
      this.headerValue = `${this.headerValue} ${line.toString('latin1').trim()}`.slice(0, MAX_LINE_BYTES);
      return;
    }
    this.endHeader();
    const text = line.toString('latin1');
    const colon = text.indexOf(':');
    if (colon <= 0) {
      this.isStrict = false;
      return;
    }
    const name = text.slice(0, colon);
    // White space before the colon makes it another name. A server must refuse such a request (section 5.1).
    if (!TOKEN.test(name)) {
      this.isStrict = false;
      return;
    }
    this.headerName = name.toLowerCase();
    this.headerValue = text.slice(colon + 1).trim();
    if (this.isStrict && CONTROL.test(this.headerValue)) this.isStrict = false;
  }

  /** Ends the header that is being read. Its folded lines are complete only when the next header begins. */
  private endHeader(): void {
    const name = this.headerName;
    if (name === '') return;
    const value = this.headerValue;
    this.headerName = '';
    this.headerValue = '';
    if (name === 'content-length') {
      this.contentLengths++;
      if (/^\d{1,15}$/.test(value)) this.framing.contentLength = Number(value);
      else this.isStrict = false;
    } else if (name === 'transfer-encoding') {
      this.transferEncodings++;
      if (/(^|,)\s*chunked\s*$/i.test(value)) this.framing.chunked = true;
    }
    this.readHeader(name, value);
  }
}

export { TOKEN as HTTP_TOKEN };
