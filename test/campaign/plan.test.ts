/** The parts of a campaign that take values and give values: plan, verdict, explanation, damage. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Random } from '../../bench/collector/random.ts';
import { explain, timeInGaps } from './explain.ts';
import { damage } from './faults.ts';
import { addTables, judge, judgeSums } from './judge.ts';
import { partsOf } from './parts.ts';
import { FAULT_KINDS, makePlan } from './plan.ts';
import { machineTimes, sharesOf } from './shares.ts';

const LENGTH_MS = 20 * 60_000;

test('a plan is the same for its seed, has every kind, fits its time and overlaps nowhere', () => {
  const plan = makePlan({ seed: 7, lengthMs: LENGTH_MS });
  assert.deepEqual(plan, makePlan({ seed: 7, lengthMs: LENGTH_MS }));
  assert.notDeepEqual(plan, makePlan({ seed: 8, lengthMs: LENGTH_MS }));
  assert.deepEqual(new Set(plan.map(({ kind }) => kind)), new Set(FAULT_KINDS));
  assert.ok(plan.length > 100, `${plan.length} faults`);
  for (const [index, { atMs, forMs }] of plan.entries()) {
    assert.ok(atMs + forMs < LENGTH_MS);
    assert.ok(atMs + forMs < (plan[index + 1]?.atMs ?? LENGTH_MS));
  }
  const only = makePlan({ seed: 7, lengthMs: LENGTH_MS, kinds: ['kill_agent'] });
  assert.deepEqual(new Set(only.map(({ kind }) => kind)), new Set(['kill_agent']));
});

test('parts share the time, have hosts of their own, and none has more gaps than a host keeps', () => {
  const parts = partsOf({ seed: 7, lengthMs: LENGTH_MS, rolledUpShare: 0.2 });
  assert.equal(parts.length, 5);
  assert.equal(new Set(parts.map(({ hostId }) => hostId)).size, 5);
  assert.equal(
    parts.reduce((sum, { lengthMs }) => sum + lengthMs, 0),
    LENGTH_MS,
  );
  const ends = /kill_agent|end_agent|kill_both|damage_spool/;
  for (const { plan } of parts) assert.ok(plan.filter(({ kind }) => ends.test(kind)).length < 48);
  assert.equal(partsOf({ seed: 7, lengthMs: 75_000, rolledUpShare: 0.2 }).length, 2);
});

test('time in gaps: overlaps count once, and what lies around the calls does not', () => {
  const calls = [100, 1_100].map((timeMs, number) => ({ number, timeMs, version: 1 as const }));
  const gaps = [
    { fromMs: 0, toMs: 200, reason: 'boot' },
    { fromMs: 150, toMs: 300, reason: 'losses (dropped 3)' },
    { fromMs: 250, toMs: 350, reason: 'losses (dropped 1)' },
    { fromMs: 1_200, toMs: 1_300, reason: 'boot' },
  ];
  assert.deepEqual(timeInGaps(gaps, calls), [
    { reason: 'all', count: 3, ms: 250, percent: 25 },
    { reason: 'losses', count: 2, ms: 200, percent: 20 },
    { reason: 'boot', count: 1, ms: 100, percent: 10 },
  ]);
});

test('a gap that begins within a millisecond has a call whose time is cut to that millisecond; a bound explains none', () => {
  const answered = [{ number: 1, timeMs: 30, version: 1 as const }];
  const judgedBy = (reason: string) =>
    judge({ answered, stored: [], gaps: [{ fromMs: 30.4, toMs: 31, reason }], overflowedV2: 0 });
  assert.equal(judgedBy('boot').in_gap, 1);
  assert.equal(judgedBy('not_kept (gaps 2)').unexplained.length, 1);
  const both = addTables([judgedBy('boot'), judgedBy('not_kept (gaps 2)')]);
  assert.deepEqual([both.answered, both.in_gap, both.unexplained.length], [2, 1, 1]);
});

test('classifies a call as stored, in a gap, dropped at a bound or unexplained; reports duplicates and other versions', () => {
  const call = (number: number, timeMs: number, version: 1 | 2 = 1) => ({ number, timeMs, version });
  const table = judge({
    answered: [call(1, 10), call(2, 20), call(3, 30), call(4, 40, 2), call(5, 50, 2), call(6, 60)],
    stored: [
      { number: 1, version: 1 },
      { number: 1, version: 1 },
      { number: 2, version: 2 },
      { number: 99, version: 1 },
    ],
    gaps: [{ fromMs: 30, toMs: 30, reason: 'boot' }],
    overflowedV2: 1,
  });
  assert.deepEqual(table, {
    answered: 6,
    stored: 2,
    twice: [1],
    misjudged: [2],
    in_gap: 1,
    stored_in_gap: 0,
    overflowed: 1,
    unexplained: [call(5, 50, 2), call(6, 60)],
  });
  assert.match(
    explain(table.unexplained, [{ fromMs: 30, toMs: 30, reason: 'boot' }]).join(),
    /^1 IMDSv1 and 1 IMDSv2 calls \(number 5, 6 …\).* 20 ms after a gap of boot, no gap after$/,
  );
});

test('sums: missing calls must lie in gaps, and no more calls are counted than were seen', () => {
  const answered = [10, 20, 30].map((timeMs, number) => ({ number, timeMs, version: 2 as const }));
  const gaps = [{ fromMs: 10, toMs: 10, reason: 'boot' }];
  assert.equal(judgeSums({ answered, seen: 3, counted: 2, gaps }).unexplained, 0);
  assert.equal(judgeSums({ answered, seen: 3, counted: 1, gaps }).unexplained, 1);
  assert.equal(judgeSums({ answered, seen: 3, counted: 5, gaps }).surplus, 2);
});

test('a call counts for the fault before it, also where the clock shows a time twice', () => {
  const periods = [
    { fromMs: 0, offsetMs: 0 },
    { fromMs: 1_000, offsetMs: -700 },
    { fromMs: 2_000, offsetMs: 0 },
  ];
  const shown = [400, 900, 350, 1_100, 2_050];
  assert.deepEqual(machineTimes(shown, periods), [400, 900, 1_050, 1_800, 2_050]);
  const fates = ['missing', 'stored', 'missing', 'stored in a gap', 'missing'] as const;
  const calls = shown.map((timeMs, number) => ({
    call: { number, timeMs, version: 1 as const },
    fate: fates[number]!,
  }));
  const faults = [
    { kind: 'step_host_clock' as const, atMs: 1_000 },
    { kind: 'kill_agent' as const, atMs: 1_500 },
    { kind: 'step_host_clock' as const, atMs: 2_000 },
  ];
  assert.deepEqual(sharesOf(calls, periods, faults), [
    { kind: 'step_host_clock', faults: 2, missing: 2, stored: 0 },
    { kind: 'none', faults: 0, missing: 1, stored: 0 },
    { kind: 'kill_agent', faults: 1, missing: 0, stored: 1 },
  ]);
});

test('damage changes files of the spool and nothing else, the same for its seed', () => {
  const directory = mkdtempSync(join(tmpdir(), 'imdswatch-damage-'));
  try {
    const files = ['v1-0000000000000000.log', 'ledger', 'credential', 'lock'];
    const whole = Buffer.alloc(5_000, 0x41);
    const damaged = (seed: number) => {
      for (const file of files) writeFileSync(join(directory, file), whole);
      const done = damage(directory, new Random(seed));
      return { done, bytes: files.map((file) => readFileSync(join(directory, file))) };
    };
    for (let seed = 1; seed <= 20; seed += 1) {
      const first = damaged(seed);
      assert.deepEqual(first, damaged(seed));
      assert.ok(first.done.length > 0 && !(first.bytes[0]!.equals(whole) && first.bytes[1]!.equals(whole)));
      assert.ok(first.bytes[2]!.equals(whole) && first.bytes[3]!.equals(whole));
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
