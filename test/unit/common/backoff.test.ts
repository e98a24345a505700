import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Backoff } from '../../../common/backoff.ts';

test('doubles up to its bound, less at most half, and begins again', () => {
  const slowest = new Backoff(500, 30_000, () => 0);
  const waits = Array.from({ length: 8 }, () => slowest.next());
  assert.deepEqual(waits, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
  slowest.reset();
  assert.equal(slowest.next(), 500);
  assert.equal(new Backoff(500, 30_000, () => 0.9999).next(), 250);
});
