/** Reads the head of a request: its method, target, user agent and token header. */
import { TOKEN_HEADER } from '../../protocol/endpoints.ts';
import { cutText, MAX_PATH_CHARACTERS, MAX_USER_AGENT_CHARACTERS } from '../../protocol/text_bounds.ts';
import { maskShapes } from '../secrets/mask_shapes.ts';
import { redactPath, redactQuery, redactUserAgent } from '../secrets/redact.ts';
import { HeadReader, HTTP_TOKEN } from './head.ts';
import { isOtherCloudsHeader } from './other_clouds.ts';
import { NOWHERE, type Place, placeOf } from './place.ts';

const MAX_METHOD_BYTES = 64;
const MAX_RELAYED_CHARACTERS = 256;

/**
 * The methods of RFC 9110, section 9, and RFC 5789. Behind a gap only these begin a request: `ET /` is a torn
 * one.
 */
const KNOWN_METHOD = /^(?:GET|HEAD|PUT|POST|DELETE|OPTIONS|PATCH|TRACE|CONNECT)$/;

/** A start line with one space between its parts, and with only a path for a target. */
const PLAIN_START_LINE = /^[A-Z]{3,10} \/[!-~]* HTTP\/1\.[01]$/;

export class RequestHead extends HeadReader {
  private readonly afterGap: boolean;
  private hasPlainStartLine = false;
  private tokens = 0;
  private hasPlainToken = true;
  private asksForUpgrade = false;

  /** Sequence numbers of the first byte of the head and of the last one that was read; null while none is known. */
  startSeq: number | null = null;
  lastSeq: number | null = null;
  method: string | null = null;
  /** The path of the request target, as sent, with secrets masked. */
  path: string | null = null;
  query: string | null = null;
  /** The metadata that the path names. It is found before secrets are masked, because a mask may hide it. */
  place: Place = NOWHERE;
  userAgent: string | null = null;
  /** Whom a proxy names as its client; null without a proxy that says so. */
  relayedFor: string | null = null;
  /** The head has the token header, with any value. */
  hasToken = false;
  /** The head has a header that only clients of other clouds send. */
  hasOtherCloudsHeader = false;
  /**
   * The head is the HTTP/2 connection preface (RFC 9113, section 3.4): the bytes behind it are not HTTP/1.
   */
  isHttp2Preface = false;

  /** `afterGap`: bytes before this head were not seen. */
  constructor(afterGap: boolean) {
    super();
    this.afterGap = afterGap;
  }

  /**
   * Returns whether every server reads this head as we do: it is strictly well formed, has at most one token
   * header, whose value is not empty, no body, and asks for no other protocol.
   */
  get isPlain(): boolean {
    return (
      this.isStrict &&
      this.hasPlainStartLine &&
      this.tokens <= 1 &&
      this.hasPlainToken &&
      this.transferEncodings === 0 &&
      this.contentLengths <= 1 &&
      (this.framing.contentLength ?? 0) === 0 &&
      !this.asksForUpgrade
    );
  }

  protected override readStartLine(line: Buffer): 'headers' | 'whole' | 'malformed' {
    const space = line.indexOf(0x20);
    if (space <= 0 || space > MAX_METHOD_BYTES) return 'malformed';
    const method = line.toString('latin1', 0, space);
    if (!(this.afterGap ? KNOWN_METHOD : HTTP_TOKEN).test(method)) return 'malformed';
    const last = line.lastIndexOf(0x20);
    const version = last > space ? line.toString('latin1', last + 1) : '';
    const isVersioned = /^HTTP\/\d(\.\d)?$/.test(version);
    // A request without a version is HTTP/0.9 (RFC 1945, section 5): GET only, without headers. A line that
    // was cut at the length limit has lost its version and counts as a request.
    const isCut = this.cutLines > 0;
    if (!isVersioned && !isCut && (method !== 'GET' || last > space)) return 'malformed';
    this.method = maskShapes(method);
    this.hasPlainStartLine = method !== 'CONNECT' && PLAIN_START_LINE.test(line.toString('latin1'));
    // A server may accept more than one space between the parts (RFC 9112, section 3), and many do.
    let start = space + 1;
    let end = isVersioned ? last : line.length;
    while (start < end && line[start] === 0x20) start++;
    while (end > start && line[end - 1] === 0x20) end--;
    this.readTarget(line.subarray(start, end), isCut);
    this.isHttp2Preface = method === 'PRI' && version === 'HTTP/2.0';
    return isVersioned || isCut ? 'headers' : 'whole';
  }

  protected override readHeader(name: string, value: string): void {
    if (name === TOKEN_HEADER) {
      this.hasToken = true;
      this.tokens++;
      if (!/^[!-~]+$/.test(value)) this.hasPlainToken = false;
    } else if (name === 'upgrade' || name === 'http2-settings') {
      this.asksForUpgrade = true;
    } else if (name === 'user-agent' && this.userAgent === null) {
      const text = Buffer.from(value, 'latin1').toString('utf8');
      // The text is masked before it is cut, because a part of a secret need not look like a secret.
      this.userAgent = cutText(redactUserAgent(text, this.cutLines > 0), MAX_USER_AGENT_CHARACTERS);
    } else if (name === 'x-forwarded-for' || name === 'forwarded' || name === 'via') {
      this.relayedFor = cutText(`${this.relayedFor ?? ''}${name}: ${value}\n`, MAX_RELAYED_CHARACTERS);
    } else if (isOtherCloudsHeader(name, value)) {
      this.hasOtherCloudsHeader = true;
    }
  }

  protected override cannotBegin(partial: Buffer): boolean {
    const space = partial.indexOf(0x20);
    const method = partial.toString('latin1', 0, space < 0 ? partial.length : space);
    if (method.length > MAX_METHOD_BYTES) return true;
    return method !== '' && method !== '\r' && !HTTP_TOKEN.test(method);
  }

  /** Reads the request target in its origin, absolute, authority or asterisk form (RFC 9112, section 3.2). */
  private readTarget(bytes: Buffer, isCut: boolean): void {
    // Bytes that are not printable ASCII do not belong in a target. They are shown percent-encoded.
    const target = bytes
      .toString('latin1')
      .replace(/[^!-~]/g, (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`);
    const absolute = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i.exec(target);
    const rest = absolute ? target.slice(absolute[0].length) : target;
    const mark = rest.indexOf('?');
    const path = mark < 0 ? rest : rest.slice(0, mark);
    const targetPath = path === '' && absolute ? '/' : path;
    this.place = placeOf(targetPath);
    this.path = cutText(redactPath(targetPath, isCut && mark < 0), MAX_PATH_CHARACTERS);
    this.query = mark < 0 ? null : cutText(redactQuery(rest.slice(mark + 1), isCut), MAX_PATH_CHARACTERS);
  }
}
