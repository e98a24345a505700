/**
 * Adds up rows of counted calls. Only the instance metadata service (`ipv4`, `ipv6`) has versions: calls to
 * the endpoints of tasks and pods never count as IMDSv1. A request to the service without a token is IMDSv1,
 * whatever its method.
 */
import { isRefusedToken, isV1Use } from '../../protocol/v1_use.ts';
import type { CountedCalls } from '../store/store.ts';

export interface Tally {
  v1: number;
  v2: number;
  blocked: number;
  /** Requests without a token that look for another cloud. They are no IMDSv1 calls. */
  otherCloud: number;
  /** Calls without a token that something on the host answered. They are no IMDSv1 calls. */
  answeredByHost: number;
  /**
   * Reads without a token that were refused with 401, and that the same client then repeated with one. They
   * are no IMDSv1 calls.
   */
  adaptedV1: number;
  /** Reads with a token that were refused with 401: the token is stale or wrong. */
  refusedTokens: number;
  /** The same, where the client then took a new token and succeeded. */
  renewedTokens: number;
  lastRefusedTokenUs: number | null;
  /** Credential reads without a token that were answered with 2xx. */
  credentialsV1: number;
  /** All credential reads without a token. */
  credentialAttemptsV1: number;
  lastCredentialsV1Us: number | null;
  /** IMDSv1 calls that were answered with 401. */
  rejectedV1: number;
  fallbackUnanswered: number;
  fallbackRefused: number;
  /**
   * IMDSv1 calls without a failed token request before them and without a 401: the caller chose IMDSv1
   * itself.
   */
  plainV1: number;
  firstUs: number | null;
  lastUs: number | null;
  firstV1Us: number | null;
  lastV1Us: number | null;
  lastRejectedV1Us: number | null;
  /** Time of the last IMDSv1 call that was not answered with 401. */
  lastAcceptedV1Us: number | null;
  /** Time of the last call to the service that was answered with 2xx: it was enabled then. */
  lastSuccessUs: number | null;
  /** Time of the last one that was answered with 403, as every call is while the service is off. */
  lastForbiddenUs: number | null;
}

export function isV1(
  calls: Pick<CountedCalls, 'version' | 'endpoint' | 'category' | 'fallback' | 'answeredBy'>,
): boolean {
  return isV1Use(calls);
}

export function isSuccess(status: number | null): boolean {
  return status !== null && status >= 200 && status < 300;
}

export function tally(kinds: readonly CountedCalls[]): Tally {
  return tallyAll([{ kinds }]);
}

/** Adds up the rows of many workloads without copying them into one list. */
export function tallyAll(totals: readonly { kinds: readonly CountedCalls[] }[]): Tally {
  const sums = emptyTally();
  for (const { kinds } of totals) for (const kind of kinds) addRow(sums, kind);
  return sums;
}

function emptyTally(): Tally {
  return {
    v1: 0,
    v2: 0,
    blocked: 0,
    otherCloud: 0,
    answeredByHost: 0,
    adaptedV1: 0,
    refusedTokens: 0,
    renewedTokens: 0,
    lastRefusedTokenUs: null,
    credentialsV1: 0,
    credentialAttemptsV1: 0,
    lastCredentialsV1Us: null,
    rejectedV1: 0,
    fallbackUnanswered: 0,
    fallbackRefused: 0,
    plainV1: 0,
    firstUs: null,
    lastUs: null,
    firstV1Us: null,
    lastV1Us: null,
    lastRejectedV1Us: null,
    lastAcceptedV1Us: null,
    lastSuccessUs: null,
    lastForbiddenUs: null,
  };
}

function addRow(sums: Tally, kind: CountedCalls): void {
  const { count, firstUs, lastUs } = kind;
  sums.firstUs = earlier(sums.firstUs, firstUs);
  sums.lastUs = later(sums.lastUs, lastUs);
  if (kind.outcome === 'blocked') sums.blocked += count;
  else if (kind.version === 2) addV2(sums, kind);
  else if (kind.version === 1 && kind.answeredBy === 'host') sums.answeredByHost += count;
  else if (kind.version === 1 && kind.category === 'other-cloud') sums.otherCloud += count;
  else if (kind.version === 1 && kind.fallback === 'adapted') sums.adaptedV1 += count;
  if ((kind.endpoint === 'ipv4' || kind.endpoint === 'ipv6') && kind.answeredBy !== 'host') {
    if (isSuccess(kind.status)) sums.lastSuccessUs = later(sums.lastSuccessUs, lastUs);
    if (kind.status === 403) sums.lastForbiddenUs = later(sums.lastForbiddenUs, lastUs);
  }
  if (!isV1(kind)) return;
  sums.v1 += count;
  sums.firstV1Us = earlier(sums.firstV1Us, firstUs);
  sums.lastV1Us = later(sums.lastV1Us, lastUs);
  const isRejected = kind.status === 401;
  if (isRejected) {
    sums.rejectedV1 += count;
    sums.lastRejectedV1Us = later(sums.lastRejectedV1Us, lastUs);
  } else {
    sums.lastAcceptedV1Us = later(sums.lastAcceptedV1Us, lastUs);
  }
  if (kind.fallback === 'token_unanswered') sums.fallbackUnanswered += count;
  else if (kind.fallback === 'token_refused') sums.fallbackRefused += count;
  else if (!isRejected) sums.plainV1 += count;
  if (kind.category !== 'credentials') return;
  sums.credentialAttemptsV1 += count;
  if (!isSuccess(kind.status)) return;
  sums.credentialsV1 += count;
  sums.lastCredentialsV1Us = later(sums.lastCredentialsV1Us, lastUs);
}

function addV2(sums: Tally, { status, category, fallback, answeredBy, count, lastUs }: CountedCalls): void {
  sums.v2 += count;
  // A refusal by something else says nothing about the service's tokens.
  if (answeredBy === 'host') return;
  if (!isRefusedToken({ version: 2, status, category })) return;
  if (fallback === 'adapted') {
    sums.renewedTokens += count;
    return;
  }
  sums.refusedTokens += count;
  sums.lastRefusedTokenUs = later(sums.lastRefusedTokenUs, lastUs);
}

/**
 * Returns at most `limit` values, the most frequent first. Equally frequent values are in alphabetical order.
 */
export function mostFrequent(
  kinds: readonly CountedCalls[],
  textOf: (calls: CountedCalls) => string | null,
  limit: number,
): string[] {
  const counts = new Map<string, number>();
  for (const kind of kinds) {
    const value = textOf(kind);
    if (value !== null) counts.set(value, (counts.get(value) ?? 0) + kind.count);
  }
  return [...counts]
    .sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))
    .slice(0, limit)
    .map(([value]) => value);
}

function earlier(a: number | null, b: number): number {
  return a === null ? b : Math.min(a, b);
}

function later(a: number | null, b: number): number {
  return a === null ? b : Math.max(a, b);
}
