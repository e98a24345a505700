/** Tests the warning that comes before retention deletes calls that were not sent. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { warningOf } from '../../../../collector/stream/retention_warning.ts';

const DAY_US = 86_400_000_000;
const NOW_US = 1_800_000_000_000_000;
const bounds = { rawDays: 10, maxBytes: 1000, bytes: 1 };

test('age: from four fifths of raw_days on, with the time at which the first call is deleted', () => {
  assert.equal(warningOf(3, NOW_US - 8 * DAY_US + 1, bounds, NOW_US), null);
  assert.match(
    warningOf(3, NOW_US - 8 * DAY_US, bounds, NOW_US)!,
    /^3 calls wait, and the first ones are deleted from 2027-01-17T08:00Z on \(raw_days 10\)\./,
  );
});

test('size: from four fifths of max_bytes on, however young the calls are', () => {
  assert.equal(warningOf(1, NOW_US, { ...bounds, bytes: 799 }, NOW_US), null);
  assert.match(
    warningOf(1, NOW_US, { ...bounds, bytes: 829 }, NOW_US)!,
    /^1 call waits, and the store has 82 % of its max_bytes, .* raise max_bytes/,
  );
});

test('nothing waits: no warning, also in a full store', () => {
  assert.equal(warningOf(0, null, { ...bounds, bytes: 1000 }, NOW_US), null);
});
