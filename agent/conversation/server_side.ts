/** The service's side of a conversation: finds the answers in the service's bytes. */
import { BodySkipper } from './body.ts';
import type { ConversationCounters } from './counters.ts';
import { ResponseHead } from './response.ts';
import type { Answer } from './waiting_requests.ts';

/** The conversation, as its service's side uses it. */
export interface AnswerReceiver {
  /**
   * Pairs a final answer with its request. The outcome is `answered` when the head is complete, `truncated`
   * when the lines behind the status are lost. Returns the method of the request, or null.
   */
  pairAnswer(answer: Answer, outcome: 'answered' | 'truncated'): string | null;
  /** Gives up on all answers: the service's bytes turned out not to be HTTP/1. */
  giveUpAnswers(): void;
  /** Reads no more requests: the service changed the protocol of the connection (status 101). */
  endRequests(): void;
}

export class ServerSide {
  private readonly counters: ConversationCounters;
  private readonly receiver: AnswerReceiver;
  private head: ResponseHead | null = null;
  private body: BodySkipper | null = null;
  /** When the first byte of the answer in progress was captured, and its sequence number. */
  private startUs: number | null = null;
  private startSeq = 0;
  /** The bytes are no HTTP/1 any more; they are counted and dropped. */
  private isOpaque = false;
  /** The beginning of the next message was not seen: reading goes on where a message begins again. */
  private isLost: boolean;

  /**
   * `joinedMidway`: the connection began before the capture, and its first bytes may be in the middle of a
   * message.
   */
  constructor(counters: ConversationCounters, joinedMidway: boolean, receiver: AnswerReceiver) {
    this.counters = counters;
    this.isLost = joinedMidway;
    this.receiver = receiver;
  }

  /** Learns that the connection's first bytes are the first of a message: its SYN was captured after all. */
  startAtMessage(): void {
    this.isLost = false;
  }

  /** Reads bytes of which the first has the sequence number `seq`. */
  readData(bytes: Uint8Array, timeUs: number, seq: number): void {
    let position = 0;
    while (position < bytes.length) {
      if (this.isOpaque) {
        this.counters.opaque_bytes += bytes.length - position;
        return;
      }
      if (this.body !== null) {
        const end = this.body.skip(bytes, position);
        if (end === -1) return;
        this.body = null;
        if (end === 'malformed') this.isLost = true;
        else position = end;
        continue;
      }
      const isFirst = this.head === null;
      this.head ??= new ResponseHead();
      if (this.startUs === null) {
        this.startUs = timeUs;
        this.startSeq = (seq + position) >>> 0;
      }
      const end = this.head.read(bytes, position, timeUs);
      if (end === -1) return;
      if (end === 'malformed') {
        this.endMalformedAnswer(isFirst, bytes.length - position);
        return;
      }
      position = end;
      this.isLost = false;
      this.endHead(this.head);
    }
  }

  /** Skips `length` bytes that were never seen. */
  skipGap(length: number): void {
    if (this.isOpaque) return;
    if (this.body?.skipUnseen(length)) {
      if (this.body.hasEnded) this.body = null;
      return;
    }
    this.counters.gaps_in_heads++;
    this.body = null;
    this.isLost = true;
    this.reportPartialAnswer();
    this.startUs = null;
  }

  /**
   * Reports the answer in progress if its status was seen: it is an answer, although its other headers, and
   * with them the end of its body, are lost.
   */
  reportPartialAnswer(): void {
    const { head } = this;
    this.head = null;
    if (head?.hasStartLine && !head.isInterim) {
      const { startUs, startSeq } = this;
      this.receiver.pairAnswer({ head, startUs, startSeq }, 'truncated');
    }
  }

  private endMalformedAnswer(isFirst: boolean, length: number): void {
    this.head = null;
    this.startUs = null;
    this.counters.opaque_bytes += length;
    if (this.isLost && isFirst) return; // the next message has not begun yet
    this.counters.malformed_answers++;
    this.isOpaque = !this.isLost;
    this.receiver.giveUpAnswers();
  }

  private endHead(head: ResponseHead): void {
    this.head = null;
    const answer: Answer = { head, startUs: this.startUs, startSeq: this.startSeq };
    this.startUs = null;
    this.counters.cut_lines += head.cutLines;
    if (head.isInterim) {
      this.counters.interim_answers++;
      return;
    }
    const method = this.receiver.pairAnswer(answer, 'answered');
    const body = new BodySkipper(bodyLengthOf(head, method));
    this.body = body.hasEnded ? null : body;
    if (head.status === 101) {
      this.counters.upgraded_connections++;
      this.isOpaque = true;
      this.receiver.endRequests();
    }
  }
}

/** Returns the length of an answer's body (RFC 9112, section 6.3). */
function bodyLengthOf(head: ResponseHead, method: string | null): number | 'chunked' | 'until-close' {
  if (method === 'HEAD' || head.status < 200 || head.status === 204 || head.status === 304) return 0;
  if (head.framing.chunked) return 'chunked';
  return head.framing.contentLength ?? 'until-close';
}
