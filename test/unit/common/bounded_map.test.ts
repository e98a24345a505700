import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { deleteOldestEntries, Recent } from '../../../common/bounded_map.ts';

describe('a bounded memory', () => {
  it('keeps what was used last, never more than twice its bound, and counts the rest', () => {
    const key = fc.integer({ min: 0, max: 30 }).map(String);
    const uses = fc.array(fc.record({ key, isSet: fc.boolean() }), { maxLength: 300 });
    fc.assert(
      fc.property(uses, fc.integer({ min: 1, max: 8 }), (steps, atLeast) => {
        const recent = new Recent<string>(atLeast);
        /** Keys by their last use, latest last. */
        let order: string[] = [];
        let inserted = 0;
        for (const { key, isSet } of steps) {
          if (isSet) {
            if (recent.get(key) === undefined) inserted++;
            recent.set(key, `value ${key}`);
          }
          const found = recent.get(key);
          if (order.slice(-atLeast).includes(key) || isSet) assert.equal(found, `value ${key}`);
          if (found !== undefined) order = [...order.filter((each) => each !== key), key];
          assert.ok(recent.size <= 2 * atLeast);
          assert.equal(recent.size, [...recent.values()].length);
          assert.equal(recent.size + recent.evicted, inserted);
        }
      }),
    );
  });
});

it('the oldest entries of a map and of a set go until the bound holds', () => {
  const map = new Map([1, 2, 3, 4].map((key) => [key, key]));
  deleteOldestEntries(map, 2);
  assert.deepEqual([...map.keys()], [3, 4]);
  const set = new Set(['a', 'b']);
  deleteOldestEntries(set, 2);
  assert.deepEqual([...set], ['a', 'b']);
});
