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

const VERDICTS: readonly Verdict[] = ['blocked', 'fallback', 'rejected', 'unproven', 'ready', 'enforced'];

export function isSilent({ heartbeat }: StoredHost, nowUs: number, silentAfterSeconds: number): boolean {
  return heartbeat === null || nowUs - heartbeat.receivedUs > silentAfterSeconds * 1e6;
}

export function describeHost(
  { stored, evidence, judged }: JudgedHost,
  nowUs: number,
  silentAfterSeconds: number,
): Host {
  const { facts, heartbeat, firstUs, lastUs } = stored;
  const { calls, verdict, watched } = judged;
  const offenders = evidence.totals.filter(({ identity, kinds }) => identity !== null && kinds.some(isV1));
  return {
    id: facts.id,
    name: facts.name,
    account: facts['cloud.account.id'] ?? null,
    region: facts['cloud.region'] ?? null,
    zone: facts['cloud.availability_zone'] ?? null,
    type: facts.type ?? null,
    image_id: facts['image.id'] ?? null,
    tags: facts.tags ?? {},
    state: isSilent(stored, nowUs, silentAfterSeconds) ? 'silent' : 'online',
    agent_version: heartbeat?.heartbeat.agent_version ?? null,
    attribution_method: heartbeat?.heartbeat.attribution.method ?? null,
    first_seen: toTimestamp(firstUs),
    last_seen: toTimestamp(lastUs),
    last_heartbeat: heartbeat === null ? null : toTimestamp(heartbeat.receivedUs),
    clock_skew_seconds:
      heartbeat === null ? null : (toMicroseconds(heartbeat.heartbeat.time) - heartbeat.receivedUs) / 1e6,
    verdict,
    start_seen: judged.startSeen,
    coverage_percent: coveragePercent(watched),
    gap_count: watched.gaps.length,
    calls_v1: calls.v1,
    offender_count: new Set(offenders.map(({ identity }) => identity)).size,
    last_v1: calls.lastV1Us === null ? null : toTimestamp(calls.lastV1Us),
  };
}

/** Returns a count for every verdict, 0 if no host has it. */
export function verdictCounts(verdicts: readonly Verdict[]): Record<Verdict, number> {
  const counts = { ready: 0, blocked: 0, fallback: 0, rejected: 0, enforced: 0, unproven: 0 };
  for (const verdict of verdicts) counts[verdict]++;
  return counts;
}

export function worstHostFirst(a: Host, b: Host): number {
  return (
    VERDICTS.indexOf(a.verdict) - VERDICTS.indexOf(b.verdict) ||
    b.calls_v1 - a.calls_v1 ||
    a.coverage_percent - b.coverage_percent ||
    (a.id < b.id ? -1 : a.id > b.id ? 1 : 0)
  );
}
