/** Full and read-only disks on either side, on file systems of a test's own. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import { DiskFullError } from '../../../collector/store/sqlite/disk_full.ts';
import { openStore } from '../../../collector/store/sqlite/sqlite_store.ts';
import { makeCall } from '../../support/collector/calls.ts';
import { acknowledged, Bench } from '../../support/collector/in_process.ts';
import { eventually, range, readStored } from '../../support/collector/stored.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root to mount a small file system';
const bench = new Bench();
afterEach(() => bench.end());

function smallDisk(size: string): string {
  const directory = bench.directory();
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'imdswatch-test', directory]);
  bench.atEnd(() => execFileSync('umount', [directory]));
  return directory;
}

function fill(directory: string): string {
  const filler = join(directory, 'filler');
  const { bavail, bsize } = statfsSync(directory);
  try {
    writeFileSync(filler, Buffer.alloc(bavail * bsize));
  } catch (error) {
    // Somebody else took some of it meanwhile: full is full.
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  }
  return filler;
}

const faults = (level: number) =>
  bench.logged.filter((line) => line.level === level && line.msg.includes('spool'));

test('the agent has no space: calls are still delivered, from memory, and the disk is used again when it has some', {
  skip,
}, async () => {
  const disk = smallDisk('2m');
  const dataDir = bench.directory();
  const collector = await bench.collector({ data_dir: dataDir });
  const outbox = bench.outbox(collector.address.url, { spoolDir: join(disk, 'spool') });
  for (const number of range(0, 100)) outbox.call(makeCall({ 'url.path': `/${number}` }));
  await eventually('delivered', () => acknowledged(outbox) === 100);
  const filler = fill(disk);
  for (const number of range(100, 400)) outbox.call(makeCall({ 'url.path': `/${number}` }));
  await eventually('delivered without a disk', () => acknowledged(outbox) === 400);
  rmSync(filler);
  await eventually('the disk is back', () => faults(30).length === 1);
  for (const number of range(400, 500)) outbox.call(makeCall({ 'url.path': `/${number}` }));
  await eventually('delivered', () => acknowledged(outbox) === 500);
  assert.deepEqual(readStored(dataDir).numbers, range(0, 500));
  const { spool } = outbox.counters();
  assert.deepEqual([spool!['lost'], spool!['overflowed'], spool!['disk_faults']], [0, 0, 1]);
  assert.equal(faults(50).length, 1, 'said once');
});

test('no space and no collector: memory holds its share, the rest is counted, and nothing is counted twice', {
  skip,
}, async () => {
  const disk = smallDisk('2m');
  const dataDir = bench.directory();
  const first = await bench.collector({ data_dir: dataDir });
  const { port, url } = first.address;
  await first.stop();
  const spoolDir = join(disk, 'spool');
  const outbox = bench.outbox(url, { spoolDir });
  const calls = 8000;
  for (const number of range(0, calls)) {
    const version = number % 2 === 0 ? 1 : 2;
    outbox.call(
      makeCall({ 'url.path': `/${number}`, 'imds.version': version, 'imds.server_version': version }),
    );
    if (number % 500 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  }
  const { spool } = outbox.counters();
  assert.ok(spool!['disk_faults']! > 0 && spool!['overflowed']! > 0);
  await bench.collector({ data_dir: dataDir, listen: `127.0.0.1:${port}` });
  await eventually('delivered', () => {
    const { acknowledged, overflowed } = outbox.counters()['spool']!;
    return acknowledged! + overflowed! === calls;
  });
  const { numbers } = readStored(dataDir);
  assert.equal(new Set(numbers).size, numbers.length);
  assert.equal(numbers.length + outbox.counters()['spool']!['overflowed']!, calls);
  assert.equal(outbox.counters()['spool']!['lost'], 0);
  const v1 = numbers.filter((number) => number % 2 === 0).length;
  assert.ok(v1 > numbers.length - v1, 'v1 calls outlive v2 calls');
});

test('the spool becomes read-only and writable again', { skip }, async () => {
  const disk = smallDisk('8m');
  const dataDir = bench.directory();
  const collector = await bench.collector({ data_dir: dataDir });
  const spoolDir = join(disk, 'spool');
  execFileSync('mount', ['-o', 'remount,ro', disk]);
  const outbox = bench.outbox(collector.address.url, { spoolDir });
  for (const number of range(0, 50)) outbox.call(makeCall({ 'url.path': `/${number}` }));
  await eventually('delivered without a spool', () => acknowledged(outbox) === 50);
  execFileSync('mount', ['-o', 'remount,rw', disk]);
  await eventually('writable again', () => faults(30).length === 1);
  for (const number of range(50, 100)) outbox.call(makeCall({ 'url.path': `/${number}` }));
  await eventually('delivered', () => acknowledged(outbox) === 100);
  assert.deepEqual(readStored(dataDir).numbers, range(0, 100));
});

test('the collector has no space: agents keep what it cannot take, and deliver it when it can', {
  skip,
}, async () => {
  const dataDir = smallDisk('24m');
  const collector = await bench.collector({ data_dir: dataDir });
  const outbox = bench.outbox(collector.address.url);
  for (const number of range(0, 200)) outbox.call(makeCall({ 'url.path': `/${number}` }));
  await eventually('delivered', () => acknowledged(outbox) === 200);
  const filler = fill(dataDir);
  // The write-ahead log has room of its own from before: enough calls to fill it.
  for (const number of range(200, 20_000)) {
    outbox.call(makeCall({ 'url.path': `/${number}` }));
    if (number % 500 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await eventually('the store is full', () => collector.counters()['writer']!['failed_transactions']! > 0);
  assert.ok(acknowledged(outbox) < 20_000);
  assert.ok(readStored(dataDir).numbers.length >= acknowledged(outbox), 'what is acknowledged is stored');
  rmSync(filler);
  await eventually('everything delivered', () => acknowledged(outbox) === 20_000);
  assert.deepEqual(readStored(dataDir).numbers, range(0, 20_000));
});

test('with a full disk it says which file system is full, its free bytes and what to do; with space it starts', {
  skip,
}, async () => {
  for (const isNew of [true, false]) {
    const disk = smallDisk('2m');
    if (!isNew) await openStore(disk).close();
    const filler = fill(disk);
    assert.throws(
      () => openStore(disk),
      (error: Error) => {
        assert.ok(error instanceof DiskFullError, error.message);
        assert.match(
          error.message,
          /imdswatch\.db cannot be opened, because its disk is full: \d+ bytes are free/,
        );
        assert.ok(error.message.includes(`the file system of ${disk}. Free some space`));
        return true;
      },
    );
    rmSync(filler);
    await openStore(disk).close();
  }
});
