/** Tests the queue of batches that wait for a transaction. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BatchQueue, type WaitingBatch } from '../../../../../collector/store/postgres/batch_queue.ts';
import type { BatchResult, StoredBatch } from '../../../../../collector/store/store.ts';
import { call, host, stream } from '../../../../support/collector/store/records.ts';

const NOON_US = Date.UTC(2026, 10, 20, 12) * 1000;
const STORED: BatchResult = { result: 'stored', lastSeq: 1, records: 1, duplicates: 0 };

function batches(count: number, records: number): StoredBatch[] {
  const next = stream(host('i-1'));
  return Array.from({ length: count }, () =>
    next(...Array.from({ length: records }, (_, at) => call(NOON_US + at))),
  );
}
const sizes = (waiting: readonly WaitingBatch[]) => waiting.map(({ batch }) => batch.seq);
const resultsOf = (waiting: readonly WaitingBatch[]) =>
  waiting.map(({ batch }) => ({ ...STORED, lastSeq: batch.seq }));

test('requests are joined, divided between transactions, and answered when all of their batches are stored', async () => {
  const queue = new BatchQueue();
  const [first, ...others] = batches(5, 1_000);
  const one = queue.add([first!]);
  const many = queue.add(others);
  const all = queue.next();
  assert.deepEqual(sizes(all), [1, 2, 3, 4]);
  queue.resolve(all, resultsOf(all));
  assert.deepEqual(await one, [{ ...STORED, lastSeq: 1 }]);
  const rest = queue.next();
  assert.deepEqual(sizes(rest), [5]);
  queue.resolve(rest, resultsOf(rest));
  assert.deepEqual(
    (await many).map(({ lastSeq }) => lastSeq),
    [2, 3, 4, 5],
  );
  assert.deepEqual(queue.next(), []);
});

test('a transaction takes as many records as can be counted in a quarter of a second, and some hundreds at least', () => {
  const queue = new BatchQueue();
  const settle = (ms: number) => {
    for (let turn = 0; turn < 60; turn += 1) {
      void queue.add(batches(1, 100));
      queue.noteTime(queue.next(), ms);
    }
  };
  settle(25);
  void queue.add(batches(60, 20));
  assert.equal(queue.next().length, 50);
  assert.equal(queue.next().length, 10);
  settle(500);
  void queue.add(batches(60, 20));
  assert.equal(queue.next().length, 25);
  // One batch is taken, however large it is.
  void queue.add(batches(1, 3_000));
  assert.equal(queue.next().length, 25);
  assert.equal(queue.next().length, 10);
  assert.equal(queue.next().length, 1);
});

test('a transaction that fails rejects its requests, with their batches that still wait, and no other', async () => {
  const queue = new BatchQueue();
  const one = queue.add(batches(5, 1_000));
  const other = queue.add(batches(1, 1));
  const failed = queue.next();
  assert.equal(failed.length, 4);
  queue.reject(failed, new Error('the database is away'));
  await assert.rejects(one, /away/);
  const rest = queue.next();
  assert.equal(rest.length, 1);
  queue.resolve(rest, [STORED]);
  assert.deepEqual(await other, [STORED]);
});
