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

test('beyond the bound on all batches agents stand in line, and each has its turn when there is room', () => {
  const turns: (() => void)[] = [];
  const backlog = new Backlog(100, (work) => turns.push(work));
  const resumed: string[] = [];
  const waits = (name: string) => {
    const onTurn = () => resumed.push(name);
    return { mustWait: backlog.mustWait(onTurn), onTurn };
  };
  backlog.addBytes(100, true);
  assert.ok(!waits('at the bound').mustWait, 'the bound itself is allowed');
  backlog.addBytes(1, true);
  assert.ok(waits('first').mustWait);
  const gone = waits('gone');
  assert.ok(gone.mustWait && waits('second').mustWait);
  backlog.cancel(gone.onTurn);
  assert.deepEqual([turns.length, backlog.waiting], [0, 2]);
  backlog.removeBytes(1, true);
  assert.ok(waits('third').mustWait, 'nobody goes ahead of those who wait');
  turns.shift()!();
  assert.deepEqual(resumed, ['first', 'second', 'third']);
  assert.ok(!waits('nobody waits any more').mustWait);
  backlog.removeBytes(100, true);
  assert.deepEqual([backlog.bytes, turns.length], [0, 0]);
});

test('few connections may have much waiting, many have little each', () => {
  const backlog = new Backlog(16 * 1024 * 1024);
  assert.equal(backlog.pendingBytesOfOne, 8 * 1024 * 1024);
  for (let sender = 0; sender < 32; sender += 1) backlog.addBytes(1, true);
  assert.equal(backlog.pendingBytesOfOne, 512 * 1024);
  for (let sender = 0; sender < 4000; sender += 1) backlog.addBytes(1, true);
  assert.equal(backlog.pendingBytesOfOne, 64 * 1024);
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
