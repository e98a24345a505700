/** Tests whether a standby may answer, and from when its data is, by values. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeStandby, otherDatabase } from '../../../../../collector/store/postgres/standby_judgement.ts';
import { WalHistory } from '../../../../../collector/store/postgres/wal_history.ts';

const SECOND_US = 1_000_000;
const T0 = 1_000 * SECOND_US;

function history(...samples: [position: number, seconds: number][]): WalHistory {
  const made = new WalHistory(600 * SECOND_US);
  for (const [position, seconds] of samples) made.add(position, T0 + seconds * SECOND_US);
  return made;
}

test('a position stands for the last time at which the primary had no more', () => {
  const known = history([100, 0], [200, 1], [300, 2]);
  assert.equal(known.timeOf(99), null);
  assert.equal(known.timeOf(100), T0);
  assert.equal(known.timeOf(299), T0 + SECOND_US);
  assert.equal(known.timeOf(300), T0 + 2 * SECOND_US);
  assert.equal(known.timeOf(9_999), T0 + 2 * SECOND_US);
});

test('the data of a standby of an idle primary is of now, however long the primary is idle', () => {
  const known = history([100, 0], ...Array.from({ length: 2_000 }, (_, n): [number, number] => [100, n + 1]));
  assert.equal(known.timeOf(100), T0 + 2_000 * SECOND_US);
  known.add(101, T0 + 2_001 * SECOND_US);
  assert.equal(known.timeOf(100), T0 + 2_000 * SECOND_US);
});

test('a clock that was set back, or a position that went back, begins anew', () => {
  const known = history([100, 50], [200, 60]);
  known.add(300, T0 + 10 * SECOND_US);
  assert.equal(known.timeOf(200), null);
  assert.equal(known.timeOf(300), T0 + 10 * SECOND_US);
  known.add(250, T0 + 11 * SECOND_US);
  assert.equal(known.timeOf(250), T0 + 11 * SECOND_US);
  assert.equal(known.timeOf(249), null);
});

test('old positions are forgotten, and the one that the oldest kept time begins with is not', () => {
  const known = new WalHistory(10 * SECOND_US);
  for (let n = 0; n < 100; n += 1) known.add(n, T0 + n * SECOND_US);
  assert.equal(known.timeOf(80), null);
  assert.equal(known.timeOf(89), T0 + 89 * SECOND_US);
});

const MARK = { mark: 'm', timeline: 1, position: 150 };
const DEMANDS = { mark: MARK, history: history([100, 0], [200, 1]), maxLagUs: 60 * SECOND_US };
const FOUND = { isStandby: true, position: 200, hasMark: true };

const cases: [string, Partial<typeof FOUND> | { position: null }, object, RegExp | number][] = [
  ['has replayed everything', {}, {}, T0 + SECOND_US],
  ['is at the limit', {}, { nowUs: T0 + 61 * SECOND_US }, T0 + SECOND_US],
  ['is beyond the limit', {}, { nowUs: T0 + 76.5 * SECOND_US }, /^behind: it is 75 s behind.* is 60$/],
  ['is behind what is known', { position: 99 }, {}, /^behind: .*first position/],
  ['takes changes', { isStandby: false }, {}, /^not_a_standby/],
  ['cannot say how far it is', { position: null }, {}, /^unknown: .*pg_last_wal_replay_lsn/],
  ['has not come to the mark', { position: 149, hasMark: false }, {}, /^behind: .*not replayed yet/],
  ['has passed the mark without having it', { position: 150, hasMark: false }, {}, /^diverged: /],
  ['follows nobody knows whom', {}, { mark: null }, /^unknown: .*no mark/],
];
for (const [name, found, demands, expected] of cases) {
  test(`a server that ${name}`, () => {
    const judged = judgeStandby(
      { ...FOUND, ...found },
      { nowUs: T0 + 2 * SECOND_US, ...DEMANDS, ...demands },
    );
    if (typeof expected === 'number') assert.deepEqual(judged, { asOfUs: expected });
    else assert.match('reason' in judged ? `${judged.reason}: ${judged.text}` : '', expected);
  });
}

test('another cluster and another database of the cluster are told apart from a standby', () => {
  const own = { system: '7', database: 5 };
  assert.equal(otherDatabase(own, { ...own }), null);
  assert.match(otherDatabase(own, { ...own, system: '8' })!.text, /another PostgreSQL cluster/);
  assert.match(otherDatabase(own, { ...own, database: 6 })!.text, /another database/);
});
