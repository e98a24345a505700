/** A group's verdict: one member is enough against it, and all of them are needed for it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { DAY_US, HOUR_US } from '../../../../../collector/contract/window.ts';
import { type GroupEvidence, judgeGroup } from '../../../../../collector/insight/group/judge_group.ts';
import type { Member } from '../../../../../collector/insight/group/member.ts';
import {
  evidenceOf,
  gapOf,
  goneMember,
  JUDGING,
  memberOf,
  NOW_US,
  SINCE_US,
  SOURCE,
  v1Call,
} from '../../../../support/collector/insight/members.ts';

const verdict = (evidence: GroupEvidence) => judgeGroup(evidence, JUDGING).verdict;
const problems = (evidence: GroupEvidence) => [...judgeGroup(evidence, JUDGING).problems.keys()];

/** A group as an autoscaled fleet has it: one that runs, and many that are gone. */
const fleetOf = (gone: number): Member[] => [
  memberOf('i-running', NOW_US - DAY_US),
  ...Array.from({ length: gone }, (_, index) =>
    goneMember(`i-${index}`, NOW_US - 2 * DAY_US - index * HOUR_US),
  ),
];

describe('a group', () => {
  const rows: [string, GroupEvidence, string, string[]][] = [
    ['all watched, three starts', evidenceOf(fleetOf(2)), 'ready', []],
    ['two starts', evidenceOf(fleetOf(1)), 'unproven', ['starts_missing']],
    [
      'three starts of the version before, none of the newest',
      evidenceOf([
        ...fleetOf(5).map((member) => ({ ...member, source: { ...SOURCE, templateVersion: '6' } })),
        memberOf('i-new', NOW_US - HOUR_US),
      ]),
      'unproven',
      ['starts_missing'],
    ],
    [
      'the cloud launches from a version of which no start was seen',
      evidenceOf(fleetOf(5), {
        launchesNow: new Map([[SOURCE.launcher, { imageId: 'ami-1', templateVersion: '8' }]]),
      }),
      'unproven',
      ['starts_missing'],
    ],
    [
      'another image than today',
      evidenceOf(fleetOf(5), {
        launchesNow: new Map([[SOURCE.launcher, { imageId: 'ami-2', templateVersion: '7' }]]),
      }),
      'unproven',
      ['starts_missing'],
    ],
    [
      'window not full',
      evidenceOf(fleetOf(5), { firstKnownUs: SINCE_US + 1 }),
      'unproven',
      ['window_not_full'],
    ],
    [
      'older records were deleted',
      evidenceOf(fleetOf(5), { forgottenUntilUs: SINCE_US + 1 }),
      'unproven',
      ['window_not_full'],
    ],
    ['no inventory', evidenceOf(fleetOf(5), { inventoryUs: null }), 'unproven', ['no_inventory']],
    [
      'an inventory of yesterday',
      evidenceOf(fleetOf(5), { inventoryUs: NOW_US - DAY_US - 1 }),
      'unproven',
      ['no_inventory'],
    ],
    [
      'one without an agent',
      evidenceOf([...fleetOf(5), memberOf('i-none', NOW_US - HOUR_US, { firstUs: null, lastUs: null })]),
      'unproven',
      ['no_agent'],
    ],
    [
      'one that is gone called without a token',
      evidenceOf([...fleetOf(200), goneMember('i-bad', NOW_US - 5 * DAY_US, { calls: v1Call() })]),
      'blocked',
      [],
    ],
    [
      'fallback and refused',
      evidenceOf([
        goneMember('i-a', NOW_US - DAY_US, { calls: v1Call(401) }),
        goneMember('i-b', NOW_US - DAY_US, { calls: v1Call(200, 'token_unanswered') }),
      ]),
      'fallback',
      ['starts_missing'],
    ],
    ['no member', evidenceOf([]), 'unproven', ['starts_missing']],
    [
      'tokens are required on all that run',
      evidenceOf([memberOf('i-a', SINCE_US - DAY_US, { tokens: { value: 'required', suppliedUs: NOW_US } })]),
      'enforced',
      ['starts_missing'],
    ],
    [
      'tokens are required on one of two',
      evidenceOf([
        memberOf('i-a', SINCE_US - DAY_US, { tokens: { value: 'required', suppliedUs: NOW_US } }),
        memberOf('i-b', SINCE_US - DAY_US),
      ]),
      'unproven',
      ['starts_missing'],
    ],
    [
      'tokens are required, and one has no agent that would show what fails',
      evidenceOf([
        memberOf('i-a', SINCE_US - DAY_US, {
          firstUs: null,
          lastUs: null,
          tokens: { value: 'required', suppliedUs: NOW_US },
        }),
      ]),
      'unproven',
      ['no_agent', 'starts_missing'],
    ],
  ];
  for (const [name, evidence, expected, reasons] of rows) {
    it(name, () => assert.deepEqual([verdict(evidence), problems(evidence)], [expected, reasons]));
  }

  it('needs three starts of every launcher that runs', () => {
    const other = { ...SOURCE, launcher: 'asg:api (123456789012/eu-west-1)' };
    const pair = [...fleetOf(5), memberOf('i-api', NOW_US - DAY_US, { source: other })];
    assert.deepEqual(problems(evidenceOf(pair)), ['starts_missing']);
    const gone = [...fleetOf(5), goneMember('i-api', NOW_US - 2 * DAY_US, { source: other })];
    assert.equal(verdict(evidenceOf(gone)), 'ready');
  });

  it('says when its window is full', () => {
    const { windowFullAtUs } = judgeGroup(evidenceOf(fleetOf(5), { firstKnownUs: NOW_US - DAY_US }), JUDGING);
    assert.equal(windowFullAtUs, NOW_US + 13 * DAY_US);
  });
});

/** A moment within the window, whole seconds. */
const moment = fc.integer({ min: 1, max: 13 * 86_400 }).map((seconds) => SINCE_US + seconds * 1_000_000);

/** A member that is proven, whatever its life looks like. */
const proven = fc
  .record({
    launchedUs: moment,
    hours: fc.integer({ min: 1, max: 400 }),
    bootSeconds: fc.integer({ min: 0, max: 3000 }),
  })
  .map(({ launchedUs, hours, bootSeconds }): Member => {
    const firstUs = Math.min(launchedUs + bootSeconds * 1_000_000, NOW_US - 1_000_000);
    const endedUs = firstUs + hours * HOUR_US;
    const isGone = endedUs < NOW_US;
    return memberOf('i-x', launchedUs, {
      firstUs,
      lastUs: isGone ? endedUs : NOW_US - 1_000_000,
      counted: [{ sinceUs: SINCE_US - DAY_US, untilUs: NOW_US + DAY_US }],
      cloud: {
        state: isGone ? 'terminated' : 'running',
        launchedUs,
        terminatedUs: isGone ? endedUs : null,
        suppliedUs: NOW_US,
      },
    });
  });
const fleet = fc.array(proven, { minLength: 3, maxLength: 40 });

/** Ways in which one member's proof fails. */
const spoilers: ((member: Member) => Member)[] = [
  (member) => ({ ...member, calls: v1Call() }),
  (member) => ({ ...member, calls: v1Call(401) }),
  (member) => ({ ...member, unseen: 1 }),
  (member) => ({ ...member, firstUs: null, lastUs: null }),
  (member) => ({ ...member, gaps: [gapOf('losses', member.firstUs!, 0)] }),
  (member) => ({ ...member, gaps: [gapOf('not_kept', member.firstUs!, 1)] }),
  (member) => ({ ...member, gaps: [gapOf('capture_not_live', member.firstUs!, 60_000_001)] }),
  (member) => ({ ...member, counted: [], firstUs: member.firstUs! + 1 }),
  (member) => ({ ...member, cloud: null }),
  (member) => ({ ...member, cloud: { ...member.cloud!, launchedUs: null } }),
  (member) => ({
    ...member,
    lastUs: Math.min(member.lastUs!, NOW_US - HOUR_US),
    cloud: { ...member.cloud!, state: 'running', terminatedUs: null },
  }),
  (member) => ({ ...member, counted: [], gaps: [gapOf('boot', member.firstUs!, 1)] }),
];

describe('in every group', () => {
  it('of proven members the verdict is ready: the judge does not ask for more', () => {
    fc.assert(
      fc.property(fleet, (members) => {
        // Three starts of the newest member's source are there, because all have one source.
        assert.equal(verdict(evidenceOf(members)), 'ready');
      }),
      { seed: 13, numRuns: 300 },
    );
  });

  it('one member that is not proven keeps it from being ready, wherever it stands', () => {
    fc.assert(
      fc.property(fleet, fc.nat(), fc.constantFrom(...spoilers), (members, place, spoil) => {
        const at = place % members.length;
        const spoiled = members.map((member, index) => (index === at ? spoil(member) : member));
        const judged = judgeGroup(evidenceOf(spoiled), JUDGING);
        assert.notEqual(judged.verdict, 'ready');
        assert.notEqual(judged.verdict, 'enforced');
      }),
      { seed: 13, numRuns: 600 },
    );
  });

  it('leaving proof away never makes it ready', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(proven, fc.option(fc.constantFrom(...spoilers))), { maxLength: 20 }),
        fc.record({
          firstKnownUs: fc.constantFrom(SINCE_US, SINCE_US + 1, Number.POSITIVE_INFINITY),
          inventoryUs: fc.constantFrom(null, NOW_US, SINCE_US),
          forgottenUntilUs: fc.constantFrom(null, SINCE_US, NOW_US),
        }),
        (given, changes) => {
          const members = given.map(([member, spoil]) => (spoil === null ? member : spoil(member)));
          const isProven =
            given.length >= 3 &&
            given.every(([, spoil]) => spoil === null) &&
            changes.firstKnownUs <= SINCE_US &&
            changes.inventoryUs === NOW_US &&
            (changes.forgottenUntilUs ?? 0) <= SINCE_US;
          assert.equal(verdict(evidenceOf(members, changes)) === 'ready', isProven);
        },
      ),
      { seed: 13, numRuns: 600 },
    );
  });
});
