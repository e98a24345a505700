/** Evidence about one host over a window of 14 days, for the tests of verdicts. */
import { readiness as readinessModel } from '../../../../collector/contract/host.ts';
import { DAY_US } from '../../../../collector/contract/window.ts';
import type { HostEvidence } from '../../../../collector/insight/judged.ts';
import { judge, readinessOf } from '../../../../collector/insight/readiness.ts';
import type { CountedCalls, HostCoverage, StoredGap } from '../../../../collector/store/store.ts';
import { calls, NOON_US } from './rows.ts';

export const SECOND_US = 1_000_000;
export const WINDOW = { sinceUs: NOON_US - 14 * DAY_US, untilUs: NOON_US };
export const JUDGING = { window: WINDOW, nowUs: NOON_US, toleranceUs: 60 * SECOND_US };
export const FACTS = { id: 'i-0123456789abcdef0', name: 'web-1', 'cloud.region': 'eu-west-1' };

export function coverage(gaps: StoredGap[] = [], changes: Partial<HostCoverage> = {}): HostCoverage {
  return {
    hostId: FACTS.id,
    firstUs: WINDOW.sinceUs - DAY_US,
    lastUs: NOON_US - 30 * SECOND_US,
    gaps,
    boots: [],
    kernelConnections: 10,
    seenConnections: 10,
    losses: {},
    ...changes,
  };
}

export function evidence(kinds: CountedCalls[] = [], changes: Partial<HostEvidence> = {}): HostEvidence {
  return {
    facts: FACTS,
    totals: kinds.length === 0 ? [] : [{ identity: '0123456789abcdef', kinds }],
    coverage: coverage(),
    cloudInstance: null,
    compared: { counts: [], seen: [] },
    ...changes,
  };
}

export const gap = (fromDays: number, seconds: number, reason: StoredGap['reason']): StoredGap => {
  const startUs = NOON_US - fromDays * DAY_US;
  return { startUs, endUs: startUs + seconds * SECOND_US, reason, detail: null };
};
export const readinessFor = (hostEvidence: HostEvidence) => {
  const readiness = readinessOf(hostEvidence, judge(hostEvidence, JUDGING), JUDGING, (id) => id);
  readinessModel.parse(readiness);
  return readiness;
};
export const verdict = (hostEvidence: HostEvidence) => judge(hostEvidence, JUDGING).verdict;
export const REQUIRED = {
  hostId: FACTS.id,
  httpTokens: 'required' as const,
  hopLimit: 1,
  httpEndpoint: null,
  suppliedUs: NOON_US,
};
export const PLAIN = calls();
export const FALLBACK = calls({ fallback: 'token_unanswered' });
export const REFUSED = calls({ status: 401 });
