/** Copies made while the store goes on, and put back. */
import assert from 'node:assert/strict';
import { chownSync, existsSync, readdirSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, test } from 'node:test';
import { run as backup } from '../../../../cli/commands/backup.ts';
import { run as restore } from '../../../../cli/commands/restore.ts';
import { ADMIN } from '../../../../collector/admin/admin_schema.ts';
import { openForWriting } from '../../../../collector/store/sqlite/database.ts';
import { openStore, openStoreForReading } from '../../../../collector/store/sqlite/sqlite_store.ts';
import { makeCall } from '../../../support/collector/calls.ts';
import { acknowledged, Bench } from '../../../support/collector/in_process.ts';
import { ALL, call, host, stream } from '../../../support/collector/store/records.ts';
import { eventually, range, readStored } from '../../../support/collector/stored.ts';

const bench = new Bench();
afterEach(() => bench.end());

const NOON_US = Date.UTC(2026, 10, 1, 12) * 1000;
const A = host('a');

test('a backup during writes is complete; restoring it gives the same data and keeps the replaced store', async () => {
  const dataDir = bench.directory();
  const target = join(bench.directory(), 'copy');
  const store = openStore(dataDir);
  bench.atEnd(() => store.close());
  openForWriting(dataDir, ADMIN).close();
  const next = stream(A);
  const records = () => Array.from({ length: 500 }, () => call(NOON_US));
  await store.write([next(...records())]);
  let writing = true;
  const writer = (async () => {
    let batches = 1;
    for (; writing; batches += 1) await store.write([next(...records())]);
    return batches;
  })();
  assert.equal(await backup([target, '--data-dir', dataDir]), 0);
  writing = false;
  const batches = await writer;
  assert.deepEqual(readdirSync(target).sort(), ['admin.db', 'imdswatch.db']);
  assert.equal(statSync(join(target, 'admin.db')).mode & 0o077, 0);

  const copy = openStoreForReading(target);
  const { calls } = await copy.statistics();
  const [totals] = await copy.identityTotals(ALL);
  await copy.close();
  assert.ok(calls >= 500 && calls % 500 === 0 && calls <= batches * 500, `${calls} calls of whole batches`);
  assert.equal(totals!.kinds[0]!.count, calls);

  await assert.rejects(restore([target, '--data-dir', dataDir]), /A collector is running on/);
  await store.close();
  assert.equal(await restore([target, '--data-dir', dataDir]), 0);
  const kept = readdirSync(dataDir).find((name) => name.startsWith('replaced-'))!;
  const before = openStoreForReading(join(dataDir, kept));
  assert.equal((await before.statistics()).calls, batches * 500);
  await before.close();
  const restored = openStore(dataDir);
  bench.atEnd(() => restored.close());
  assert.equal((await restored.statistics()).calls, calls);
  assert.equal(await restored.lastSeq(next().stream, A.id), calls / 500);
});

test('a damaged or missing backup changes nothing; a backup replaces no other', async () => {
  const dataDir = bench.directory();
  const target = join(bench.directory(), 'copy');
  await assert.rejects(backup([target, '--data-dir', dataDir]), /There is no store/);
  assert.equal(existsSync(target), false);
  const store = openStore(dataDir);
  await store.write([stream(A)(...Array.from({ length: 2000 }, () => call(NOON_US)))]);
  await store.close();
  await backup([target, '--data-dir', dataDir]);
  await assert.rejects(backup([target, '--data-dir', dataDir]), /exists already/);
  const file = join(target, 'imdswatch.db');
  truncateSync(file, statSync(file).size - 40_960);
  await assert.rejects(restore([target, '--data-dir', dataDir]), /is damaged/);
  writeFileSync(file, 'not a database at all, whatever its name says');
  await assert.rejects(restore([target, '--data-dir', dataDir]), /is damaged/);
  await assert.rejects(restore([bench.directory(), '--data-dir', dataDir]), /is not a backup/);
  const untouched = openStoreForReading(dataDir);
  assert.equal((await untouched.statistics()).calls, 2000);
  await untouched.close();
  assert.equal(
    readdirSync(dataDir).some((name) => name.startsWith('replaced-')),
    false,
  );
});

test('what root restores belongs to whom the directory belongs to', {
  skip: process.getuid?.() === 0 ? false : 'needs root: gives files away',
}, async () => {
  const NOBODY = 65_534;
  const dataDir = bench.directory();
  const target = join(bench.directory(), 'copy');
  const store = openStore(dataDir);
  await store.write([stream(A)(call(NOON_US))]);
  await store.close();
  await backup([target, '--data-dir', dataDir]);
  const elsewhere = bench.directory();
  chownSync(elsewhere, NOBODY, NOBODY);
  await restore([target, '--data-dir', elsewhere]);
  await restore([target, '--data-dir', elsewhere]); // with something there to be kept
  const names = readdirSync(elsewhere);
  assert.ok(names.includes('collector.lock') && names.some((name) => name.startsWith('replaced-')));
  for (const name of names) assert.equal(statSync(join(elsewhere, name)).uid, NOBODY, name);
});

test('after a store is set back, agents go on: nothing is stored twice, and only the forgotten records are missing', async () => {
  const dataDir = bench.directory();
  const target = join(bench.directory(), 'copy');
  const first = await bench.collector({ data_dir: dataDir });
  const { port } = first.address;
  const spoolDir = bench.directory();
  const outbox = bench.outbox(first.address.url, { spoolDir });
  const send = (from: number, to: number) => {
    for (let number = from; number < to; number += 1) outbox.call(makeCall({ 'url.path': `/${number}` }));
  };
  send(0, 10);
  await eventually('ten calls stored', () => acknowledged(outbox) === 10);
  await backup([target, '--data-dir', dataDir]);
  send(10, 20);
  await eventually('twenty calls stored', () => acknowledged(outbox) === 20);
  await first.stop();
  send(20, 30);
  await restore([target, '--data-dir', dataDir]);
  await bench.collector({ data_dir: dataDir, listen: `127.0.0.1:${port}` });
  await eventually('the rest stored', () => acknowledged(outbox) === 30);
  const { numbers } = readStored(dataDir);
  assert.deepEqual(numbers, [...range(0, 10), ...range(20, 30)]);
  const database = new DatabaseSync(join(dataDir, 'imdswatch.db'), { readOnly: true });
  assert.equal(database.prepare('SELECT count(DISTINCT stream) AS count FROM streams').get()!['count'], 2);
  database.close();
});
