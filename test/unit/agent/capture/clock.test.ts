import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { wallClockUs } from '../../../../agent/capture/clock.ts';

/** Asserts that the clock's time lies within 4 ms of the wall clock's, which is read before and after it. */
function assertNearWallClock(when: string): void {
  const beforeUs = Date.now() * 1_000;
  const nowUs = wallClockUs();
  const afterUs = Date.now() * 1_000;
  assert.ok(
    nowUs > beforeUs - 4_000 && nowUs < afterUs + 4_000,
    `${nowUs}, not ${beforeUs} to ${afterUs}${when}`,
  );
}

describe('the clock of captured packets', () => {
  it('is within milliseconds of the wall clock, in whole microseconds, and never goes back', async () => {
    let last = 0;
    for (let n = 0; n < 20_000; n++) {
      const nowUs = wallClockUs();
      assert.ok(Number.isInteger(nowUs));
      assert.ok(nowUs >= last, `${last - nowUs} µs back`);
      last = nowUs;
    }
    assertNearWallClock('');
  });
  it('does not take a pause between its two readings for a step of the wall clock', (t) => {
    const real = Date.now;
    t.after(() => {
      Date.now = real;
      wallClockUs();
    });
    let last = wallClockUs();
    let readings = 0;
    Date.now = () => {
      readings++;
      // The thread loses its processor for 2 to 5 ms now and then, just before it reads the wall clock.
      const until = performance.now() + (readings % 50 === 0 ? 2 + (readings % 4) : 0);
      while (performance.now() < until);
      return real();
    };
    const end = performance.now() + 200;
    while (performance.now() < end) {
      const nowUs = wallClockUs();
      assert.ok(nowUs >= last, `${last - nowUs} µs back at reading ${readings}`);
      last = nowUs;
    }
  });
  it('follows a step of the wall clock', (t) => {
    const real = Date.now;
    t.after(() => {
      Date.now = real;
      wallClockUs();
    });
    for (const stepMs of [3_600_000, -3_600_000, 10, -10]) {
      Date.now = () => real() + stepMs;
      assertNearWallClock(` after a step of ${stepMs} ms`);
    }
  });
});
