/** One member of a group: watched from its launch to its end, or the reason why not. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DAY_US, HOUR_US } from '../../../../../collector/contract/window.ts';
import { judgeMember, type Member } from '../../../../../collector/insight/group/member.ts';
import {
  gapOf,
  goneMember,
  hourOf,
  JUDGING,
  memberOf,
  NOW_US,
  SINCE_US,
  v1Call,
} from '../../../../support/collector/insight/members.ts';

const LAUNCHED_US = NOW_US - 3 * DAY_US + 600_000_000;
const FIRST_US = LAUNCHED_US + 30_000_000;
const judged = (member: Member) => judgeMember(member, JUDGING);
const problems = (member: Member) => judged(member).problems;

describe('the life of a member', () => {
  const rows: [string, Member, string[], number][] = [
    ['runs since a launch in the window', memberOf('a', LAUNCHED_US), [], 1],
    ['gone, from launch to end', goneMember('a', LAUNCHED_US), [], 1],
    ['runs since before the window', memberOf('a', SINCE_US - DAY_US, { counted: [], cloud: null }), [], 0],
    [
      'no count of the hour of its launch',
      memberOf('a', LAUNCHED_US, { counted: [] }),
      ['boot_not_counted'],
      0,
    ],
    [
      'a boot of one second is not tolerated either',
      memberOf('a', LAUNCHED_US, { firstUs: LAUNCHED_US + 1_000_000, counted: [] }),
      ['boot_not_counted'],
      0,
    ],
    [
      'a boot over the turn of an hour needs both counts',
      memberOf('a', hourOf(LAUNCHED_US).untilUs - 1_000_000, { counted: [hourOf(LAUNCHED_US)] }),
      ['boot_not_counted'],
      0,
    ],
    [
      'a gap soon after the boot belongs to it',
      memberOf('a', hourOf(LAUNCHED_US).untilUs - 60_000_000, {
        counted: [hourOf(LAUNCHED_US)],
        gaps: [gapOf('agent_not_running', hourOf(LAUNCHED_US).untilUs + 30_000_000, 5_000_000)],
      }),
      ['boot_not_counted'],
      0,
    ],
    ['launch not known', memberOf('a', LAUNCHED_US, { cloud: null }), ['launch_unknown'], 0],
    [
      'stopped and started: the cloud gives the latest launch only',
      memberOf('a', LAUNCHED_US, {
        cloud: { state: 'running', launchedUs: LAUNCHED_US + DAY_US, terminatedUs: null, suppliedUs: NOW_US },
      }),
      ['launch_unknown'],
      0,
    ],
    [
      'its agent came late to a host that ran already',
      memberOf('a', SINCE_US - DAY_US, { firstUs: SINCE_US + DAY_US }),
      ['not_watched'],
      0,
    ],
    ['no agent', memberOf('a', LAUNCHED_US, { firstUs: null, lastUs: null }), ['no_agent'], 0],
    ['silent', memberOf('a', LAUNCHED_US, { lastUs: NOW_US - HOUR_US }), ['silent'], 1],
    [
      'silent, and the cloud does not know it',
      memberOf('a', SINCE_US - DAY_US, { lastUs: NOW_US - HOUR_US, cloud: null }),
      ['silent'],
      0,
    ],
    [
      'ended at a time that is not known',
      memberOf('a', LAUNCHED_US, {
        lastUs: NOW_US - HOUR_US,
        cloud: { state: 'terminated', launchedUs: LAUNCHED_US, terminatedUs: null, suppliedUs: NOW_US },
      }),
      ['end_unknown'],
      1,
    ],
    [
      'its last two minutes were not watched',
      goneMember('a', LAUNCHED_US, { lastUs: LAUNCHED_US + 5 * HOUR_US - 120_000_000 }),
      ['not_watched'],
      1,
    ],
    [
      'its last two minutes were not watched, and the cloud counted',
      goneMember('a', LAUNCHED_US, {
        lastUs: LAUNCHED_US + 5 * HOUR_US - 120_000_000,
        counted: [hourOf(LAUNCHED_US), hourOf(LAUNCHED_US + 5 * HOUR_US - 120_000_000)],
      }),
      [],
      1,
    ],
    [
      'gaps within the tolerance',
      memberOf('a', LAUNCHED_US, { gaps: [gapOf('agent_not_running', FIRST_US + DAY_US, 59_000_000)] }),
      [],
      1,
    ],
    [
      'gaps beyond the tolerance',
      memberOf('a', LAUNCHED_US, { gaps: [gapOf('agent_not_running', FIRST_US + DAY_US, 61_000_000)] }),
      ['not_watched'],
      1,
    ],
    [
      'one loss',
      memberOf('a', LAUNCHED_US, { gaps: [gapOf('losses', FIRST_US + DAY_US, 1)] }),
      ['losses'],
      1,
    ],
    ['the cloud saw more', memberOf('a', LAUNCHED_US, { unseen: 1 }), ['cloud_saw_more'], 1],
    [
      'a reboot that the cloud counted',
      memberOf('a', SINCE_US - DAY_US, {
        gaps: [gapOf('boot', NOW_US - DAY_US, 20_000_000)],
        reboots: [NOW_US - DAY_US + 20_000_000],
        counted: [hourOf(NOW_US - DAY_US)],
      }),
      [],
      1,
    ],
    [
      'a reboot of a moment that the cloud did not count',
      memberOf('a', SINCE_US - DAY_US, {
        gaps: [gapOf('boot', NOW_US - DAY_US, 1)],
        reboots: [NOW_US - DAY_US + 1],
        counted: [],
      }),
      ['boot_not_counted'],
      0,
    ],
    ['a clock ahead', memberOf('a', LAUNCHED_US, { lastUs: NOW_US + HOUR_US }), ['not_watched'], 1],
  ];
  for (const [name, member, expected, starts] of rows) {
    it(name, () => {
      assert.deepEqual([problems(member), judged(member).startsSeen], [expected, starts]);
    });
  }

  it('calls decide by themselves, however it was watched', () => {
    assert.equal(judged(memberOf('a', LAUNCHED_US, { calls: v1Call() })).calls, 'blocked');
    assert.equal(judged(memberOf('a', LAUNCHED_US, { calls: v1Call(401) })).calls, 'rejected');
    assert.equal(
      judged(memberOf('a', LAUNCHED_US, { calls: v1Call(200, 'token_unanswered') })).calls,
      'fallback',
    );
  });

  it('enforced: what was supplied before the window may have changed since', () => {
    const tokens = (suppliedUs: number) => ({ value: 'required' as const, suppliedUs });
    assert.ok(judged(memberOf('a', LAUNCHED_US, { tokens: tokens(NOW_US) })).isEnforced);
    assert.ok(!judged(memberOf('a', LAUNCHED_US, { tokens: tokens(SINCE_US - 1) })).isEnforced);
  });
});
