/**
 * Checks that a verdict says whether a start of the host was seen. Public reports of callers that show
 * themselves at a start only stand beside the cases.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { DAY_US } from '../../../../collector/contract/window.ts';
import { enforceLines } from '../../../../collector/insight/enforce_command.ts';
import { summaryOf } from '../../../../collector/insight/hosts.ts';
import { judge } from '../../../../collector/insight/readiness.ts';
import { readinessGroupsOf } from '../../../../collector/insight/readiness_groups.ts';
import { isStartSeen } from '../../../../collector/insight/starts.ts';
import type { HostCoverage } from '../../../../collector/store/store.ts';
import {
  coverage,
  evidence,
  FACTS,
  JUDGING,
  REQUIRED,
  readinessFor,
  SECOND_US,
  WINDOW,
} from '../../../support/collector/insight/evidence.ts';
import { calls, NOON_US } from '../../../support/collector/insight/rows.ts';

const boot = (id: string, fromDays: number, toDays: number) => ({
  id,
  firstUs: NOON_US - fromDays * DAY_US,
  lastUs: NOON_US - toDays * DAY_US,
});
const bootGap = (atDays: number, seconds: number) => ({
  startUs: NOON_US - atDays * DAY_US - seconds * SECOND_US,
  endUs: NOON_US - atDays * DAY_US,
  reason: 'boot' as const,
  detail: null,
});
const installedAt = (days: number) => NOON_US - days * DAY_US;

const CASES: { source: string; changes: Partial<HostCoverage>; seen: boolean }[] = [
  {
    source: 'github-aws-runners/terraform-aws-github-runner#1373: rc.local of the image calls at boot',
    changes: { firstUs: installedAt(90), boots: [boot('a', 90, 0)] },
    seen: false,
  },
  {
    source: 'aws/containers-roadmap#670: the ECS agent fails at its next start; the host started 3 days ago',
    changes: { firstUs: installedAt(90), boots: [boot('a', 90, 3), boot('b', 3, 0)] },
    seen: true,
  },
  {
    source: 'jamesmoriarty/cfn-cheapest-nat#15: the boot script of a new instance; the agent came with it',
    changes: { firstUs: installedAt(14), boots: [boot('a', 14, 0)] },
    seen: false,
  },
  {
    source:
      'confidential-containers/cloud-api-adaptor#3058: user data is read at boot; it was before the window',
    changes: { firstUs: installedAt(90), boots: [boot('a', 90, 15), boot('b', 15, 0)] },
    seen: false,
  },
  {
    source:
      'code-dot-org/code-dot-org#74656: bootstrap scripts; nobody watched for the first hour of the boot',
    changes: {
      firstUs: installedAt(90),
      boots: [boot('a', 90, 4), boot('b', 3, 0)],
      gaps: [bootGap(3, 3600)],
    },
    seen: false,
  },
  {
    source: 'a start of which 20 s were not watched, which is tolerated',
    changes: { firstUs: installedAt(90), boots: [boot('a', 90, 4), boot('b', 3, 0)], gaps: [bootGap(3, 20)] },
    seen: true,
  },
];

describe('a start of the host', () => {
  for (const { source, changes, seen } of CASES) {
    it(`${seen ? 'was seen' : 'was not seen'}: ${source}`, () => {
      const of = coverage([], changes);
      assert.equal(isStartSeen(of, WINDOW, JUDGING.toleranceUs), seen);
      for (const cloudInstance of [null, REQUIRED]) {
        const readiness = readinessFor(evidence([calls({ version: 2 })], { coverage: of, cloudInstance }));
        assert.equal(readiness.start_seen, seen);
        if (readiness.verdict === 'unproven') continue;
        assert.equal(/running state only/.test(readiness.reason), !seen, readiness.reason);
        // Launch templates are never named as the next step.
        const notes = readiness.command_notes.join(' ');
        assert.equal(/follow their launch template/.test(notes), seen && readiness.verdict === 'ready');
        assert.equal(/Require tokens now|Nothing is left to do/.test(readiness.reason), seen);
      }
    });
  }

  it('was not seen without reports', () => {
    assert.equal(isStartSeen(null, WINDOW, JUDGING.toleranceUs), false);
    assert.equal(isStartSeen(coverage([], { firstUs: null }), WINDOW, JUDGING.toleranceUs), false);
  });

  it('is a boot after the first report and within the window', () => {
    const anyBoots = fc.array(fc.tuple(fc.integer({ min: 0, max: 60 }), fc.nat(60)), { maxLength: 5 });
    fc.assert(
      fc.property(anyBoots, fc.integer({ min: 0, max: 90 }), (days, installed) => {
        const boots = days.map(([from, to], index) =>
          boot(`${index}`, Math.max(from, to), Math.min(from, to)),
        );
        const firstUs = installedAt(installed);
        const found = isStartSeen(coverage([], { boots, firstUs }), WINDOW, JUDGING.toleranceUs);
        const expected = boots.some((of) => of.firstUs >= WINDOW.sinceUs && of.firstUs > firstUs);
        assert.equal(found, expected);
      }),
    );
  });

  it('is missing for some hosts of a group, and the group says for how many', () => {
    const hostOf = (id: string, boots: HostCoverage['boots']) => {
      const of = evidence([], {
        facts: { ...FACTS, id },
        coverage: coverage([], { firstUs: installedAt(90), boots }),
      });
      const times = { firstUs: NOON_US, lastUs: NOON_US, receivedUs: NOON_US, isSilent: false };
      return { id, name: id, profile: 1, ...times, ...summaryOf(of.totals, judge(of, JUDGING)) };
    };
    const hosts = [
      hostOf('i-00000000000000001', [boot('a', 90, 0)]),
      hostOf('i-00000000000000002', [boot('a', 90, 3), boot('b', 3, 0)]),
    ];
    const profiles = new Map([[1, { 'cloud.region': 'eu-west-1' }]]);
    const board = { asOfUs: NOON_US, hosts, profiles, seenEnabled: new Set<string>() };
    const [group] = readinessGroupsOf(board, hosts, 'region');
    assert.deepEqual([group!.verdicts.ready, group!.ready_without_start], [2, 1]);
    assert.match(group!.command_notes[1]!, /No start of 1 of 2 was seen.*leave launch templates/);
  });
});

describe('the command of a group with many hosts', () => {
  it('is there for the first 100 of them in the order of their ids, with the number of the others', () => {
    const ids = Array.from({ length: 103 }, (_, at) => `i-${String((at * 37) % 103).padStart(17, '0')}`);
    const lines = enforceLines(
      [...ids, 'laptop'].map((id) => ({ facts: { id }, seenEnabled: id.endsWith('7'), startSeen: true })),
    )!.split('\n');
    assert.equal(lines.length, 101);
    const sorted = ids.toSorted().slice(0, 100);
    assert.deepEqual(
      lines.slice(0, 100).map((line) => /i-[0-9]+/.exec(line)![0]),
      sorted,
    );
    assert.deepEqual(
      lines.slice(0, 100).map((line) => line.endsWith(' --http-tokens required --http-endpoint enabled')),
      sorted.map((id) => id.endsWith('7')),
    );
    assert.equal(lines[100], '# and 3 more hosts');
  });
});
