/** One request with its answer, or the lack of one: what a conversation consists of. */
import type { Outcome } from '../../protocol/call.ts';
import type { Place } from './place.ts';

export interface ExchangeRequest {
  method: string | null;
  path: string | null;
  query: string | null;
  /** What the path as sent names. Found from `path` where it is left out. */
  place?: Place;
  userAgent: string | null;
  hasToken: boolean;
  /** The head was seen to its end, with no byte missing: only then is "no token" a certainty. */
  isWhole: boolean;
  /** Whether every server reads the request as we do. */
  form: RequestForm;
}

/**
 * - `plain`: the head is strictly well formed, has at most one token, and no body or upgrade blurs where it ends.
 * - `odd`: servers differ in how they read such a head, or one before it on the same connection.
 * - `ambiguous`: the bytes themselves are uncertain; copies differed, or urgent data may be no part of the stream.
 */
export type RequestForm = 'plain' | 'odd' | 'ambiguous';

export interface ExchangeResponse {
  status: number;
  /** Carries the token's remaining lifetime: the service took the request for IMDSv2. */
  hasTokenTtl: boolean;
}

export interface Exchange {
  /** Microseconds since the Unix epoch, when the request's first byte was captured. */
  startUs: number;
  /** When the answer's first byte was captured; null without one. */
  responseUs: number | null;
  request: ExchangeRequest;
  response: ExchangeResponse | null;
  outcome: Outcome;
}
