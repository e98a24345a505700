/** Describes hosts for lists: their facts, their state and the verdict. Pure. */
import type { Host, Verdict } from '../contract/host.ts';
import type { StoredHost } from '../store/store.ts';
import { toMicroseconds, toTimestamp } from '../store/time.ts';
import { isV1 } from './counts.ts';
import { coveragePercent } from './coverage_gaps.ts';
import type { HostEvidence, Judged } from './judged.ts';

export interface JudgedHost {
  stored: StoredHost;
  evidence: HostEvidence;
  judged: Judged;
}

/** The properties of a judged host by which lists are filtered and sorted. Times are microseconds since 1970. */
export interface HostSummary {
  id: string;
  name: string;
  /** Number of its profile; 0 where it has reported none. */
  profile: number;
  firstUs: number;
  lastUs: number;
  /** When its last heartbeat arrived. */
  receivedUs: number | null;
  isSilent: boolean;
  verdict: Verdict;
  startSeen: boolean;
  coveragePercent: number;
  gapCount: number;
  callsV1: number;
  offenderCount: number;
  lastV1Us: number | null;
}

const VERDICTS: readonly Verdict[] = ['blocked', 'fallback', 'rejected', 'unproven', 'ready', 'enforced'];

export function isSilent(receivedUs: number | null, nowUs: number, silentAfterSeconds: number): boolean {
  return receivedUs === null || nowUs - receivedUs > silentAfterSeconds * 1e6;
}

/** Returns what the judgement says about a host. */
export function summaryOf(
  totals: HostEvidence['totals'],
  { verdict, calls, watched, startSeen }: Judged,
): Pick<
  HostSummary,
  'verdict' | 'startSeen' | 'coveragePercent' | 'gapCount' | 'callsV1' | 'offenderCount' | 'lastV1Us'
> {
  const offenders = totals.filter(({ identity, kinds }) => identity !== null && kinds.some(isV1));
  return {
    verdict,
    startSeen,
    coveragePercent: coveragePercent(watched),
    gapCount: watched.gaps.length,
    callsV1: calls.v1,
    offenderCount: new Set(offenders.map(({ identity }) => identity)).size,
    lastV1Us: calls.lastV1Us,
  };
}

export function describeHost(
  { stored, evidence, judged }: JudgedHost,
  nowUs: number,
  silentAfterSeconds: number,
): Host {
  const receivedUs = stored.heardUs;
  const summary = {
    ...summaryOf(evidence.totals, judged),
    receivedUs,
    isSilent: isSilent(receivedUs, nowUs, silentAfterSeconds),
    firstUs: stored.firstUs,
    lastUs: stored.lastUs,
  };
  return describeSummary(summary, stored);
}

/** Describes a host from its summary, and from the facts and the heartbeat that are stored now. */
export function describeSummary(
  summary: Omit<HostSummary, 'id' | 'name' | 'profile'>,
  { facts, heartbeat }: StoredHost,
): Host {
  return {
    id: facts.id,
    name: facts.name,
    account: facts['cloud.account.id'] ?? null,
    region: facts['cloud.region'] ?? null,
    zone: facts['cloud.availability_zone'] ?? null,
    type: facts.type ?? null,
    image_id: facts['image.id'] ?? null,
    tags: facts.tags ?? {},
    state: summary.isSilent ? 'silent' : 'online',
    agent_version: heartbeat?.heartbeat.agent_version ?? null,
    attribution_method: heartbeat?.heartbeat.attribution.method ?? null,
    first_seen: toTimestamp(summary.firstUs),
    last_seen: toTimestamp(summary.lastUs),
    last_heartbeat: summary.receivedUs === null ? null : toTimestamp(summary.receivedUs),
    clock_skew_seconds:
      heartbeat === null ? null : (toMicroseconds(heartbeat.heartbeat.time) - heartbeat.receivedUs) / 1e6,
    verdict: summary.verdict,
    start_seen: summary.startSeen,
    coverage_percent: summary.coveragePercent,
    gap_count: summary.gapCount,
    calls_v1: summary.callsV1,
    offender_count: summary.offenderCount,
    last_v1: summary.lastV1Us === null ? null : toTimestamp(summary.lastV1Us),
  };
}

/** Returns a count for every verdict, 0 if no host has it. */
export function verdictCounts(verdicts: readonly Verdict[]): Record<Verdict, number> {
  const counts = { ready: 0, blocked: 0, fallback: 0, rejected: 0, enforced: 0, unproven: 0 };
  for (const verdict of verdicts) counts[verdict]++;
  return counts;
}

type Ordered = Pick<HostSummary, 'id' | 'verdict' | 'callsV1' | 'coveragePercent'>;

export function worstHostFirst(a: Ordered, b: Ordered): number {
  return (
    VERDICTS.indexOf(a.verdict) - VERDICTS.indexOf(b.verdict) ||
    b.callsV1 - a.callsV1 ||
    a.coveragePercent - b.coveragePercent ||
    (a.id < b.id ? -1 : a.id > b.id ? 1 : 0)
  );
}
