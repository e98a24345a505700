/** Rates workloads and sorts them by their severity. */
import type { Severity } from '../contract/offender.ts';
import type { Tally } from './counts.ts';

const WORST_FIRST: readonly Severity[] = [
  'credentials',
  'v1',
  'fallback',
  'rejected',
  'stale_token',
  'blocked',
  'adapts',
  'none',
];

/** Returns the worst severity that applies. An IMDSv1 call without an answer counts like an answered one. */
export function severityOf(calls: Tally): Severity {
  if (calls.credentialsV1 > 0) return 'credentials';
  if (calls.plainV1 > 0) return 'v1';
  if (calls.fallbackUnanswered + calls.fallbackRefused > 0) return 'fallback';
  if (calls.rejectedV1 > 0) return 'rejected';
  if (calls.refusedTokens > 0) return 'stale_token';
  if (calls.blocked > 0) return 'blocked';
  return calls.adaptedV1 > 0 ? 'adapts' : 'none';
}

interface Ranked {
  id: string;
  severity: Severity;
  calls_v1: number;
  credentials_over_v1: number;
  credentials_over_v1_attempts?: number;
  calls_v2?: number;
  last_seen?: string;
}

export function worstFirst(a: Ranked, b: Ranked): number {
  return (
    WORST_FIRST.indexOf(a.severity) - WORST_FIRST.indexOf(b.severity) ||
    b.credentials_over_v1 - a.credentials_over_v1 ||
    (b.credentials_over_v1_attempts ?? 0) - (a.credentials_over_v1_attempts ?? 0) ||
    b.calls_v1 - a.calls_v1 ||
    (b.calls_v2 ?? 0) - (a.calls_v2 ?? 0) ||
    compare(b.last_seen ?? '', a.last_seen ?? '') ||
    compare(a.id, b.id)
  );
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
