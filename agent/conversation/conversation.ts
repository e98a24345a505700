/**
 * Turns the two streams of one connection into exchanges: each request is paired with its own answer. Answers
 * come in the order of the requests (RFC 9112, section 9.3.2). An exchange is reported when its answer's head
 * is complete.
 */
import { ClientSide } from './client_side.ts';
import type { ConversationCounters } from './counters.ts';
import type { ConversationHooks } from './exchange.ts';
import { RequestHead } from './request.ts';
import { type AnswerReceiver, ServerSide } from './server_side.ts';
import { type Answer, WaitingRequests } from './waiting_requests.ts';

export class Conversation implements AnswerReceiver {
  private readonly counters: ConversationCounters;
  private readonly waiting: WaitingRequests;
  private readonly client: ClientSide;
  private readonly server: ServerSide;

  /**
   * `joinedMidway`: the connection began before the capture, and its first bytes may be in the middle of a
   * message.
   */
  constructor(
    counters: ConversationCounters,
    maxWaiting: number,
    joinedMidway: boolean,
    hooks: ConversationHooks,
  ) {
    this.counters = counters;
    this.waiting = new WaitingRequests(counters, maxWaiting, hooks);
    this.client = new ClientSide(counters, this.waiting, joinedMidway, hooks);
    this.server = new ServerSide(counters, joinedMidway, this);
  }

  /**
   * Returns when the oldest request began that has no answer yet, in microseconds since the epoch; null
   * without one.
   */
  get waitingSinceUs(): number | null {
    return this.waiting.sinceUs ?? this.client.openSinceUs;
  }

  /** Returns whether no request is in progress or waits for its answer. */
  get isIdle(): boolean {
    return this.waiting.isEmpty && this.client.isIdle;
  }

  /** Learns that the first bytes are the first of a message: the connection's SYN was captured after all. */
  startAtMessage(): void {
    this.client.startAtMessage();
    this.server.startAtMessage();
  }

  /** Learns that the service may have read other bytes from this client than we did. */
  markAmbiguous(): void {
    this.client.markAmbiguous();
    this.waiting.markAmbiguous();
  }

  /** Reads bytes of the client of which the first has the sequence number `seq`. */
  readClientData(bytes: Uint8Array, timeUs: number, seq: number): void {
    this.client.readData(bytes, timeUs, seq);
  }

  /** Skips `length` bytes of the client that were never seen. */
  skipClientGap(length: number, timeUs: number): void {
    this.client.skipGap(length, timeUs);
  }

  /**
   * Learns that the client sent a segment, with or without data; `ack` is its acknowledgement number, null
   * without one.
   */
  handleClientSegment(ack: number | null, timeUs: number): void {
    this.waiting.handleClientSegment(ack, timeUs);
  }

  /** Reads bytes of the service of which the first has the sequence number `seq`. */
  readServerData(bytes: Uint8Array, timeUs: number, seq: number): void {
    this.server.readData(bytes, timeUs, seq);
  }

  /** Skips `length` bytes of the service that were never seen. */
  skipServerGap(length: number): void {
    this.server.skipGap(length);
  }

  /** Ends the conversation with its connection: requests without an answer end with `outcome`. */
  finish(outcome: 'unanswered' | 'reset'): void {
    this.server.reportPartialAnswer();
    this.waiting.endAll(outcome);
    this.reportOpenRequest();
    this.counters.undelivered_answers += this.waiting.undelivered;
  }

  /** Reports every request that waits as unanswered; the connection may go on. */
  expire(): void {
    this.waiting.expireAll();
    this.reportOpenRequest();
  }

  /** Pairs an answer with the oldest request that has none. Called by the service's side. */
  pairAnswer(answer: Answer, outcome: 'answered' | 'truncated'): string | null {
    this.counters.answers++;
    let request = this.waiting.takeOldest() ?? this.client.takeEarlyAnswered();
    if (request === null) {
      if (this.waiting.takeExpired()) return null;
      this.counters.answers_without_request++;
      request = { head: new RequestHead(true), startUs: answer.startUs ?? 0, isWhole: false, form: 'odd' };
    }
    this.waiting.reportAnswered(request, answer, outcome);
    return request.head.method;
  }

  giveUpAnswers(): void {
    this.waiting.reportAllUnanswered('truncated');
  }

  endRequests(): void {
    this.client.becomeOpaque();
  }

  private reportOpenRequest(): void {
    const open = this.client.abandonOpenRequest();
    if (open !== null) this.waiting.reportUnanswered(open, 'truncated');
  }
}
