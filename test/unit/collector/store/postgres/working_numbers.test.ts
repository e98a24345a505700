/** Tests that a working set forgets the numbers of rows that were rolled back: other rows get them next. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NumberMap } from '../../../../../collector/store/postgres/working_numbers.ts';

test('numbers since the beginning of a transaction are forgotten, and earlier ones stay', () => {
  const numbers = new NumberMap();
  numbers.set(1, 101);
  numbers.begin();
  numbers.set(2, 102);
  numbers.set(3, 103);
  assert.deepEqual(numbers.rollback(), [2, 3]);
  assert.deepEqual([numbers.hasStored(2), numbers.localOf(102), numbers.localOf(101)], [false, undefined, 1]);
  assert.throws(() => numbers.storedOf(3), /Row 3/);
  // The rows are written again in another order.
  numbers.begin();
  numbers.set(2, 103);
  numbers.set(3, 102);
  assert.deepEqual([numbers.storedOf(2), numbers.localOf(102)], [103, 3]);
});
