/** Too much, too fast, or a store too slow: back-pressure, and nothing dropped. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { Backlog } from '../../../collector/ingest/backlog.ts';
import { makeCall } from '../../support/collector/calls.ts';
import { acknowledged, Bench } from '../../support/collector/in_process.ts';
import { MemoryStore } from '../../support/collector/memory_store.ts';
import { eventually, range } from '../../support/collector/stored.ts';

const bench = new Bench();
afterEach(() => bench.end());

test('beyond the bound on all batches together every agent waits, and resumes once when half of it is stored', () => {
  const backlog = new Backlog(100);
  const resumed: string[] = [];
  const resume = () => resumed.push('one');
  backlog.addBytes(100);
  assert.ok(!backlog.isFull(resume), 'the bound itself is allowed');
  backlog.addBytes(1);
  assert.ok(backlog.isFull(resume) && backlog.isFull(resume));
  const gone = () => resumed.push('gone');
  assert.ok(backlog.isFull(gone));
  backlog.cancel(gone);
  backlog.removeBytes(50);
  assert.deepEqual(resumed, []);
  backlog.removeBytes(1);
  backlog.removeBytes(50);
  assert.deepEqual([resumed, backlog.bytes], [['one'], 0]);
});

test('an agent that is too fast waits, and loses nothing', async () => {
  const server = await bench.ingestServer({ limits: { recordsPerSecond: 1000 } });
  const outbox = bench.outbox(server.url, { heartbeatMs: 1000 });
  const began = performance.now();
  for (const number of range(0, 3000)) outbox.call(makeCall({ 'url.path': `/${number}` }));
  await eventually('all acknowledged', () => acknowledged(outbox) === 3000);
  const seconds = (performance.now() - began) / 1000;
  // The first second's worth is free, and the last batches come before their time is up.
  assert.ok(seconds > 0.5, `${seconds} s for 3000 records at 1000 a second`);
  assert.ok(server.ingest.counters()['held_back']! > 0);
  assert.deepEqual(server.store.numbers, range(0, 3000));
  assert.equal(outbox.counters()['uplink']!['connections'], 1, 'waiting is not silence');
});

test('a store that stands still: the spool grows, the memory does not', async () => {
  const store = new MemoryStore();
  const gate = Promise.withResolvers<void>();
  store.gate = gate.promise;
  const server = await bench.ingestServer({ store });
  const outbox = bench.outbox(server.url, { heartbeatMs: 1000 });
  await eventually('connected', () => outbox.counters()['uplink']!['connected'] === 1);
  const before = process.memoryUsage();
  for (const number of range(0, 12_000)) {
    outbox.call(makeCall({ 'url.path': `/${number}` }));
    if (number % 200 === 0) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
  const after = process.memoryUsage();
  assert.equal(acknowledged(outbox), 0, 'all calls wait in the spool');
  const grownMb = (after.external + after.arrayBuffers - before.external - before.arrayBuffers) / 1e6;
  assert.ok(grownMb < 24, `${grownMb} MB more outside the heap`);
  assert.ok(server.ingest.counters()['backlog_bytes']! < 8 * 1024 * 1024);
  gate.resolve();
  await eventually('all acknowledged', () => acknowledged(outbox) === 12_000);
  assert.deepEqual(store.numbers, range(0, 12_000));
});

test('a store that fails for a while: refused as unavailable, and everything delivered once after', async () => {
  const store = new MemoryStore();
  const server = await bench.ingestServer({ store });
  store.fault = new Error('disk full');
  const outbox = bench.outbox(server.url);
  for (const number of range(0, 300)) outbox.call(makeCall({ 'url.path': `/${number}` }));
  await eventually('refused', () => server.writer.counters()['failed_transactions']! > 0);
  store.fault = null;
  await eventually('all acknowledged', () => acknowledged(outbox) === 300);
  assert.deepEqual(store.numbers, range(0, 300));
});
