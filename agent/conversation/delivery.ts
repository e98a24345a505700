/**
 * Finds out whether an answer reached its client. An answer that was captured on a host may still be dropped
 * before it reaches a container: with a hop limit of 1 the answer to a token request is dropped on its last
 * hop. A client acknowledges the bytes that it received, so an exchange is reported when the first byte of
 * its answer is acknowledged.
 */
import type { ConversationHooks, Exchange } from './exchange.ts';
import { seqDistance } from './sequence.ts';

/**
 * A segment that the client sends this long after an answer, without acknowledging it, shows that it was not
 * received.
 */
const ACKNOWLEDGED_WITHIN_US = 50_000;

/** The most answers of one connection that wait to be acknowledged. */
const MAX_HELD = 256;

interface Held {
  exchange: Exchange;
  responseUs: number;
  seq: number;
}

export class Delivery {
  private readonly hooks: Pick<ConversationHooks, 'exchangeCompleted'>;
  private readonly waiting: Held[] = [];
  private acked: number | null = null;
  private lastClientUs = 0;
  /** The number of answers that the client never received. */
  undelivered = 0;

  constructor(hooks: Pick<ConversationHooks, 'exchangeCompleted'>) {
    this.hooks = hooks;
  }

  /** Returns when the oldest request began whose answer is not acknowledged; null without one. */
  get waitingSinceUs(): number | null {
    return this.waiting[0]?.exchange.startUs ?? null;
  }

  /** Adds an exchange whose answer's first byte has the sequence number `seq`. */
  addAnswer(exchange: Exchange, responseUs: number, seq: number): void {
    if (this.acked !== null && seqDistance(this.acked, seq) > 0) this.hooks.exchangeCompleted(exchange);
    else this.waiting.push({ exchange, responseUs, seq });
    if (this.waiting.length > MAX_HELD) {
      const oldest = this.waiting.shift()!.exchange;
      this.hooks.exchangeCompleted({ ...oldest, response: null, responseUs: null, outcome: 'truncated' });
    }
  }

  /** Learns that the service may have read the requests of the waiting answers otherwise. */
  markAmbiguous(): void {
    for (const { exchange } of this.waiting) exchange.request.form = 'ambiguous';
  }

  /** Handles a segment of the client; `ack` is its acknowledgement number, null without one. */
  handleClientSegment(ack: number | null, timeUs: number): void {
    this.lastClientUs = Math.max(this.lastClientUs, timeUs);
    if (ack === null) return;
    if (this.acked === null || seqDistance(ack, this.acked) > 0) this.acked = ack;
    while (this.waiting.length > 0 && seqDistance(this.acked, this.waiting[0]!.seq) > 0) {
      this.hooks.exchangeCompleted(this.waiting.shift()!.exchange);
    }
  }

  /**
   * Ends the wait for acknowledgements. An answer counts as received unless the client sent something well
   * after it without acknowledging it.
   */
  finish(outcome: 'unanswered' | 'reset'): void {
    for (const { exchange, responseUs } of this.waiting.splice(0)) {
      if (this.lastClientUs - responseUs < ACKNOWLEDGED_WITHIN_US) {
        this.hooks.exchangeCompleted({ ...exchange, isPresumed: true });
        continue;
      }
      this.undelivered++;
      const isWhole = exchange.request.isWhole;
      this.hooks.exchangeCompleted({
        ...exchange,
        response: null,
        responseUs: null,
        outcome: isWhole ? outcome : 'truncated',
      });
    }
  }
}
