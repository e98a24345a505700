/** One host sends as fast as it can: the others have their turns, and their share of every transaction. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import pino from 'pino';
import { HostShares } from '../../../collector/ingest/host_shares.ts';
import { Writer } from '../../../collector/ingest/writer.ts';
import type { BatchResult, StoredBatch } from '../../../collector/store/store.ts';
import { call, host, program } from '../../support/collector/store/records.ts';

function batchOf(name: string, seq: number, records: number, stream = name): StoredBatch {
  return {
    stream,
    seq,
    host: host(name),
    callers: [program('a'), program('b')],
    records: Array.from({ length: records }, (_, index) => call(index * 1000, {}, index % 2)),
  };
}

/** A store whose transactions are let through one by one. */
class SteppedStore {
  readonly transactions: StoredBatch[][] = [];
  #release: (() => void)[] = [];

  async write(batches: StoredBatch[]): Promise<BatchResult[]> {
    this.transactions.push(batches);
    await new Promise<void>((resolve) => this.#release.push(resolve));
    return batches.map(({ seq, records }) => ({
      result: 'stored',
      lastSeq: seq,
      records: records.length,
      duplicates: 0,
    }));
  }
  async step(): Promise<void> {
    this.#release.shift()?.();
    for (let turn = 0; turn < 4; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  }
  lastSeq = async () => 0;
  heartbeats = async () => {};
  heardHosts = async () => 0;
}

test('under a flood of one host all other hosts are in the next transaction, and it is short', async () => {
  const store = new SteppedStore();
  const writer = new Writer(store, pino({ enabled: false }));
  const stored = new Set<string>();
  const submit = (of: StoredBatch) => {
    void writer.submit(of).then(() => stored.add(`${of.host.name} ${of.seq}`));
  };
  for (let seq = 1; seq <= 12; seq += 1) submit(batchOf('flood', seq, 500));
  await store.step();
  for (let number = 0; number < 30; number += 1) submit(batchOf(`honest-${number}`, 1, 3));
  await store.step();
  const second = store.transactions[1]!;
  const of = (name: string) => second.filter((batch) => batch.host.name.startsWith(name));
  assert.equal(of('honest').length, 30);
  assert.ok(of('flood').reduce((sum, { records }) => sum + records.length, 0) <= 250);
  await store.step();
  assert.equal([...stored].filter((name) => name.startsWith('honest')).length, 30);
  while (stored.size < 42) await store.step();
  const floods = store.transactions.flat().filter((batch) => batch.host.name === 'flood');
  // In order, nothing twice and nothing left out; only the last part of a batch moves the stream.
  assert.equal(
    floods.reduce((sum, { records }) => sum + records.length, 0),
    6000,
  );
  const ends = floods.filter(({ partial }) => partial !== true).map(({ seq }) => seq);
  assert.deepEqual(
    ends,
    Array.from({ length: 12 }, (_, index) => index + 1),
  );
  for (const { records, callers } of floods) {
    for (const record of records) assert.ok(record.kind === 'call' && callers[record.caller] !== undefined);
  }
  assert.equal(writer.counters()['batches'], 42);
});

test('a host alone has whole transactions', async () => {
  const store = new SteppedStore();
  const writer = new Writer(store, pino({ enabled: false }));
  for (let seq = 1; seq <= 8; seq += 1) void writer.submit(batchOf('only', seq, 1000, randomUUID()));
  await store.step();
  await store.step();
  assert.deepEqual(
    store.transactions.slice(0, 2).map((batches) => batches.length),
    [4, 4],
  );
});

test('the share of a host: everything for one host, a fair part for many, on any number of connections', () => {
  const shares = new HostShares({ bytesPerSecond: 32 * 1024 * 1024, recordsPerSecond: 40_000 });
  shares.join('only');
  assert.equal(shares.count('only', 1000, 39_000), 0);
  for (let number = 0; number < 99; number += 1) shares.join(`honest-${number}`);
  for (let connection = 0; connection < 5; connection += 1) shares.join('flood');
  let waitMs = 0;
  for (let batches = 0; batches < 10; batches += 1) waitMs = shares.count('flood', 100_000, 1000);
  assert.ok(waitMs > 8000 && waitMs < 10_000, `10,100 records at 1,000 a second wait ${waitMs} ms`);
  assert.equal(shares.count('honest-1', 10_000, 100), 0);
  // Whoever connects anew finds its share as it was.
  for (let connection = 0; connection < 5; connection += 1) shares.leave('flood');
  shares.join('flood');
  assert.ok(shares.count('flood', 1, 0) > 3000);
  for (let empty = 0; empty < 500; empty += 1) waitMs = shares.count('honest-2', 60, 0);
  assert.ok(waitMs > 1000, 'empty batches are not free');
});

test('where many records wait, the store has the next transaction before it has written one', async () => {
  const store = new SteppedStore();
  const writer = new Writer(store, pino({ enabled: false }));
  const answered: string[] = [];
  const submit = (name: string, seq: number, records: number) => {
    void writer.submit(batchOf(name, seq, records)).then(() => answered.push(`${name} ${seq}`));
  };
  for (let number = 0; number < 500; number += 1) {
    for (let seq = 1; seq <= 3; seq += 1) submit(`host-${number}`, seq, 12);
  }
  for (let turn = 0; turn < 6; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(store.transactions.length, 2, 'two, and no third');
  const hosts = store.transactions.map((batches) => new Set(batches.map(({ host: { id } }) => id)));
  assert.ok(hosts[0]!.size > 100 && hosts[1]!.size > 100);
  assert.ok(![...hosts[0]!].some((id) => hosts[1]!.has(id)), 'no host is in both');
  assert.ok(
    store.transactions.flat().every(({ partial }) => partial !== true),
    'no small batch is divided',
  );
  while (answered.length < 1500) await store.step();
  for (let number = 0; number < 500; number += 1) {
    const seqs = store.transactions.flat().filter(({ host: { name } }) => name === `host-${number}`);
    assert.deepEqual(
      seqs.map(({ seq }) => seq),
      [1, 2, 3],
    );
  }
  await writer.settled();
});

test('one host alone has one transaction at a time', async () => {
  const store = new SteppedStore();
  const writer = new Writer(store, pino({ enabled: false }));
  for (let seq = 1; seq <= 12; seq += 1) void writer.submit(batchOf('only', seq, 1000));
  for (let turn = 0; turn < 6; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(store.transactions.length, 1);
  while (writer.counters()['batches']! < 12) await store.step();
  await writer.settled();
});
