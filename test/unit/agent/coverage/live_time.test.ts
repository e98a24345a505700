import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LiveTime, STALL_MS } from '../../../../agent/coverage/live_time.ts';

test('a live capture was live all the time, at any moment between ticks and reports', () => {
  const steps = fc.array(fc.record({ ms: fc.integer({ min: 0, max: 1500 }), isReport: fc.boolean() }), {
    minLength: 1,
    maxLength: 300,
  });
  fc.assert(
    fc.property(steps, (all) => {
      let now = 1000;
      const time = new LiveTime(now);
      let [reportedMs, liveMs] = [now, 0];
      for (const { ms, isReport } of all) {
        now += ms;
        time.advanceTo(now, true);
        if (!isReport) continue;
        assert.equal(time.liveMs - liveMs, now - reportedMs);
        [reportedMs, liveMs] = [now, time.liveMs];
      }
    }),
  );
});

test('time without a capture and time in which the process did not run do not count', () => {
  const time = new LiveTime(0);
  time.advanceTo(1000, true);
  time.advanceTo(1800, false);
  time.advanceTo(2000, true);
  assert.deepEqual([time.liveMs, time.stalledMs], [1200, 0]);
  time.advanceTo(2001 + STALL_MS, true);
  assert.deepEqual([time.liveMs, time.stalledMs], [1200, STALL_MS + 1]);
});
