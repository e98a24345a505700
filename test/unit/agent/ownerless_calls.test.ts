import assert from 'node:assert/strict';
import { it } from 'node:test';
import { OwnerlessCalls } from '../../../agent/ownerless_calls.ts';

it('calls without an owner are completed once, when they are due, or at the end', () => {
  const calls = new OwnerlessCalls();
  const done: string[] = [];
  for (const [name, dueUs] of [
    ['late', 900],
    ['soon', 500],
    ['last', 2_000],
  ] as const)
    calls.add(dueUs, () => done.push(name));
  assert.equal(calls.tick(499), true);
  assert.deepEqual(done, []);
  assert.equal(calls.tick(900), true);
  assert.deepEqual(done, ['late', 'soon'], 'in the order in which they came');
  calls.finish();
  assert.equal(calls.tick(5_000), false);
  assert.deepEqual(done, ['late', 'soon', 'last']);
});

it('their number is bounded', () => {
  const calls = new OwnerlessCalls();
  let done = 0;
  for (let i = 0; i < 5_000; i++) calls.add(1_000, () => done++);
  assert.equal(done, 5_000 - 4_096);
});
