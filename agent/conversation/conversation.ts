/**
 * The two streams of one connection become exchanges: requests found in the client's bytes, answers in the
 * service's, each request paired with its own answer (RFC 9112, section 9.3.2: answers come in the order of the
 * requests). An exchange is handed on as soon as its answer's head is complete.
 */
import { BodySkipper } from './body.ts';
import { Delivery } from './delivery.ts';
import type { Exchange, ExchangeRequest, RequestForm } from './exchange.ts';
import { RequestHead } from './request.ts';
import { ResponseHead } from './response.ts';

export interface ConversationCounters {
  requests: number;
  answers: number;
  interim_answers: number;
  /** Holes in a stream that were not within a body: something of a request or an answer was not seen. */
  gaps_in_heads: number;
  /** Streams that turned out not to be HTTP/1, and what was left of them. */
  malformed_requests: number;
  malformed_answers: number;
  upgraded_connections: number;
  opaque_bytes: number;
  /** Answers of which no request was seen. */
  answers_without_request: number;
  /** Of those, the ones that do not say which protocol they answer: a call was made that is not reported. */
  unjudged_answers: number;
  /** Requests whose bytes were never seen and that nothing answered. */
  unseen_requests: number;
  /** Requests that ended within their first line. */
  unfinished_requests: number;
  /** Answers that were captured and never reached their client. */
  undelivered_answers: number;
  /** Answers that came after their request was reported unanswered. */
  late_answers: number;
  /** Requests beyond the bound on requests that wait for an answer. */
  surplus_requests: number;
  cut_lines: number;
}

export interface ConversationHooks {
  /** A request's head is complete; its answer is still to come. `startUs`: when its first byte was captured. */
  requestSeen(request: ExchangeRequest, startUs: number): void;
  exchangeCompleted(exchange: Exchange): void;
}

interface Pending {
  head: RequestHead;
  startUs: number;
  isWhole: boolean;
  form: RequestForm;
}

export class Conversation {
  private readonly counters: ConversationCounters;
  private readonly maxPending: number;
  private readonly hooks: ConversationHooks;
  private readonly pending: Pending[] = [];
  private requestHead: RequestHead | null = null;
  private requestBody: BodySkipper | null = null;
  /** The request in progress was answered before its head ended (a server refuses an endless head). */
  private answeredEarly = false;
  private responseHead: ResponseHead | null = null;
  private responseBody: BodySkipper | null = null;
  private responseStartUs: number | null = null;
  private responseStartSeq = 0;
  private readonly delivery: Delivery;
  /** This side is no HTTP/1 any more; its bytes are counted and dropped. */
  private clientOpaque = false;
  private serverOpaque = false;
  /** A gap swallowed the beginning of what comes next: go on where a message begins again. */
  private clientLost: boolean;
  private serverLost: boolean;
  /** The client's bytes are uncertain from here on, and so is where its requests begin and end. */
  private isAmbiguous = false;
  /** A request was oddly formed: a server may see other requests in the bytes that follow. */
  private sawOddRequest = false;
  /** The request in progress follows a hole. */
  private followsGap = false;
  /** Requests reported unanswered whose answers may still come. */
  private expired = 0;

  /** `joinedMidway`: the connection began before we did, and its first bytes may be in the middle of a message. */
  constructor(
    counters: ConversationCounters,
    maxPending: number,
    joinedMidway: boolean,
    hooks: ConversationHooks,
  ) {
    this.counters = counters;
    this.maxPending = maxPending;
    this.clientLost = joinedMidway;
    this.serverLost = joinedMidway;
    this.hooks = hooks;
    this.delivery = new Delivery((exchange) => hooks.exchangeCompleted(exchange));
  }

  /** Microseconds since the epoch of the oldest request that has no answer yet; null without one. */
  get waitingSinceUs(): number | null {
    return this.delivery.waitingSinceUs ?? this.pending[0]?.startUs ?? this.openHead?.startUs ?? null;
  }

  /** The connection's SYN came after all: its first bytes are the first of a message. */
  startsHere(): void {
    this.clientLost = false;
    this.serverLost = false;
  }

  /** The service may have read other bytes from this client than we did. */
  doubt(): void {
    this.isAmbiguous = true;
    for (const pending of this.pending) pending.form = 'ambiguous';
    this.delivery.markAmbiguous();
  }

  /** Returns whether no request is begun or waits for its answer. */
  get isIdle(): boolean {
    return this.pending.length === 0 && this.requestHead === null && this.requestBody === null;
  }

  clientData(bytes: Uint8Array, timeUs: number): void {
    let position = 0;
    if (this.clientLost && this.requestHead?.hasStartLine === false && looksLikeRequest(bytes)) {
      this.requestHead = null; // the tail of something unseen, not the beginning of this request
    }
    while (position < bytes.length) {
      if (this.clientOpaque) {
        this.counters.opaque_bytes += bytes.length - position;
        return;
      }
      if (this.requestBody !== null) {
        const end = this.requestBody.skip(bytes, position);
        if (end === -1) return;
        this.requestBody = null;
        if (end === 'malformed') this.loseClient();
        else position = end;
        continue;
      }
      const isFirst = this.requestHead === null;
      this.requestHead ??= new RequestHead(this.clientLost);
      const end = this.requestHead.read(bytes, position, timeUs);
      if (end === -1) return;
      if (end === 'malformed') {
        this.endMalformedRequest(isFirst, bytes.length - position);
        return;
      }
      position = end;
      this.endRequestHead(timeUs);
    }
  }

  clientGap(length: number, timeUs: number): void {
    if (this.clientOpaque) return;
    if (this.requestBody?.skipUnseen(length)) {
      if (this.requestBody.ended) this.requestBody = null;
      return;
    }
    this.counters.gaps_in_heads++;
    this.followsGap = true;
    // Between messages, inside a head or beyond a body: whatever was in the hole, what follows may be mid-message.
    if (this.requestBody === null && this.requestHead === null) {
      this.requestHead = new RequestHead(true);
      this.requestHead.startUs = timeUs;
    }
    this.loseClient();
  }

  /** The client sent a segment, with or without data; `ack`: its acknowledgement number, null without one. */
  clientSegment(ack: number | null, timeUs: number): void {
    this.delivery.handleClientSegment(ack, timeUs);
  }

  /** `seq`: sequence number of the first byte. */
  serverData(bytes: Uint8Array, timeUs: number, seq: number): void {
    let position = 0;
    while (position < bytes.length) {
      if (this.serverOpaque) {
        this.counters.opaque_bytes += bytes.length - position;
        return;
      }
      if (this.responseBody !== null) {
        const end = this.responseBody.skip(bytes, position);
        if (end === -1) return;
        this.responseBody = null;
        if (end === 'malformed') this.serverLost = true;
        else position = end;
        continue;
      }
      const isFirst = this.responseHead === null;
      this.responseHead ??= new ResponseHead();
      if (this.responseStartUs === null) {
        this.responseStartUs = timeUs;
        this.responseStartSeq = (seq + position) >>> 0;
      }
      const end = this.responseHead.read(bytes, position, timeUs);
      if (end === -1) return;
      if (end === 'malformed') {
        this.responseHead = null;
        this.responseStartUs = null;
        this.counters.opaque_bytes += bytes.length - position;
        if (this.serverLost && isFirst) return;
        this.counters.malformed_answers++;
        this.serverOpaque = !this.serverLost;
        for (const pending of this.pending.splice(0)) this.report(pending, null, null, 'truncated');
        return;
      }
      position = end;
      this.serverLost = false;
      this.endResponseHead(this.responseHead);
    }
  }

  serverGap(length: number): void {
    if (this.serverOpaque) return;
    if (this.responseBody?.skipUnseen(length)) {
      if (this.responseBody.ended) this.responseBody = null;
      return;
    }
    this.counters.gaps_in_heads++;
    this.responseBody = null;
    this.serverLost = true;
    const head = this.responseHead;
    this.responseHead = null;
    // An answer whose status was seen is an answer; its other headers are lost, and with them the end of its body.
    if (head?.hasStartLine && !head.isInterim) this.answer(head, this.responseStartUs, 'truncated');
    this.responseStartUs = null;
  }

  /** The connection is over: requests without an answer end with `outcome`. */
  finish(outcome: 'unanswered' | 'reset'): void {
    const head = this.responseHead;
    this.responseHead = null;
    if (head?.hasStartLine && !head.isInterim) this.answer(head, this.responseStartUs, 'truncated');
    this.endWaiting(outcome);
    this.counters.undelivered_answers += this.delivery.undelivered;
  }

  /** The answers did not come in time; the connection may go on. */
  expire(): void {
    this.expired += this.pending.length;
    this.endWaiting('unanswered');
  }

  private endWaiting(outcome: 'unanswered' | 'reset'): void {
    this.delivery.finish(outcome);
    for (const pending of this.pending.splice(0)) {
      this.report(pending, null, null, pending.isWhole ? outcome : 'truncated');
    }
    const open = this.openHead;
    if (open === null) return;
    this.requestHead = null;
    this.clientLost = true;
    if (open.hasStartLine) this.report(this.unfinished(open), null, null, 'truncated');
    else this.counters.unfinished_requests++;
  }

  /** Hands an exchange on, unless nothing is known of it that could carry a verdict. */
  private report(
    request: Pending,
    response: ResponseHead | null,
    responseUs: number | null,
    outcome: Exchange['outcome'],
  ): void {
    if (!request.head.hasStartLine) {
      if (response === null) {
        this.counters.unseen_requests++;
        return;
      }
      if (response.status >= 400) {
        this.counters.unjudged_answers++;
        return;
      }
      // The request was not seen, but a success says by its headers which protocol it answers.
    }
    const exchange = exchangeOf(
      request,
      response,
      responseUs,
      request.head.hasStartLine ? outcome : 'truncated',
    );
    if (response === null || responseUs === null) this.hooks.exchangeCompleted(exchange);
    else this.delivery.addAnswer(exchange, responseUs, this.responseStartSeq);
  }

  /** A request head that has begun and neither ended nor been answered. */
  private get openHead(): RequestHead | null {
    return this.requestHead !== null && this.requestHead.startUs !== null && !this.answeredEarly
      ? this.requestHead
      : null;
  }

  private endMalformedRequest(isFirst: boolean, length: number): void {
    this.requestHead = null;
    this.answeredEarly = false;
    this.counters.opaque_bytes += length;
    if (this.clientLost && isFirst) return; // still looking for the next message
    this.counters.malformed_requests++;
    this.clientOpaque = true;
  }

  private endRequestHead(timeUs: number): void {
    const head = this.requestHead!;
    this.requestHead = null;
    this.clientLost = false;
    this.counters.cut_lines += head.cutLines;
    this.counters.requests++;
    const form = this.formOf(head);
    if (head.isHttp2Preface) {
      this.counters.upgraded_connections++;
      this.clientOpaque = true;
    } else {
      const body = new BodySkipper(head.framing.chunked ? 'chunked' : (head.framing.contentLength ?? 0));
      this.requestBody = body.ended ? null : body;
    }
    if (this.answeredEarly) {
      this.answeredEarly = false;
      return;
    }
    head.startUs ??= timeUs;
    this.hooks.requestSeen(requestOf(head, true, form), head.startUs);
    this.await({ head, startUs: head.startUs, isWhole: true, form });
  }

  private formOf(head: RequestHead): RequestForm {
    const isOdd = !head.isPlain || this.sawOddRequest || this.followsGap;
    this.followsGap = false;
    if (!head.isPlain) this.sawOddRequest = true;
    if (this.isAmbiguous) return 'ambiguous';
    return isOdd ? 'odd' : 'plain';
  }

  private unfinished(head: RequestHead): Pending {
    const form = this.isAmbiguous ? 'ambiguous' : 'odd';
    return { head, startUs: head.startUs!, isWhole: false, form };
  }

  /** A request waits for its answer from here on. */
  private await(request: Pending): void {
    if (this.pending.length < this.maxPending) {
      this.pending.push(request);
      return;
    }
    this.counters.surplus_requests++;
    this.report(request, null, null, 'truncated');
  }

  /** The client's bytes went missing in a place where they mattered. */
  private loseClient(): void {
    const head = this.requestHead;
    this.requestBody = null;
    this.requestHead = null;
    this.clientLost = true;
    if (head?.startUs != null && !this.answeredEarly) this.await(this.unfinished(head));
    this.answeredEarly = false;
  }

  private endResponseHead(head: ResponseHead): void {
    this.responseHead = null;
    const startUs = this.responseStartUs;
    this.responseStartUs = null;
    this.counters.cut_lines += head.cutLines;
    if (head.isInterim) {
      this.counters.interim_answers++;
      return;
    }
    const method = this.answer(head, startUs, 'answered');
    const body = new BodySkipper(answerBody(head, method));
    this.responseBody = body.ended ? null : body;
    if (head.status === 101) {
      this.counters.upgraded_connections++;
      this.clientOpaque = true;
      this.serverOpaque = true;
    }
  }

  /** Pairs an answer with the oldest request; returns that request's method. */
  private answer(
    head: ResponseHead,
    startUs: number | null,
    outcome: 'answered' | 'truncated',
  ): string | null {
    this.counters.answers++;
    let request = this.pending.shift();
    if (request === undefined && this.openHead !== null) {
      request = this.unfinished(this.openHead);
      this.answeredEarly = true;
    }
    if (request === undefined && this.expired > 0) {
      this.expired--;
      this.counters.late_answers++;
      return null;
    }
    if (request === undefined) {
      this.counters.answers_without_request++;
      request = { head: new RequestHead(true), startUs: startUs ?? 0, isWhole: false, form: 'odd' };
    }
    this.report(request, head, startUs, outcome);
    return request.head.method;
  }
}

/** Whether bytes begin as a request of a usual method does. */
function looksLikeRequest(bytes: Uint8Array): boolean {
  const beginning = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 16)).toString(
    'latin1',
  );
  return /^[A-Z]{3,10} \S/.test(beginning);
}

function requestOf(head: RequestHead, isWhole: boolean, form: RequestForm): ExchangeRequest {
  const { method, path, query, place, userAgent, hasToken } = head;
  return { method, path, query, place, userAgent, hasToken, isWhole, form };
}

function exchangeOf(
  { head, startUs, isWhole, form }: Pending,
  response: ResponseHead | null,
  responseUs: number | null,
  outcome: Exchange['outcome'],
): Exchange {
  return {
    startUs,
    responseUs: response === null ? null : responseUs,
    request: requestOf(head, isWhole, form),
    response: response === null ? null : { status: response.status, hasTokenTtl: response.hasTokenTtl },
    outcome,
  };
}

/** RFC 9112, section 6.3. */
function answerBody(head: ResponseHead, method: string | null): number | 'chunked' | 'until-close' {
  if (method === 'HEAD' || head.status < 200 || head.status === 204 || head.status === 304) return 0;
  if (head.framing.chunked) return 'chunked';
  return head.framing.contentLength ?? 'until-close';
}
