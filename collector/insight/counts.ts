/**
 * What rows of counted calls say together. Only the instance metadata service (`ipv4`, `ipv6`) has versions: calls to the
 * endpoints of tasks and pods never count as IMDSv1. Whatever the method, a request there without a token is IMDSv1.
 */
import type { CountedCalls } from '../store/store.ts';

export interface Tally {
  v1: number;
  v2: number;
  blocked: number;
  /** Credential reads without a token: those that were answered with 2xx, and all. */
  credentialsV1: number;
  credentialAttemptsV1: number;
  lastCredentialsV1Us: number | null;
  /** IMDSv1 calls that were answered 401. */
  rejectedV1: number;
  fallbackUnanswered: number;
  fallbackRefused: number;
  /** IMDSv1 calls that no failed token request preceded and that were not answered 401: the caller's own doing. */
  plainV1: number;
  firstUs: number | null;
  lastUs: number | null;
  firstV1Us: number | null;
  lastV1Us: number | null;
  lastRejectedV1Us: number | null;
  /** Of IMDSv1 calls that were not answered 401. */
  lastAcceptedV1Us: number | null;
}

export function isV1(calls: Pick<CountedCalls, 'version' | 'endpoint'>): boolean {
  return calls.version === 1 && (calls.endpoint === 'ipv4' || calls.endpoint === 'ipv6');
}

export function isSuccess(status: number | null): boolean {
  return status !== null && status >= 200 && status < 300;
}

export function tally(kinds: readonly CountedCalls[]): Tally {
  return tallyAll([{ kinds }]);
}

/** Of many workloads together, without putting their rows into one list first. */
export function tallyAll(totals: readonly { kinds: readonly CountedCalls[] }[]): Tally {
  const sums = nothing();
  for (const { kinds } of totals) for (const kind of kinds) add(sums, kind);
  return sums;
}

function nothing(): Tally {
  return {
    v1: 0,
    v2: 0,
    blocked: 0,
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
  };
}

function add(sums: Tally, kind: CountedCalls): void {
  const { count, firstUs, lastUs } = kind;
  sums.firstUs = earlier(sums.firstUs, firstUs);
  sums.lastUs = later(sums.lastUs, lastUs);
  if (kind.outcome === 'blocked') sums.blocked += count;
  else if (kind.version === 2) sums.v2 += count;
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

/** At most `limit` values, the most frequent first; ties by the value, so that the order is always the same. */
export function mostFrequent(
  kinds: readonly CountedCalls[],
  of: (calls: CountedCalls) => string | null,
  limit: number,
): string[] {
  const counts = new Map<string, number>();
  for (const kind of kinds) {
    const value = of(kind);
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
