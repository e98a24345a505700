/** Times of two clocks that differ: converted so that nothing is missed, and nothing counts too early. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { ClockDifference } from '../../../../cli/enforce/clock_difference.ts';

const NOW = Date.UTC(2026, 2, 1);

test('the true time lies between the earliest and the latest, for every difference and delay', () => {
  const ms = (least: number, most: number) => fc.integer({ min: least, max: most });
  void fc.assert(
    fc.property(ms(-1e9, 1e9), ms(0, 20_000), ms(0, 20_000), ms(-1e8, 1e8), (ahead, there, back, ago) => {
      const clock = new ClockDifference();
      // The question takes `there` ms, and the answer `back` ms.
      clock.learn(NOW, NOW + there + back, new Date(NOW + there + ahead).toISOString());
      const trueMs = NOW + ago + ahead;
      const [earliest, latest] = [clock.earliest(NOW + ago), clock.latest(NOW + ago)].map(Date.parse);
      assert.ok(earliest! <= trueMs && trueMs <= latest!);
      assert.equal(latest! - earliest!, there + back);
    }),
  );
});

test('a large difference is said once, and a small one never', () => {
  const said = (ahead: number, delay = 0) => {
    const clock = new ClockDifference();
    clock.learn(NOW, NOW + delay, new Date(NOW + ahead).toISOString());
    return [clock.message(), clock.message()];
  };
  assert.match(said(312_000)[0]!, /312 s behind the collector's/);
  assert.match(said(-312_000)[0]!, /312 s ahead of the collector's/);
  assert.equal(said(312_000)[1], null);
  assert.equal(said(2000)[0], null);
  // A slow answer is no difference of the clocks.
  assert.equal(said(10_000, 20_000)[0], null);
});

test('an answer without a time, and one that arrived before it was asked for, teach nothing', () => {
  const clock = new ClockDifference();
  clock.learn(NOW, NOW, 'yesterday');
  clock.learn(NOW, NOW - 5000, new Date(NOW + 1e6).toISOString());
  assert.equal(clock.earliest(NOW), new Date(NOW).toISOString());
});
