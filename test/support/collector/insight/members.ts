/** Members of groups for tests: by default watched from launch to now, and counted by the cloud. */
import { DAY_US, HOUR_US } from '../../../../collector/contract/window.ts';
import type { Tally } from '../../../../collector/insight/counts.ts';
import { tally } from '../../../../collector/insight/counts.ts';
import type { GroupEvidence } from '../../../../collector/insight/group/judge_group.ts';
import { judgeMember, type Member } from '../../../../collector/insight/group/member.ts';
import type { Judging } from '../../../../collector/insight/judged.ts';
import type { StoredGap } from '../../../../collector/store/store.ts';

export const NOW_US = Date.UTC(2026, 10, 22, 12) * 1000;
export const SINCE_US = NOW_US - 14 * DAY_US;
export const JUDGING: Judging = {
  window: { sinceUs: SINCE_US, untilUs: NOW_US },
  nowUs: NOW_US,
  toleranceUs: 60_000_000,
};
export const SOURCE = {
  launcher: 'asg:web (123456789012/eu-west-1)',
  place: '123456789012/eu-west-1',
  imageId: 'ami-1',
  templateVersion: '7',
};

/** Returns a member that was launched at `launchedUs`, reports 30 s later, and still runs. */
export function memberOf(hostId: string, launchedUs: number, changes: Partial<Member> = {}): Member {
  return {
    hostId,
    source: SOURCE,
    firstUs: launchedUs + 30_000_000,
    lastUs: NOW_US - 10_000_000,
    gaps: [],
    reboots: [],
    calls: null,
    cloud: { state: 'running', launchedUs, terminatedUs: null, suppliedUs: NOW_US - HOUR_US },
    tokens: null,
    counted: [hourOf(launchedUs)],
    unseen: 0,
    ...changes,
  };
}

/** Returns a member that lived for some hours and is gone. */
export function goneMember(hostId: string, launchedUs: number, changes: Partial<Member> = {}): Member {
  const endedUs = launchedUs + 5 * HOUR_US;
  return memberOf(hostId, launchedUs, {
    lastUs: endedUs - 20_000_000,
    cloud: { state: 'terminated', launchedUs, terminatedUs: endedUs, suppliedUs: NOW_US - HOUR_US },
    ...changes,
  });
}

export function hourOf(us: number): { sinceUs: number; untilUs: number } {
  const sinceUs = Math.floor(us / HOUR_US) * HOUR_US;
  return { sinceUs, untilUs: sinceUs + HOUR_US };
}

export function gapOf(reason: StoredGap['reason'], startUs: number, lengthUs: number): StoredGap {
  return { reason, startUs, endUs: startUs + lengthUs, missingUs: lengthUs, detail: null };
}

/** Returns the tally of one call without a token. */
export function v1Call(status = 200, fallback: 'token_unanswered' | null = null): Tally {
  return tally([
    {
      version: 1,
      endpoint: 'ipv4',
      category: 'metadata',
      status,
      outcome: 'answered',
      fallback,
      role: null,
      userAgent: null,
      count: 1,
      firstUs: NOW_US - HOUR_US,
      lastUs: NOW_US - HOUR_US,
    },
  ]);
}

export function evidenceOf(members: readonly Member[], changes: Partial<GroupEvidence> = {}): GroupEvidence {
  return {
    members: members.map((member) => judgeMember(member, JUDGING)),
    firstKnownUs: SINCE_US - DAY_US,
    forgottenUntilUs: null,
    inventoryUs: NOW_US - HOUR_US,
    hasMembersOutside: false,
    launchesNow: new Map(),
    ...changes,
  };
}
