import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { test } from 'node:test';
import type { LaneName } from '../../../../agent/outbox/lanes.ts';
import {
  afterKill,
  drain,
  LANES,
  logFiles,
  MANY,
  newDirectory,
  openSpool,
} from '../../../support/agent/outbox/spool_fixture.ts';

test('records come out once, v1 first and coverage last, each lane in order', () => {
  const spool = openSpool(newDirectory());
  for (let index = 0; index < 300; index += 1)
    spool.appendRecord(LANES[index % 4]!, `"${LANES[index % 4]} ${index}"`);
  const found = drain(spool).map((json) => JSON.parse(json) as string);
  const expected = LANES.flatMap((lane) =>
    Array.from({ length: 300 }, (_, index) => index)
      .filter((index) => LANES[index % 4] === lane)
      .map((index) => `${lane} ${index}`),
  );
  assert.deepEqual(found, expected);
  assert.equal(spool.counters()['acknowledged'], 300);
});

test('a coverage report does not take the room that was too small for an IMDSv1 call', () => {
  const spool = openSpool(newDirectory());
  for (let index = 0; index < 3; index += 1)
    spool.appendRecord('v1', JSON.stringify({ index, fill: 'x'.repeat(900) }));
  spool.appendRecord('coverage', '"all was seen"');
  const first = spool.takeBatch(MANY, 2000)!.records.map(String);
  assert.equal(first.length, 2);
  const second = spool.takeBatch(MANY, 2000)!.records.map(String);
  assert.deepEqual([second.length, second[1]], [2, '"all was seen"']);
});

test('lost evidence is reported once, also across restarts; lost IMDSv2 calls are no evidence', async () => {
  const directory = newDirectory();
  const maxBytes = 128 * 1024;
  const spool = openSpool(directory, { maxBytes });
  const put = (lane: LaneName, count: number) => {
    for (let index = 0; index < count; index += 1) spool.appendRecord(lane, JSON.stringify('x'.repeat(900)));
  };
  put('v2', 300);
  assert.ok(spool.report().overflowed['v2']! > 0);
  assert.deepEqual(spool.unreportedLosses(), {});
  put('v1', 300);
  const lost = spool.unreportedLosses();
  assert.deepEqual(lost, { v1_overflowed: spool.report().overflowed['v1'] });
  const again = openSpool(afterKill(directory), { maxBytes });
  assert.deepEqual(again.unreportedLosses(), lost, 'a kill before it was said');
  again.markReported(lost);
  again.acknowledgeBatches(again.takeBatch(10, MANY)!.seq, 2);
  assert.deepEqual(again.unreportedLosses(), { rejected: 2 });
  again.markReported({ rejected: 2 });
  await again.close();
});

test('a killed process loses nothing, and a batch on its way keeps its number and content', () => {
  const directory = newDirectory();
  const spool = openSpool(directory);
  for (let index = 0; index < 1000; index += 1) spool.appendRecord('v1', JSON.stringify({ index }));
  const first = spool.takeBatch(100, MANY)!;
  const second = spool.takeBatch(150, MANY)!;
  spool.acknowledgeBatches(first.seq, 0);

  const again = openSpool(afterKill(directory));
  assert.equal(again.stream, spool.stream);
  assert.deepEqual(
    again.unacknowledgedBatches()!.map(({ seq, records }) => [seq, records.map(String)]),
    [[second.seq, second.records.map(String)]],
  );
  again.acknowledgeBatches(second.seq, 0);
  assert.deepEqual(
    drain(again).map((json) => (JSON.parse(json) as { index: number }).index),
    Array.from({ length: 750 }, (_, index) => index + 250),
  );
  assert.equal(again.counters()['lost'], 0);
});

test('a full spool drops roll-ups first, then v2 calls, then coverage, then v1, and counts each of them, also after a restart', async () => {
  const directory = newDirectory();
  const maxBytes = 256 * 1024;
  const spool = openSpool(directory, { maxBytes });
  const fill = 'x'.repeat(500);
  let appended = 0;
  const put = (lane: LaneName, count: number) => {
    for (let index = 0; index < count; index += 1) {
      spool.appendRecord(lane, JSON.stringify({ lane, number: appended, fill }));
      appended += 1;
    }
  };
  const overflowed = () => spool.report().overflowed;
  for (const lane of ['v1', 'coverage', 'v2', 'rollup'] as const) put(lane, 100);
  assert.deepEqual(overflowed(), { rollup: 0, v2: 0, coverage: 0, v1: 0 });
  put('v1', 120);
  assert.ok(overflowed()['rollup']! > 0 && overflowed()['v2'] === 0, JSON.stringify(overflowed()));
  put('v1', 70);
  assert.ok(overflowed()['rollup'] === 100 && overflowed()['v2']! > 0 && overflowed()['coverage'] === 0);
  put('v1', 120);
  assert.ok(overflowed()['v2'] === 100 && overflowed()['coverage']! > 0 && overflowed()['v1'] === 0);
  put('v1', 200);
  assert.ok(overflowed()['coverage'] === 100 && overflowed()['v1']! > 0);
  const lastV1 = appended - 1;
  const v1Before = overflowed()['v1'];
  put('v2', 60);
  assert.equal(overflowed()['v1'], v1Before, 'what is worth less does not drive out what is worth more');
  assert.ok(overflowed()['v2']! > 100);
  const onDisk = logFiles(directory).reduce((sum, file) => sum + statSync(file).size, 0);
  assert.ok(onDisk <= maxBytes, `${onDisk} bytes on disk`);

  const before = overflowed();
  await spool.close();
  const again = openSpool(directory, { maxBytes });
  assert.deepEqual(again.report().overflowed, before);
  const found = drain(again).map((json) => JSON.parse(json) as { lane: LaneName; number: number });
  assert.equal(found.length + Object.values(before).reduce((sum, count) => sum + count, 0), appended);
  const v1 = found.filter(({ lane }) => lane === 'v1').map(({ number }) => number);
  assert.deepEqual([v1.length, v1.at(-1)], [610 - before['v1']!, lastV1], 'the newest are kept');
});

test('records of batches on their way are not dropped by a full spool', () => {
  const spool = openSpool(newDirectory(), { maxBytes: 256 * 1024 });
  const put = (count: number, from: number) => {
    for (let index = from; index < from + count; index += 1) {
      spool.appendRecord('v1', JSON.stringify({ index, fill: 'x'.repeat(500) }));
    }
  };
  put(100, 0);
  const batch = spool.takeBatch(40, MANY)!;
  put(2000, 100);
  assert.deepEqual(
    spool.unacknowledgedBatches()!.map(({ records }) => records.map(String)),
    [batch.records.map(String)],
  );
  spool.acknowledgeBatches(batch.seq, 0);
  const found = drain(spool).length;
  assert.equal(40 + found + spool.report().overflowed['v1']!, 2100);
  assert.ok(spool.report().overflowed['v1']! > 1000);
});

test('when the collector has more than the ledger, the sequence continues after it', () => {
  const spool = openSpool(newDirectory());
  spool.appendRecord('v1', '1');
  const batch = spool.takeBatch(10, MANY)!;
  spool.resumeAfter(7);
  assert.equal(spool.inFlight, 0);
  spool.appendRecord('v1', '2');
  assert.deepEqual([batch.seq, spool.takeBatch(10, MANY)!.seq], [1, 8]);
});

test('when the collector has lost acknowledged batches, a new stream begins with the records that are left', () => {
  const spool = openSpool(newDirectory());
  const { stream } = spool;
  for (const value of ['1', '2', '3']) {
    spool.appendRecord('v1', value);
    spool.takeBatch(10, MANY);
  }
  spool.acknowledgeBatches(2, 0);
  spool.resumeAfter(0);
  assert.notEqual(spool.stream, stream);
  assert.equal(spool.counters()['batches_forgotten_by_collector'], 2);
  assert.deepEqual(
    spool.unacknowledgedBatches()!.map(({ seq, records }) => [seq, records.map(String)]),
    [[1, ['3']]],
  );
});
