/** Splitting a path where it may be cut. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { splitPath } from '../../../web/src/parts/split_path.ts';

test('a path is split before the slash of its file name, and any other text is not split', () => {
  assert.deepEqual(splitPath('/opt/app/bin/poll.py'), { directory: '/opt/app/bin', file: '/poll.py' });
  assert.deepEqual(splitPath('/init'), { directory: '', file: '/init' });
  assert.deepEqual(splitPath('/latest/iam/roles/'), { directory: '/latest/iam', file: '/roles/' });
  assert.deepEqual(splitPath('/'), { directory: '', file: '/' });
  assert.deepEqual(splitPath('curl'), { directory: '', file: 'curl' });
  assert.deepEqual(splitPath('10.0.0.1 of i-1/x'), { directory: '', file: '10.0.0.1 of i-1/x' });
});

test('nothing of a text is lost by the split', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      const { directory, file } = splitPath(text);
      assert.equal(directory + file, text);
    }),
  );
});
