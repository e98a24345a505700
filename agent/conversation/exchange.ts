/** One request with its answer, or the lack of one: a conversation consists of such exchanges. */
import type { Outcome } from '../../protocol/call.ts';
import type { ByteRange } from '../flow.ts';
import type { Place } from './place.ts';

export interface ExchangeRequest {
  method: string | null;
  path: string | null;
  query: string | null;
  /** The metadata that the path names, as it was sent. Found from `path` if it is absent. */
  place?: Place;
  userAgent: string | null;
  hasToken: boolean;
  /** The head has a header that only clients of other clouds send. */
  hasOtherCloudsHeader?: boolean;
  /** Whom a proxy names as its client (`X-Forwarded-For`, `Forwarded`, `Via`). It tells clients apart and is kept nowhere. */
  relayedFor?: string | null;
  /** Sequence numbers of the first and the last byte of the head; null or absent if no byte was seen. */
  bytes?: ByteRange | null;
  /** The head was seen to its end with no byte missing. Only then is "no token" certain. */
  isWhole: boolean;
  /** States how surely every server reads the request as we do. */
  form: RequestForm;
}

/**
 * - `plain`: the head is strictly well formed, has at most one token, and no body or upgrade blurs where it
 *   ends.
 * - `odd`: servers differ in how they read this head, or an earlier one on the same connection.
 * - `ambiguous`: the bytes themselves are uncertain; copies differed, or urgent data may be no part of the
 *   stream.
 */
export type RequestForm = 'plain' | 'odd' | 'ambiguous';

export interface ExchangeResponse {
  status: number;
  /** The answer carries the token's remaining lifetime: the service read the request as IMDSv2. */
  hasTokenTtl: boolean;
  /** The answer names the service in its `Server` header. Any other server may do so too. */
  namesService?: boolean;
}

export interface Exchange {
  /** When the request's first byte was captured, in microseconds since the Unix epoch. */
  startUs: number;
  /** When the answer's first byte was captured; null without one. */
  responseUs: number | null;
  request: ExchangeRequest;
  response: ExchangeResponse | null;
  outcome: Outcome;
  /** No acknowledgement of the answer was seen, and no sign that it did not arrive. */
  isPresumed?: boolean;
  /** See `PathHops.hops`. Set when the exchange is reported. */
  hops?: number | null;
}

/** Receives the requests and exchanges that a conversation finds. */
export interface ConversationHooks {
  /**
   * A request's head is complete; its answer is still to come. `startUs` is when its first byte was captured.
   */
  requestSeen(request: ExchangeRequest, startUs: number): void;
  exchangeCompleted(exchange: Exchange): void;
}

/** Receives also what a whole connection shows. */
export interface ConnectionHooks extends ConversationHooks {
  /**
   * The client closed or reset the connection while a request waited for its answer, or an answer for its
   * acknowledgement. The answer may still come if the client closed only its own direction.
   * `answerHopLimit`: see `PathHops`.
   */
  clientClosed(timeUs: number, answerHopLimit: number | null): void;
}
