/** The client's side of a conversation: finds the requests in the client's bytes. */
import { BodySkipper } from './body.ts';
import type { ConversationCounters } from './counters.ts';
import type { ConversationHooks, RequestForm } from './exchange.ts';
import { RequestHead } from './request.ts';
import { exchangeRequestOf, type WaitingRequest, type WaitingRequests } from './waiting_requests.ts';

export class ClientSide {
  private readonly counters: ConversationCounters;
  private readonly waiting: WaitingRequests;
  private readonly hooks: ConversationHooks;
  private head: RequestHead | null = null;
  private body: BodySkipper | null = null;
  /** The request in progress was answered before its head ended (a server refuses an endless head). */
  private isAnsweredEarly = false;
  /** The bytes are no HTTP/1 any more; they are counted and dropped. */
  private isOpaque = false;
  /** The beginning of the next message was not seen: reading goes on where a message begins again. */
  private isLost: boolean;
  /** The bytes are uncertain from here on, and so is where requests begin and end. */
  private isAmbiguous = false;
  /** A request was oddly formed: a server may see other requests in the bytes that follow. */
  private sawOddRequest = false;
  /** The request in progress follows a gap. */
  private followsGap = false;

  /**
   * `joinedMidway`: the connection began before the capture, and its first bytes may be in the middle of a
   * message.
   */
  constructor(
    counters: ConversationCounters,
    waiting: WaitingRequests,
    joinedMidway: boolean,
    hooks: ConversationHooks,
  ) {
    this.counters = counters;
    this.waiting = waiting;
    this.isLost = joinedMidway;
    this.hooks = hooks;
  }

  /** Returns whether no request is in progress. */
  get isIdle(): boolean {
    return this.head === null && this.body === null;
  }

  /** Returns when the request in progress began, in microseconds since the Unix epoch; null without one. */
  get openSinceUs(): number | null {
    return this.openHead?.startUs ?? null;
  }

  /** Learns that the connection's first bytes are the first of a message: its SYN was captured after all. */
  startAtMessage(): void {
    this.isLost = false;
  }

  /** Learns that the service may have read other bytes than we did. */
  markAmbiguous(): void {
    this.isAmbiguous = true;
  }

  /** Reads no more requests: the protocol of the connection was changed. */
  becomeOpaque(): void {
    this.isOpaque = true;
  }

  /** `seq` is the sequence number of the first byte. */
  readData(bytes: Uint8Array, timeUs: number, seq: number): void {
    let position = 0;
    if (this.isLost && this.head?.hasStartLine === false && looksLikeRequest(bytes)) {
      this.head = null; // the end of a message that was not seen, not the beginning of this request
    }
    while (position < bytes.length) {
      if (this.isOpaque) {
        this.counters.opaque_bytes += bytes.length - position;
        return;
      }
      if (this.body !== null) {
        const end = this.body.skip(bytes, position);
        if (end === -1) return;
        this.body = null;
        if (end === 'malformed') this.losePosition();
        else position = end;
        continue;
      }
      const isFirst = this.head === null;
      this.head ??= new RequestHead(this.isLost);
      this.head.startSeq ??= (seq + position) >>> 0;
      const end = this.head.read(bytes, position, timeUs);
      this.head.lastSeq = (seq + (typeof end === 'number' && end > 0 ? end : bytes.length) - 1) >>> 0;
      if (end === -1) return;
      if (end === 'malformed') {
        this.endMalformedRequest(isFirst, bytes.length - position);
        return;
      }
      position = end;
      this.endHead(this.head, timeUs);
    }
  }

  /** Skips `length` bytes that were never seen. */
  skipGap(length: number, timeUs: number): void {
    if (this.isOpaque) return;
    if (this.body?.skipUnseen(length)) {
      if (this.body.hasEnded) this.body = null;
      return;
    }
    this.counters.gaps_in_heads++;
    this.followsGap = true;
    // The gap is between messages, inside a head or behind a body. The bytes behind it may be inside a
    // message.
    if (this.body === null && this.head === null) {
      this.head = new RequestHead(true);
      this.head.startUs = timeUs;
    }
    this.losePosition();
  }

  /** Returns the request in progress, which an answer has reached before its head ended; null without one. */
  takeEarlyAnswered(): WaitingRequest | null {
    const { openHead } = this;
    if (openHead === null) return null;
    this.isAnsweredEarly = true;
    return this.unfinishedRequest(openHead);
  }

  /**
   * Gives up the request in progress. Returns it; null without one, or without its first line (which is
   * counted).
   */
  abandonOpenRequest(): WaitingRequest | null {
    const { openHead } = this;
    if (openHead === null) return null;
    this.head = null;
    this.isLost = true;
    if (openHead.hasStartLine) return this.unfinishedRequest(openHead);
    this.counters.unfinished_requests++;
    return null;
  }

  /** A head that has begun and neither ended nor been answered. */
  private get openHead(): RequestHead | null {
    return this.head !== null && this.head.startUs !== null && !this.isAnsweredEarly ? this.head : null;
  }

  private endMalformedRequest(isFirst: boolean, length: number): void {
    const { openHead } = this;
    // A head that is too long has a start line, and a service may read more of it than we do.
    if (openHead?.hasStartLine) this.waiting.addRequest(this.unfinishedRequest(openHead));
    this.head = null;
    this.isAnsweredEarly = false;
    this.counters.opaque_bytes += length;
    if (this.isLost && isFirst) return; // the next message has not begun yet
    this.counters.malformed_requests++;
    this.isOpaque = true;
  }

  private endHead(head: RequestHead, timeUs: number): void {
    this.head = null;
    this.isLost = false;
    this.counters.cut_lines += head.cutLines;
    this.counters.requests++;
    const form = this.formOf(head);
    if (head.isHttp2Preface) {
      this.counters.upgraded_connections++;
      this.isOpaque = true;
    } else {
      const body = new BodySkipper(head.framing.chunked ? 'chunked' : (head.framing.contentLength ?? 0));
      this.body = body.hasEnded ? null : body;
    }
    if (this.isAnsweredEarly) {
      this.isAnsweredEarly = false;
      return;
    }
    head.startUs ??= timeUs;
    this.hooks.requestSeen(exchangeRequestOf(head, true, form), head.startUs);
    this.waiting.addRequest({ head, startUs: head.startUs, isWhole: true, form });
  }

  private formOf(head: RequestHead): RequestForm {
    const isOdd = !head.isPlain || this.sawOddRequest || this.followsGap;
    this.followsGap = false;
    if (!head.isPlain) this.sawOddRequest = true;
    if (this.isAmbiguous) return 'ambiguous';
    return isOdd ? 'odd' : 'plain';
  }

  private unfinishedRequest(head: RequestHead): WaitingRequest {
    const form = this.isAmbiguous ? 'ambiguous' : 'odd';
    return { head, startUs: head.startUs!, isWhole: false, form };
  }

  /** Bytes went missing where they mattered: it is not known any more where messages begin. */
  private losePosition(): void {
    const { head } = this;
    this.body = null;
    this.head = null;
    this.isLost = true;
    if (head?.startUs != null && !this.isAnsweredEarly) {
      this.waiting.addRequest(this.unfinishedRequest(head));
    }
    this.isAnsweredEarly = false;
  }
}

/** Returns whether bytes begin as a request with a usual method does. */
function looksLikeRequest(bytes: Uint8Array): boolean {
  const beginning = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 16)).toString(
    'latin1',
  );
  return /^[A-Z]{3,10} \S/.test(beginning);
}
