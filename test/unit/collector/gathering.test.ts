/** Batches that arrive soon after a long transaction began wait for others, and no longer than allowed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import pino from 'pino';
import { Gathering } from '../../../collector/ingest/gathering.ts';
import { Writer } from '../../../collector/ingest/writer.ts';
import type { BatchResult, StoredBatch } from '../../../collector/store/store.ts';
import { call, host, program } from '../../support/collector/store/records.ts';

test('the wait is as long as the last transaction took, within the bound, and shrinks as time passes', () => {
  const ms = fc.integer({ min: 0, max: 1000 });
  fc.assert(
    fc.property(ms, ms, ms, (maxMs, tookMs, laterMs) => {
      let nowMs = 5_000;
      const gathering = new Gathering(maxMs, () => nowMs);
      assert.ok(gathering.waitMs <= 0, 'the first one begins at once');
      const end = gathering.begin();
      nowMs += tookMs;
      end();
      assert.equal(gathering.waitMs, Math.min(maxMs - tookMs, tookMs));
      nowMs += laterMs;
      assert.equal(gathering.waitMs, Math.min(maxMs - tookMs, tookMs) - laterMs);
    }),
  );
});

function batchOf(name: string): StoredBatch {
  return { stream: name, seq: 1, host: host(name), callers: [program('a')], records: [call(0, {}, 0)] };
}

/** Submits two batches one turn of the event loop after the other, when a transaction of 300 ms has just ended. */
async function transactionsAfterLong(gatherMs: number): Promise<string[][]> {
  const transactions: StoredBatch[][] = [];
  const store = {
    async write(batches: StoredBatch[]): Promise<BatchResult[]> {
      transactions.push(batches);
      if (transactions.length === 1) await new Promise((resolve) => setTimeout(resolve, 300));
      return batches.map(({ seq }) => ({ result: 'stored', lastSeq: seq, records: 1, duplicates: 0 }));
    },
    lastSeq: async () => 0,
    heartbeats: async () => {},
    heardHosts: async () => 0,
  };
  const writer = new Writer(store, pino({ enabled: false }), { gatherMs });
  await writer.submit(batchOf('first'));
  const second = writer.submit(batchOf('second'));
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  await Promise.all([second, writer.submit(batchOf('third'))]);
  return transactions.map((batches) => batches.map((batch) => batch.host.name));
}

test('a store with expensive transactions is given batches together', async () => {
  assert.deepEqual(await transactionsAfterLong(10_000), [['first'], ['second', 'third']]);
});

test('another store is given each batch at once', async () => {
  assert.deepEqual(await transactionsAfterLong(0), [['first'], ['second'], ['third']]);
});
