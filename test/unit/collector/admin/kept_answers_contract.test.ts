/** Tests that kept answers are replaced as a whole, on each kind of database. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KeptParts } from '../../../../collector/admin/kept_answers.ts';
import { onEachAdminStore } from '../../../support/collector/admin/admin_stores.ts';

const bytes = (text: string) => Uint8Array.from(Buffer.from(text));
const answer = (name: string, asOfUs: number, ...parts: string[]): KeptParts => ({
  name,
  asOfUs,
  madeWith: 'release 1',
  parts: parts.map(bytes),
});

onEachAdminStore('kept answers', (create) => {
  test('an answer is read as it was put, and one that follows replaces all of its parts', async () => {
    const data = await create();
    const [here, there] = [await data.open(), await data.open()];
    const put = (kept: KeptParts) => here.transaction('kept_answers', (store) => store.keptAnswers.put(kept));
    assert.equal(await there.keptAnswers.read('board'), null);
    assert.deepEqual(await there.keptAnswers.heads(), []);
    const asOfUs = 1_795_000_000_123_456;
    await put(answer('board', asOfUs, 'a', '\u0000b', 'c'));
    await put(answer('groups asg', asOfUs + 5, ''));
    const read = (await there.keptAnswers.read('board'))!;
    assert.deepEqual(
      { ...read, parts: read.parts.map((part) => Uint8Array.from(part)) },
      answer('board', asOfUs, 'a', '\u0000b', 'c'),
    );
    assert.deepEqual(
      (await there.keptAnswers.heads()).map((head) => [head.name, head.asOfUs, head.madeWith]),
      [
        ['board', asOfUs, 'release 1'],
        ['groups asg', asOfUs + 5, 'release 1'],
      ],
    );
    await put(answer('board', asOfUs + 9, 'd'));
    const next = (await there.keptAnswers.read('board'))!;
    assert.deepEqual(
      [next.asOfUs, next.parts.map((part) => Buffer.from(part).toString())],
      [asOfUs + 9, ['d']],
    );
    await assert.rejects(
      here.transaction('kept_answers', async (store) => {
        await store.keptAnswers.put(answer('board', asOfUs + 20, 'e'));
        throw new Error('the lease is lost');
      }),
      /the lease is lost/,
    );
    assert.equal((await there.keptAnswers.read('board'))!.asOfUs, asOfUs + 9);
    await there.keptAnswers.clear();
    assert.deepEqual(await here.keptAnswers.heads(), []);
  });
});
