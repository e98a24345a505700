import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { wallClockUs } from '../../../../agent/capture/clock.ts';

describe('the clock of captured packets', () => {
  it('is within milliseconds of the wall clock, in whole microseconds, and never goes back', async () => {
    let last = 0;
    for (let n = 0; n < 20_000; n++) {
      const nowUs = wallClockUs();
      assert.ok(Number.isInteger(nowUs));
      assert.ok(nowUs >= last, `${last - nowUs} µs back`);
      last = nowUs;
    }
    assert.ok(Math.abs(wallClockUs() - Date.now() * 1_000) < 4_000);
  });
  it('follows a step of the wall clock', (t) => {
    const real = Date.now;
    t.after(() => {
      Date.now = real;
      wallClockUs();
    });
    for (const stepMs of [3_600_000, -3_600_000, 10, -10]) {
      Date.now = () => real() + stepMs;
      const off = wallClockUs() - Date.now() * 1_000;
      assert.ok(Math.abs(off) < 4_000, `${off} µs off after a step of ${stepMs} ms`);
    }
  });
});
