/** Tests the number and the beginning of calls that are not recorded yet. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OpenCalls } from '../../../../agent/coverage/open_calls.ts';

test('the oldest open call is known, in any order of ends', () => {
  const open = new OpenCalls<object>();
  const [one, other] = [{}, {}];
  const state = () => [open.count, open.sinceUs];
  assert.deepEqual(state(), [0, null]);
  open.addRequest(one, 100);
  open.addRequest(one, 200);
  open.addRequest(other, 150);
  assert.deepEqual(state(), [3, 100]);
  open.completeRequest(one);
  assert.deepEqual(state(), [2, 150]);
  const named = open.beginWait(100);
  assert.deepEqual(state(), [3, 100]);
  open.deleteConnection(other);
  named();
  assert.deepEqual(state(), [1, 200]);
  open.completeRequest(one);
  open.completeRequest(one);
  assert.deepEqual(state(), [0, null]);
});
