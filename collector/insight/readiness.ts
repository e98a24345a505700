/** Decides if `HttpTokens=required` would break nothing on one host, and collects the evidence. Pure. */
import type { Readiness, Verdict } from '../contract/host.ts';
import type { Severity } from '../contract/offender.ts';
import { toTimestamp } from '../store/time.ts';
import { type Tally, tally, tallyAll } from './counts.ts';
import {
  coveragePercent,
  coveredFromUs,
  hourAfterUs,
  isCovered,
  missingOf,
  watchedOf,
} from './coverage_gaps.ts';
import { enforceCommand, enforceNotes, isSeenEnabled } from './enforce_command.ts';
import { type HopEvidence, hopEvidence, hopLimitCommandOf, hopLimitFor } from './hop_limit.ts';
import type { HostEvidence, Judged, Judging } from './judged.ts';
import { limitsOf } from './limits.ts';
import { readinessReason } from './readiness_reason.ts';
import { type Compared, reconcileHost, reconcileRefusals } from './reconciliation.ts';
import { severityOf, worstFirst } from './severity.ts';
import { isStartSeen } from './starts.ts';

const MAX_GAPS = 100;
const MAX_OFFENDERS = 100;
const MAX_BOOTS = 100;

/**
 * Judges a host. Proof against it counts before missing proof for it: `rejected`, `blocked` and `fallback`
 * come from calls that were seen, and need no coverage. The verdict is `rejected` only if no call without a
 * token was accepted after the last refusal.
 */
export function judge(evidence: HostEvidence, options: Judging): Judged {
  const { totals, coverage, cloudInstance, compared } = evidence;
  const calls = tallyAll(totals);
  const cloud = reconcileHost(compared);
  const refusals = reconcileRefusals(compared);
  const cloudGaps = [...(cloud?.gaps ?? []), ...(refusals?.gaps ?? [])];
  const watched = watchedOf(coverage, cloudGaps, options.window, options.nowUs);
  const unseenRefusals = refusals?.unseen ?? 0;
  const startSeen = isStartSeen(coverage, options.window, options.toleranceUs);
  return { verdict: verdictOf(), calls, watched, cloud, unseenRefusals, startSeen };

  function verdictOf(): Verdict {
    const ofCalls = verdictOfCalls(calls);
    if (ofCalls !== null) return ofCalls;
    // Metadata options that were supplied before the window may have changed since.
    const isEnforced =
      cloudInstance?.httpTokens === 'required' && cloudInstance.suppliedUs >= options.window.sinceUs;
    if (isEnforced && unseenRefusals === 0 && (cloud?.unseen ?? 0) === 0) return 'enforced';
    return isCovered(watched, options.toleranceUs) ? 'ready' : 'unproven';
  }
}

/** Returns the verdict that calls alone decide; null where none of them would fail. */
export function verdictOfCalls(calls: Tally): 'rejected' | 'blocked' | 'fallback' | null {
  if ((calls.lastRejectedV1Us ?? -1) > (calls.lastAcceptedV1Us ?? -1)) return 'rejected';
  if (calls.plainV1 > 0) return 'blocked';
  return calls.v1 > 0 ? 'fallback' : null;
}

/**
 * Describes a judgement with its reason and evidence. `judged` is the result of `judge` for the same
 * evidence. `adapting` has the workloads that adapted on another host.
 */
export function readinessOf(
  evidence: HostEvidence,
  judged: Judged,
  options: Judging,
  titleOf: (identity: string) => string,
  adapting: ReadonlySet<string> = new Set(),
): Readiness {
  const { verdict, calls, watched, cloud } = judged;
  const { coverage, cloudInstance, compared, facts } = evidence;
  const longestFirst = watched.gaps.toSorted((a, b) => missingOf(b) - missingOf(a));
  const listed = watched.gaps.length > MAX_GAPS ? longestFirst.slice(0, MAX_GAPS) : watched.gaps;
  const offenders = hostOffenders(evidence.totals, titleOf);
  const adaptElsewhere = offenders.flatMap(({ id, title, calls_v1 }) =>
    calls_v1 > 0 && adapting.has(id) ? [title] : [],
  );
  const { sinceUs, untilUs } = options.window;
  const limits = limitsOf(coverage);
  return {
    verdict,
    reason: readinessReason(judged, {
      offenders: offenders.flatMap(({ title, calls_v1 }) => (calls_v1 > 0 ? [title] : [])),
      staleTokens: offenders.flatMap(({ title, severity }) => (severity === 'stale_token' ? [title] : [])),
      adaptElsewhere,
      toleranceUs: options.toleranceUs,
      account: facts['cloud.account.id'] ?? null,
      hopLimit: hopLimitFor(hopEvidenceOf(evidence)),
      limits,
    }),
    window: { from: toTimestamp(sinceUs), to: toTimestamp(untilUs) },
    coverage: {
      watched_seconds: (watched.windowUs - watched.missingUs) / 1e6,
      window_seconds: watched.windowUs / 1e6,
      percent: coveragePercent(watched),
      gaps: listed.map((gap) => ({
        from: toTimestamp(gap.startUs),
        to: toTimestamp(gap.endUs),
        seconds: missingOf(gap) / 1e6,
        reason: gap.reason,
        detail: gap.detail,
      })),
      gap_count: watched.gaps.length,
      kernel_connections: coverage?.kernelConnections ?? null,
      seen_connections: coverage?.seenConnections ?? 0,
    },
    limits,
    boots: (coverage?.boots ?? []).slice(-MAX_BOOTS).map(({ id, firstUs, lastUs }) => ({
      id,
      first_report: toTimestamp(firstUs),
      last_report: toTimestamp(lastUs),
    })),
    boot_count: coverage?.boots.length ?? 0,
    start_seen: judged.startSeen,
    calls_v1: calls.v1,
    calls_v2: calls.v2,
    rejected_v1: calls.rejectedV1,
    adapted_v1: calls.adaptedV1,
    refused_tokens: calls.refusedTokens,
    other_cloud_calls: calls.otherCloud,
    answered_by_host_v1: calls.answeredByHost,
    blocked_attempts: calls.blocked,
    last_v1: calls.lastV1Us === null ? null : toTimestamp(calls.lastV1Us),
    offenders: offenders.slice(0, MAX_OFFENDERS),
    cloud:
      cloudInstance === null && cloud === null
        ? null
        : {
            http_tokens: cloudInstance?.httpTokens ?? null,
            hop_limit: cloudInstance?.hopLimit ?? null,
            http_endpoint: cloudInstance?.httpEndpoint ?? null,
            metadata_no_token: cloud?.metadataNoToken ?? null,
            seen_no_token: cloud?.seenNoToken ?? null,
            counted: countedSpan(compared),
          },
    ready_at: readyAt(judged, options),
    command: commandFor(verdict, evidence, calls),
    command_notes:
      verdict === 'ready'
        ? enforceNotes([
            { facts, seenEnabled: isSeenEnabled(calls, cloudInstance), startSeen: judged.startSeen },
          ])
        : [],
  };
}

/** Returns the AWS CLI command that this verdict calls for, or null if there is none yet. */
export function commandFor(verdict: Verdict, evidence: HostEvidence, calls: Tally): string | null {
  if (verdict === 'ready')
    return enforceCommand(evidence.facts, isSeenEnabled(calls, evidence.cloudInstance));
  const isHopLimit = calls.fallbackUnanswered > 0 && calls.plainV1 === 0;
  if ((verdict === 'fallback' || verdict === 'rejected') && isHopLimit) {
    return hopLimitCommandOf(hopEvidenceOf(evidence));
  }
  return null;
}

function hopEvidenceOf({ facts, measuredHops = [], cloudInstance }: HostEvidence): HopEvidence {
  return hopEvidence(facts, measuredHops, cloudInstance);
}

/** Returns the workloads that called without a token on this host, worst first. */
export function hostOffenders(
  totals: HostEvidence['totals'],
  titleOf: (identity: string) => string,
): Readiness['offenders'] {
  return totals
    .flatMap(({ identity, kinds }) => {
      if (identity === null) return [];
      const calls = tally(kinds);
      const severity: Severity = severityOf(calls);
      if (severity === 'none' || severity === 'blocked' || severity === 'adapts') return [];
      const lastV1 = calls.lastV1Us === null ? null : toTimestamp(calls.lastV1Us);
      return [
        {
          id: identity,
          title: titleOf(identity),
          severity,
          calls_v1: calls.v1,
          credentials_over_v1: calls.credentialsV1,
          acts_for_others: kinds.some(({ callerRole }) => callerRole === 'relay'),
          last_v1: lastV1,
        },
      ];
    })
    .sort((a, b) => worstFirst({ ...a, last_seen: a.last_v1 ?? '' }, { ...b, last_seen: b.last_v1 ?? '' }));
}

/**
 * Returns the earliest time at which the host can be ready. Null if it is ready, or if tokens are required
 * already.
 */
function readyAt({ verdict, calls, watched }: Judged, options: Judging): string | null {
  if (verdict === 'ready' || verdict === 'enforced' || verdict === 'rejected') return null;
  const windowUs = options.window.untilUs - options.window.sinceUs;
  const quietUs = calls.lastV1Us === null ? options.nowUs : hourAfterUs(calls.lastV1Us) + windowUs;
  const coveredUs = coveredFromUs(watched.gaps, windowUs, options.toleranceUs);
  return toTimestamp(Math.ceil(Math.max(quietUs, coveredUs, options.nowUs)));
}

function countedSpan({ counts }: Compared): Readiness['window'] | null {
  if (counts.length === 0) return null;
  return {
    from: toTimestamp(Math.min(...counts.map(({ startUs }) => startUs))),
    to: toTimestamp(Math.max(...counts.map(({ endUs }) => endUs))),
  };
}
