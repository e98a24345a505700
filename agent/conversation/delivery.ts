/**
 * Whether an answer reached its client. What is captured on a host can still die before it gets to a container behind
 * it: with a hop limit of 1 the answer to a token request does, on its last hop. A client acknowledges what it
 * received, so an exchange is reported when the first byte of its answer was acknowledged.
 */
import type { Exchange } from './exchange.ts';
import { seqDistance } from './sequence.ts';

/** What the client sends this long after an answer, without acknowledging it, was sent without having it. */
const ACKNOWLEDGED_WITHIN_US = 50_000;

/** Answers of one connection that wait to be acknowledged. */
const MAX_HELD = 256;

interface Held {
  exchange: Exchange;
  responseUs: number;
  seq: number;
}

export class Delivery {
  private readonly emit: (exchange: Exchange) => void;
  private readonly waiting: Held[] = [];
  private acked: number | null = null;
  private lastClientUs = 0;
  /** Answers that their clients never received. */
  undelivered = 0;

  constructor(emit: (exchange: Exchange) => void) {
    this.emit = emit;
  }

  /** When the oldest request began whose answer is not acknowledged; null without one. */
  get waitingSinceUs(): number | null {
    return this.waiting[0]?.exchange.startUs ?? null;
  }

  /** An exchange whose answer's first byte has the sequence number `seq`. */
  addAnswer(exchange: Exchange, responseUs: number, seq: number): void {
    if (this.acked !== null && seqDistance(this.acked, seq) > 0) this.emit(exchange);
    else this.waiting.push({ exchange, responseUs, seq });
    if (this.waiting.length > MAX_HELD) {
      const oldest = this.waiting.shift()!.exchange;
      this.emit({ ...oldest, response: null, responseUs: null, outcome: 'truncated' });
    }
  }

  /** The requests whose answers wait may have been read otherwise by the service. */
  markAmbiguous(): void {
    for (const { exchange } of this.waiting) exchange.request.form = 'ambiguous';
  }

  /** The client sent a segment; `ack`: its acknowledgement number, null without one. */
  handleClientSegment(ack: number | null, timeUs: number): void {
    this.lastClientUs = Math.max(this.lastClientUs, timeUs);
    if (ack === null) return;
    if (this.acked === null || seqDistance(ack, this.acked) > 0) this.acked = ack;
    while (this.waiting.length > 0 && seqDistance(this.acked, this.waiting[0]!.seq) > 0) {
      this.emit(this.waiting.shift()!.exchange);
    }
  }

  /** No acknowledgement is waited for any more. A client that fell silent at once gets the benefit of the doubt. */
  finish(outcome: 'unanswered' | 'reset'): void {
    for (const { exchange, responseUs } of this.waiting.splice(0)) {
      if (this.lastClientUs - responseUs < ACKNOWLEDGED_WITHIN_US) {
        this.emit(exchange);
        continue;
      }
      this.undelivered++;
      const isWhole = exchange.request.isWhole;
      this.emit({ ...exchange, response: null, responseUs: null, outcome: isWhole ? outcome : 'truncated' });
    }
  }
}
