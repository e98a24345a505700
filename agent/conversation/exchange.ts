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
}

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
