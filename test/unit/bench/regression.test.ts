import assert from 'node:assert/strict';
import { test } from 'node:test';
import { regressionLine } from '../../../bench/collector/regression.ts';

test('a line through samples, with the error of its slope', () => {
  const exact = regressionLine([0, 1, 2, 3].map((at) => ({ at, value: 5 + 2 * at })));
  assert.deepEqual([exact.slope, exact.intercept, exact.slopeError], [2, 5, 0]);
  const noise = [1, -1, -1, 1];
  const noisy = regressionLine(noise.map((value, at) => ({ at, value: 100 + value })));
  assert.equal(noisy.slope, 0);
  // Residual sum 4, two degrees of freedom, spread of `at` 5: 1.96 · √(4 / 2 / 5).
  assert.ok(Math.abs(noisy.slopeError - 1.2396) < 0.001, String(noisy.slopeError));
  assert.throws(() => regressionLine([{ at: 1, value: 1 }]), /three samples/);
});
