/**
 * Who still calls IMDSv1, worst first: one row per program that is the same from start to start (executable, script, user)
 * over all hosts; callers that nobody could name are one row per host and source address.
 */
import type { CallerIdentity, CallerTotals, CallTotals } from '../store/store.ts';
import { toTimestamp } from '../store/time.ts';

const MAX_LISTED = 10;

/** `offenders --json` prints these keys; they are part of the contract (docs). Times are RFC 3339, UTC. */
export interface Offender {
  /** False: which process it was could not be found; then only hosts and `source_address` say anything. */
  attributed: boolean;
  executable: string | null;
  name: string | null;
  script: string | null;
  user: string | null;
  uid: number | null;
  source_address: string | null;
  calls_v1: number;
  /** Including those that were rolled up. */
  calls_v2: number;
  /** Attempts that a local rule stopped: nothing was asked. */
  blocked_attempts: number;
  /** Credential reads without a token that the service answered with 2xx: these credentials can have been stolen by SSRF. */
  credentials_over_v1: number;
  /** All credential reads without a token, whatever came back. */
  credentials_over_v1_attempts: number;
  /** Calls without a token that were answered 401: tokens are already required there, and something is broken. */
  rejected_v1: number;
  /** Reads without a token just after a token request that got no answer, or was refused. */
  fallbacks: { token_unanswered: number; token_refused: number };
  /** How often each category was asked for without a token. */
  categories_v1: Record<string, number>;
  /** Roles whose credentials were asked for without a token: the most frequent ones, at most 10. */
  roles_v1: string[];
  /** The most frequent ones, at most 10. */
  user_agents: string[];
  hosts: { id: string; name: string }[];
  first_seen: string;
  last_seen: string;
  first_v1: string | null;
  last_v1: string | null;
}

/** Callers with at least one IMDSv1 call, or all callers with `all`. */
export function offenders(callers: CallerTotals, { all }: { all: boolean }): Offender[] {
  const totalsOf = Map.groupBy(callers.totals, ({ identity }) => identity);
  const found: Offender[] = [];
  for (const [id, totals] of totalsOf) {
    if (!all && !totals.some(({ version }) => version === 1)) continue;
    found.push(describe(callers.identities.get(id)!, totals));
  }
  return found.sort(worstFirst);
}

function describe(identity: CallerIdentity, totals: CallTotals[]): Offender {
  const v1 = totals.filter(({ version }) => version === 1);
  const count = (of: CallTotals[]) => of.reduce((sum, total) => sum + total.count, 0);
  const credentials = v1.filter(({ category }) => category === 'credentials');
  const fallback = (kind: string) => count(v1.filter((total) => total.fallback === kind));
  const categories: Record<string, number> = {};
  for (const { category, count } of v1) categories[category] = (categories[category] ?? 0) + count;
  const hosts = new Map(totals.map(({ hostId, hostName }) => [hostId, hostName]));
  return {
    attributed: identity.attributed,
    executable: identity.executable,
    name: identity.name,
    script: identity.script,
    user: identity.user,
    uid: identity.uid,
    source_address: identity.sourceAddress,
    calls_v1: count(v1),
    calls_v2: count(totals.filter(({ version }) => version === 2)),
    blocked_attempts: count(totals.filter(({ outcome }) => outcome === 'blocked')),
    credentials_over_v1: count(
      credentials.filter(({ status }) => status !== null && status >= 200 && status < 300),
    ),
    credentials_over_v1_attempts: count(credentials),
    rejected_v1: count(v1.filter(({ status }) => status === 401)),
    fallbacks: {
      token_unanswered: fallback('token_unanswered'),
      token_refused: fallback('token_refused'),
    },
    categories_v1: categories,
    roles_v1: mostFrequent(v1, ({ role }) => role).sort(),
    user_agents: mostFrequent(totals, ({ userAgent }) => userAgent),
    hosts: [...hosts].map(([id, name]) => ({ id, name })).sort((a, b) => (a.id < b.id ? -1 : 1)),
    first_seen: toTimestamp(Math.min(...totals.map(({ firstUs }) => firstUs))),
    last_seen: toTimestamp(Math.max(...totals.map(({ lastUs }) => lastUs))),
    first_v1: v1.length === 0 ? null : toTimestamp(Math.min(...v1.map(({ firstUs }) => firstUs))),
    last_v1: v1.length === 0 ? null : toTimestamp(Math.max(...v1.map(({ lastUs }) => lastUs))),
  };
}

/** At most `MAX_LISTED` values, the most frequent first. */
function mostFrequent(totals: CallTotals[], of: (total: CallTotals) => string | null): string[] {
  const counts = new Map<string, number>();
  for (const total of totals) {
    const value = of(total);
    if (value !== null) counts.set(value, (counts.get(value) ?? 0) + total.count);
  }
  return [...counts]
    .sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))
    .slice(0, MAX_LISTED)
    .map(([value]) => value);
}

function worstFirst(a: Offender, b: Offender): number {
  return (
    b.credentials_over_v1 - a.credentials_over_v1 ||
    b.credentials_over_v1_attempts - a.credentials_over_v1_attempts ||
    b.calls_v1 - a.calls_v1 ||
    b.calls_v2 - a.calls_v2 ||
    (a.last_seen < b.last_seen ? 1 : -1)
  );
}
