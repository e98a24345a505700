import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lossesOf } from '../../../protocol/losses.ts';
import { isLoss } from '../../../web/src/losses.ts';

test('the page marks every loss that an agent reports', () => {
  const one = new Proxy({}, { get: () => 1 });
  const everything = lossesOf(new Proxy({}, { get: () => one }));
  assert.ok(Object.keys(everything).length > 10);
  for (const name of Object.keys(everything)) {
    const [stage, counter] = name.split('.') as [string, string];
    assert.ok(isLoss(stage, counter), name);
  }
  assert.ok(isLoss('spool', 'overflowed'));
  assert.ok(!isLoss('capture', 'packets'));
  assert.ok(!isLoss('nowhere', 'lost'));
});
