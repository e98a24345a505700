/** The threads of the store, its lock, and what happens when one of them fails. */
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import { openForWriting } from '../../../../collector/store/sqlite/database.ts';
import { FINDINGS } from '../../../../collector/store/sqlite/findings_schema.ts';
import { openStore } from '../../../../collector/store/sqlite/sqlite_store.ts';
import { ThreadedStore } from '../../../../collector/store/sqlite/threaded_store.ts';
import type { Store } from '../../../../collector/store/store.ts';
import { Bench } from '../../../support/collector/in_process.ts';
import { ALL, ALL_CALLS, call, host, stream } from '../../../support/collector/store/records.ts';

const bench = new Bench();
afterEach(() => bench.end());

const NOON_US = Date.UTC(2026, 10, 1, 12) * 1000;
const A = host('a');

function open(dataDir = bench.directory()): { dataDir: string; store: Store } {
  const store = openStore(dataDir);
  bench.atEnd(() => store.close());
  return { dataDir, store };
}

test('one collector per data_dir; a reader continues', async () => {
  const { dataDir, store } = open();
  assert.throws(() => openStore(dataDir), /A collector is running on/);
  await store.close();
  const again = openStore(dataDir);
  await again.close();
});

test('a failed transaction rejects with nothing stored, and the next one goes through', async () => {
  const { store } = open();
  const next = stream(A);
  // Its batch names one caller only.
  await assert.rejects(store.write([next(call(NOON_US), call(NOON_US, {}, 3))]));
  assert.deepEqual(await store.identityTotals(ALL), []);
  const good = stream(A)(call(NOON_US));
  assert.equal((await store.write([good]))[0]!.result, 'stored');
});

test('a thread that dies rejects pending questions, is reported, and is started again', async () => {
  const dataDir = bench.directory();
  const lost: string[] = [];
  const file = join(dataDir, FINDINGS.file);
  writeFileSync(
    file,
    'something that no thread can open, longer than a header of a database would have to be'.repeat(20),
  );
  const store = new ThreadedStore({
    dataDir,
    threadLost: ({ message }) => lost.push(message),
    release: () => {},
  });
  bench.atEnd(() => store.close());
  await assert.rejects(store.statistics(), /damaged/);
  await assert.rejects(store.write([stream(A)(call(NOON_US))]), /damaged/);
  // A thread may die of it before it is asked anything, and once more when it is asked.
  const died = lost.length;
  assert.ok(died >= 2);
  rmSync(file);
  openForWriting(dataDir, FINDINGS).close();
  await store.write([stream(A)(call(NOON_US))]);
  assert.equal((await store.statistics()).calls, 1);
  assert.equal(lost.length, died);
});

test('a long question does not delay writing', async () => {
  const { store } = open();
  const next = stream(A);
  for (let part = 0; part < 5; part += 1) {
    await store.write([next(...Array.from({ length: 4000 }, () => call(NOON_US)))]);
  }
  let answered = 0;
  const path = 'nothing like it';
  const questions = Array.from({ length: 20 }, async () => {
    await store.calls({ ...ALL_CALLS, path }, 1, null);
    answered += 1;
  });
  await store.write([next(call(NOON_US))]);
  assert.ok(answered < 20, `${answered} of 20 questions were answered before the batch was stored`);
  await Promise.all(questions);
});
