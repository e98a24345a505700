import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { patternOf } from '../../../common/text_pattern.ts';

test('a * stands for any text, and everything else for itself', () => {
  const escaped = (text: string) => text.replace(/[.+?^${}()|[\]\\]/g, '\\$&');
  const letters = fc.string({ unit: fc.constantFrom('a', 'b', '.', '\n', '*'), maxLength: 8 });
  fc.assert(
    fc.property(letters, letters, (pattern, text) => {
      const expected = new RegExp(`^${escaped(pattern).replaceAll('*', '.*')}$`, 's').test(text);
      assert.equal(patternOf(pattern).test(text), expected);
    }),
    { numRuns: 2000 },
  );
});

test('many * take no time: a regular expression would not end', () => {
  const pattern = patternOf(`${'*a'.repeat(100)}*b`);
  assert.equal(pattern.test('a'.repeat(10_000)), false);
  assert.equal(pattern.test(`${'a'.repeat(10_000)}b`), true);
});
