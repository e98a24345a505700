import assert from 'node:assert/strict';
import { readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { Ledger } from '../../../../agent/outbox/ledger.ts';
import type { Spool } from '../../../../agent/outbox/spool.ts';
import {
  afterKill,
  drain,
  LANES,
  logFiles,
  MANY,
  newDirectory,
  openSpool,
} from '../../../support/agent/outbox/spool_fixture.ts';

test('damage anywhere in the files destroys only the records it hits, and every lost record is counted', async () => {
  const damage = fc.record({
    file: fc.nat(),
    at: fc.nat(),
    how: fc.constantFrom('cut', 'zero', 'noise'),
    length: fc.integer({ min: 1, max: 3000 }),
  });
  const written = fc.array(fc.tuple(fc.constantFrom(...LANES), fc.integer({ min: 0, max: 2000 })), {
    minLength: 1,
    maxLength: 80,
  });
  await fc.assert(
    fc.asyncProperty(written, fc.array(damage, { minLength: 1, maxLength: 3 }), async (records, damages) => {
      const directory = newDirectory();
      const spool = openSpool(directory, { maxBytes: 512 * 1024 });
      records.forEach(([lane, size], index) => {
        spool.appendRecord(lane, JSON.stringify({ index, fill: 'x'.repeat(size) }));
      });
      await spool.close();
      const files = logFiles(directory);
      for (const { file, at, how, length } of damages) {
        const path = files[file % files.length]!;
        const bytes = readFileSync(path);
        const start = at % (bytes.length + 1);
        if (how === 'cut') truncateSync(path, start);
        else {
          for (let offset = start; offset < Math.min(bytes.length, start + length); offset += 1) {
            bytes[offset] = how === 'zero' ? 0 : (offset * 37 + 11) % 256;
          }
          writeFileSync(path, bytes);
        }
      }
      const again = openSpool(directory, { maxBytes: 512 * 1024 });
      const found = drain(again).map((json) => (JSON.parse(json) as { index: number }).index);
      assert.equal(new Set(found).size, found.length);
      assert.equal(found.length + again.counters()['lost']!, records.length);
      assert.equal(again.report().records, 0);
      again.appendRecord('v1', '"after"');
      assert.deepEqual(drain(again), ['"after"']);
      await again.close();
    }),
    { numRuns: 60 },
  );
});

for (const lane of ['v1', 'v2'] as const) {
  test(`damage to ${lane} calls removes the coverage reports of their time too`, async () => {
    const directory = newDirectory();
    const spool = openSpool(directory);
    for (let index = 0; index < 10; index += 1) spool.appendRecord(lane, '"call"');
    spool.appendRecord('coverage', '"reported"');
    assert.equal(drain(spool).at(-1), '"reported"');
    for (let index = 0; index < 10; index += 1) spool.appendRecord(lane, '"call"');
    spool.appendRecord('coverage', '"on its way"');
    assert.equal(spool.takeBatch(MANY, MANY)?.seq, 2);
    for (let index = 0; index < 10; index += 1) spool.appendRecord(lane, '"call"');
    spool.appendRecord('coverage', '"waiting"');
    const copy = afterKill(directory);
    const whole = openSpool(afterKill(directory));
    const said = (again: Spool) => [
      ...again.unacknowledgedBatches()!.flatMap(({ records }) => records.map(String)),
      ...drain(again),
    ];
    assert.deepEqual(
      said(whole).filter((json) => json !== '"call"'),
      ['"on its way"', '"waiting"'],
    );

    const file = logFiles(copy).find((path) => path.includes(`${lane}-`))!;
    truncateSync(file, statSync(file).size - 5);
    const again = openSpool(copy);
    assert.deepEqual(
      said(again),
      Array.from({ length: 19 }, () => '"call"'),
    );
    assert.deepEqual(again.unreportedLosses()['coverage_lost'], 2);
    again.acknowledgeBatches(3, 0);
    assert.deepEqual([again.counters()['lost'], again.report().records], [3, 0]);
    again.appendRecord('coverage', '"after"');
    assert.deepEqual(drain(again), ['"after"']);
  });
}

for (const isStored of [true, false]) {
  const event = isStored ? 'was stored by the collector' : 'never arrived';
  test(`damage to a batch on its way that ${event}: the account stays right, and hides no later loss`, async () => {
    const directory = newDirectory();
    const spool = openSpool(directory);
    for (let index = 0; index < 10; index += 1) spool.appendRecord('v1', '"call"');
    const { seq } = spool.takeBatch(MANY, MANY)!;
    const damaged = afterKill(directory);
    truncateSync(logFiles(damaged)[0]!, 1);
    const again = openSpool(damaged);
    assert.deepEqual([again.counters()['lost'], again.report().records], [10, 0]);
    again.resumeAfter(isStored ? seq : 0);
    again.unacknowledgedBatches();
    again.acknowledgeBatches(seq, 0);
    assert.deepEqual([again.counters()['lost'], again.report().records], [10, 0]);

    again.appendRecord('v1', '"call"');
    again.appendRecord('coverage', '"a claim that must not be made"');
    const damagedAgain = afterKill(damaged);
    truncateSync(logFiles(damagedAgain).find((path) => path.includes('v1-'))!, 1);
    const last = openSpool(damagedAgain);
    assert.deepEqual(drain(last), []);
    assert.deepEqual(last.unreportedLosses(), { v1_lost: 11, coverage_lost: 1 });
  });
}

test('a ledger of an older agent that counted records twice: the account is put right, and nothing is claimed', async () => {
  const directory = newDirectory();
  const spool = openSpool(directory);
  for (let index = 0; index < 10; index += 1) spool.appendRecord('v1', '"call"');
  spool.acknowledgeBatches(spool.takeBatch(MANY, MANY)!.seq, 0);
  spool.appendRecord('v1', '"later call"');
  spool.appendRecord('coverage', '"a claim that must not be made"');
  await spool.close();
  const { ledger, entry } = Ledger.open(directory);
  entry!.lanes['v1']!.lost += 7;
  for (let slot = 0; slot < 2; slot += 1) ledger.write(entry!);
  ledger.close();
  const again = openSpool(directory);
  assert.equal(again.report().records, 1);
  assert.deepEqual(drain(again), ['"later call"']);
  assert.equal(again.report().records, 0);
});

test('a file that repeats its records returns each of them once', async () => {
  const directory = newDirectory();
  const spool = openSpool(directory);
  for (let index = 0; index < 30; index += 1) spool.appendRecord('v1', `${index}`);
  await spool.close();
  const [file] = logFiles(directory);
  const bytes = readFileSync(file!);
  writeFileSync(file!, Buffer.concat([bytes, bytes]));
  const again = openSpool(directory);
  assert.equal(again.report().records, 30);
  assert.deepEqual(
    drain(again).map(Number),
    Array.from({ length: 30 }, (_, index) => index),
  );
  assert.deepEqual([again.counters()['lost'], again.report().records], [0, 0]);
});

test('with a damaged ledger every record is still sent, under a new stream', async () => {
  const directory = newDirectory();
  const spool = openSpool(directory);
  for (let index = 0; index < 50; index += 1) spool.appendRecord('v1', `${index}`);
  await spool.close();
  writeFileSync(join(directory, 'ledger'), Buffer.alloc(32 * 1024, 0x5a));
  const again = openSpool(directory);
  assert.notEqual(again.stream, spool.stream);
  assert.equal(again.counters()['ledgers_lost'], 1);
  assert.equal(drain(again).length, 50);
});

test('one damaged slot of the ledger loses only the last step', () => {
  const directory = newDirectory();
  const spool = openSpool(directory);
  for (let index = 0; index < 50; index += 1) spool.appendRecord('v1', `${index}`);
  for (const slot of [0, 1]) {
    const copy = afterKill(directory);
    const ledger = readFileSync(join(copy, 'ledger'));
    ledger.fill(0xff, slot * 16 * 1024, (slot + 1) * 16 * 1024);
    writeFileSync(join(copy, 'ledger'), ledger);
    assert.equal(drain(openSpool(copy)).length, 50);
  }
});

test('a start after a power cut counts it; a start after a kill does not', async () => {
  const directory = newDirectory();
  openSpool(directory).appendRecord('v1', '1');
  const killed = afterKill(directory);
  assert.equal(openSpool(killed).counters()['power_cuts'], undefined);

  const cut = afterKill(directory);
  const { ledger, entry } = Ledger.open(cut);
  ledger.write({ ...entry!, boot_id: 'the boot before' });
  ledger.close();
  assert.equal(openSpool(cut).counters()['power_cuts'], 1);
});

test('records of the ledger that a power cut destroyed are counted', async () => {
  const directory = newDirectory();
  const spool = openSpool(directory);
  for (let index = 0; index < 20; index += 1) spool.appendRecord('v1', `"${'x'.repeat(50)}${index}"`);
  spool.takeBatch(5, MANY);
  const cut = afterKill(directory);
  truncateSync(logFiles(cut)[0]!, 900);
  const again = openSpool(cut);
  const found = again.unacknowledgedBatches()![0]!.records.length + again.unsent;
  assert.equal(found + again.counters()['lost']!, 20);
  assert.ok(again.counters()['lost']! > 0);
});
