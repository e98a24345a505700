/** The requests of one connection that wait for their answers, and how each of them ends. */
import type { ConversationCounters } from './counters.ts';
import { Delivery } from './delivery.ts';
import type {
  ConversationHooks,
  Exchange,
  ExchangeRequest,
  ExchangeResponse,
  RequestForm,
} from './exchange.ts';
import type { RequestHead } from './request.ts';
import type { ResponseHead } from './response.ts';

export interface WaitingRequest {
  head: RequestHead;
  /** When its first byte was captured, in microseconds since the Unix epoch. */
  startUs: number;
  isWhole: boolean;
  form: RequestForm;
}

/** An answer, from its status on; `startSeq` is the sequence number of its first byte. */
export interface Answer {
  head: ResponseHead;
  startUs: number | null;
  startSeq: number;
}

export class WaitingRequests {
  private readonly counters: ConversationCounters;
  private readonly maxWaiting: number;
  private readonly hooks: ConversationHooks;
  private readonly delivery: Delivery;
  /** Oldest first. */
  private readonly requests: WaitingRequest[] = [];
  /** The number of requests that were reported unanswered and whose answers may still come. */
  private expired = 0;

  constructor(counters: ConversationCounters, maxWaiting: number, hooks: ConversationHooks) {
    this.counters = counters;
    this.maxWaiting = maxWaiting;
    this.hooks = hooks;
    this.delivery = new Delivery(hooks);
  }

  get isEmpty(): boolean {
    return this.requests.length === 0;
  }

  /**
   * Returns when the oldest request began that has no answer, or none that its client acknowledged; null
   * without one.
   */
  get sinceUs(): number | null {
    return this.delivery.waitingSinceUs ?? this.requests[0]?.startUs ?? null;
  }

  /** Adds a request. One beyond the bound is reported at once. */
  addRequest(request: WaitingRequest): void {
    if (this.requests.length < this.maxWaiting) {
      this.requests.push(request);
      return;
    }
    this.counters.surplus_requests++;
    this.reportUnanswered(request, 'truncated');
  }

  takeOldest(): WaitingRequest | null {
    return this.requests.shift() ?? null;
  }

  /** Returns whether an answer without a waiting request belongs to one that was reported unanswered. */
  takeExpired(): boolean {
    if (this.expired === 0) return false;
    this.expired--;
    this.counters.late_answers++;
    return true;
  }

  /** Marks every request as one that the service may have read otherwise. */
  markAmbiguous(): void {
    for (const request of this.requests) request.form = 'ambiguous';
    this.delivery.markAmbiguous();
  }

  /** See `Delivery.handleClientSegment`. */
  handleClientSegment(ack: number | null, timeUs: number): void {
    this.delivery.handleClientSegment(ack, timeUs);
  }

  /** Reports every request that waits; the answers of these requests may still come. */
  expireAll(): void {
    this.expired += this.requests.length;
    this.endAll('unanswered');
  }

  /** Ends the wait for acknowledgements and answers, and reports every request that waits. */
  endAll(outcome: 'unanswered' | 'reset'): void {
    this.delivery.finish(outcome);
    this.reportAllUnanswered(outcome);
  }

  reportAllUnanswered(outcome: 'unanswered' | 'reset' | 'truncated'): void {
    for (const request of this.requests.splice(0)) {
      this.reportUnanswered(request, request.isWhole ? outcome : 'truncated');
    }
  }

  /** Returns the number of answers that were captured and never reached the client. */
  get undelivered(): number {
    return this.delivery.undelivered;
  }

  /** Reports a request without an answer, unless its first line is missing: then nothing is known of it. */
  reportUnanswered(request: WaitingRequest, outcome: Exchange['outcome']): void {
    if (!request.head.hasStartLine) this.counters.unseen_requests++;
    else this.hooks.exchangeCompleted(exchangeOf(request, null, outcome));
  }

  /** Reports a request with its answer, once the client has acknowledged the answer. */
  reportAnswered(request: WaitingRequest, answer: Answer, outcome: 'answered' | 'truncated'): void {
    const { hasStartLine } = request.head;
    // The headers of a success say which protocol it answers, even where the request was not seen.
    if (!hasStartLine && answer.head.status >= 400) {
      this.counters.unjudged_answers++;
      return;
    }
    const exchange = exchangeOf(request, answer, hasStartLine ? outcome : 'truncated');
    if (answer.startUs === null) this.hooks.exchangeCompleted(exchange);
    else this.delivery.addAnswer(exchange, answer.startUs, answer.startSeq);
  }
}

export function exchangeRequestOf(head: RequestHead, isWhole: boolean, form: RequestForm): ExchangeRequest {
  const { method, path, query, place, userAgent, relayedFor, hasToken, hasOtherCloudsHeader } = head;
  const { startSeq: first, lastSeq: last } = head;
  const bytes = first === null || last === null ? null : { first, last };
  return {
    ...{ method, path, query, place, userAgent, relayedFor, hasToken, hasOtherCloudsHeader },
    ...{ bytes, isWhole, form },
  };
}

function exchangeOf(
  { head, startUs, isWhole, form }: WaitingRequest,
  answer: Answer | null,
  outcome: Exchange['outcome'],
): Exchange {
  return {
    startUs,
    responseUs: answer?.startUs ?? null,
    request: exchangeRequestOf(head, isWhole, form),
    response: answer === null ? null : responseOf(answer.head),
    outcome,
  };
}

function responseOf({ status, hasTokenTtl, namesService }: ResponseHead): ExchangeResponse {
  return namesService ? { status, hasTokenTtl, namesService } : { status, hasTokenTtl };
}
