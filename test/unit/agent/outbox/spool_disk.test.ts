import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs, { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { mock, test } from 'node:test';
import { pino } from 'pino';
import { Ledger, type LedgerEntry } from '../../../../agent/outbox/ledger.ts';
import { Spool } from '../../../../agent/outbox/spool.ts';
import { OperatorError } from '../../../../common/operator_error.ts';
import { drain, MANY, newDirectory, openSpool, until } from '../../../support/agent/outbox/spool_fixture.ts';

const log = pino({ level: 'silent' });
const ROOT = join(import.meta.dirname, '../../../..');

test("another host's spool is discarded and counted", async () => {
  const directory = newDirectory();
  const spool = openSpool(directory);
  for (let index = 0; index < 12; index += 1) spool.appendRecord('v1', `${index}`);
  await spool.close();
  const clone = openSpool(directory, { hostId: 'i-2' });
  assert.notEqual(clone.stream, spool.stream);
  assert.deepEqual(drain(clone), []);
  assert.equal(clone.counters()['foreign_records'], 12);
});

test("discarding another host's spool deletes its records and no other file of the directory", async () => {
  const directory = newDirectory();
  const spool = openSpool(directory);
  spool.appendRecord('v1', '1');
  await spool.close();
  writeFileSync(join(directory, 'open_rollups'), 'of the other host');
  for (const file of ['host.json', 'state.json', 'credential', 'notes.txt'])
    writeFileSync(join(directory, file), 'kept');
  mkdirSync(join(directory, 'lost+found'));
  const clone = openSpool(directory, { hostId: 'i-2' });
  assert.equal(clone.fault, null);
  const left = readdirSync(directory).sort();
  for (const file of ['credential', 'host.json', 'lost+found', 'notes.txt', 'state.json'])
    assert.ok(left.includes(file), `${file} is gone`);
  assert.ok(!left.includes('open_rollups') && !left.some((file) => file.startsWith('v1-')));
});

test('a file that is dropped while the ledger cannot be written is deleted when it can', async () => {
  const directory = newDirectory();
  const spool = openSpool(directory, { maxBytes: 256 * 1024 });
  const record = JSON.stringify('x'.repeat(4000));
  for (let index = 0; index < 64; index += 1) spool.appendRecord('v2', record);
  const fail = mock.method(Ledger.prototype, 'write', () => {
    throw new Error('no space left on device');
  });
  for (let index = 0; index < 4; index += 1) spool.appendRecord('v2', record);
  fail.mock.restore();
  assert.notEqual(spool.fault, null);
  await until(() => spool.fault === null);
  const onDisk = readdirSync(directory)
    .filter((file) => file.startsWith('v2-'))
    .reduce((sum, file) => sum + statSync(join(directory, file)).size, 0);
  assert.equal(spool.report().bytes, onDisk);
});

test('a file that is acknowledged during a sync is deleted only after a later sync', async () => {
  const directory = newDirectory();
  const spool = openSpool(directory, { maxBytes: 256 * 1024 });
  const record = JSON.stringify('x'.repeat(4000));
  for (let index = 0; index < 40; index += 1) spool.appendRecord('v1', record);
  const [first, second] = [spool.takeBatch(20, MANY)!, spool.takeBatch(20, MANY)!];
  const events: string[] = [];
  const write = Ledger.prototype.write;
  const writes = mock.method(Ledger.prototype, 'write', function (this: Ledger, entry: LedgerEntry) {
    write.call(this, entry);
    events.push('ledger');
    // The second write is that of the sync in the background, which waits for the disk next. Meanwhile a full
    // spool syncs at once, and another batch is acknowledged.
    if (events.length !== 2) return;
    queueMicrotask(() => {
      for (let index = 0; index < 30; index += 1) spool.appendRecord('v1', record);
      events.push('acknowledged');
      spool.acknowledgeBatches(second.seq, 0);
    });
  });
  const unlink = fs.unlinkSync;
  const unlinks = mock.method(fs, 'unlinkSync', (path: string) => {
    events.push(path);
    unlink(path);
  });
  syncBuiltinESMExports();
  try {
    spool.acknowledgeBatches(first.seq, 0);
    await until(() => readdirSync(directory).filter((file) => file.startsWith('v1-')).length <= 9);
  } finally {
    writes.mock.restore();
    unlinks.mock.restore();
    syncBuiltinESMExports();
  }
  const afterwards = events.slice(events.indexOf('acknowledged') + 1);
  const firstDeleted = afterwards.findIndex((event) => event.includes('v1-'));
  assert.ok(firstDeleted > 0);
  // One write by the acknowledgement, and one by the sync that covers it.
  assert.ok(afterwards.slice(0, firstDeleted).filter((event) => event === 'ledger').length >= 2);
});

test('a second process cannot use a spool', () => {
  const directory = newDirectory();
  openSpool(directory);
  // The lock of a living process that is not this one: our parent's.
  const lock = join(directory, 'lock');
  const [, ...rest] = readFileSync(lock, 'utf8').split(' ');
  const stat = readFileSync(`/proc/${process.ppid}/stat`, 'utf8');
  const startTicks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  writeFileSync(lock, `${process.ppid} ${startTicks} ${rest[1]}`);
  assert.throws(() => new Spool({ directory, maxBytes: MANY, hostId: 'i-1', log }), OperatorError);
  writeFileSync(lock, `${process.ppid} 1 ${rest[1]}`);
  openSpool(directory).appendRecord('v1', '1');
});

test('one of many processes that find a dead lock at once gets the spool', async () => {
  const directory = newDirectory();
  const program = `
    import { lockSpool } from ${JSON.stringify(join(ROOT, 'agent/outbox/spool_lock.ts'))};
    process.stdin.once('data', () => {
      try { lockSpool(${JSON.stringify(directory)}); console.log('locked'); } catch { console.log('refused'); }
    });
    process.stdin.once('end', () => process.exit(0));
    console.log('ready');`;
  for (let round = 0; round < 3; round += 1) {
    writeFileSync(join(directory, 'lock'), `1 1 no-such-boot-${round}`);
    const starters = Array.from({ length: 4 }, () =>
      spawn(process.execPath, ['--input-type=module', '--eval', program], {
        stdio: ['pipe', 'pipe', 'inherit'],
      }),
    );
    const lines = starters.map(({ stdout }) => createInterface({ input: stdout })[Symbol.asyncIterator]());
    await Promise.all(lines.map((line) => line.next()));
    for (const { stdin } of starters) stdin.write('go');
    const answers = await Promise.all(lines.map(async (line) => (await line.next()).value));
    assert.equal(answers.filter((answer) => answer === 'locked').length, 1, answers.join(' '));
    await Promise.all(
      starters.map((starter) => {
        starter.stdin.end();
        return once(starter, 'exit');
      }),
    );
  }
});

test('records that arrive before the directory is usable are appended to those that it holds', async () => {
  const old = newDirectory();
  const before = openSpool(old);
  for (let index = 0; index < 5; index += 1) before.appendRecord('v1', `"old ${index}"`);
  await before.close();
  const parent = newDirectory();
  const directory = join(parent, 'mounted', 'spool');
  writeFileSync(join(parent, 'mounted'), 'in the way');
  const spool = openSpool(directory);
  assert.notEqual(spool.fault, null);
  for (let index = 0; index < 5; index += 1) spool.appendRecord('v1', `"new ${index}"`);
  const sent = spool.takeBatch(2, MANY)!;
  assert.deepEqual(sent.records.map(String), ['"new 0"', '"new 1"']);
  spool.acknowledgeBatches(sent.seq, 0);

  rmSync(join(parent, 'mounted'));
  mkdirSync(directory, { recursive: true });
  cpSync(old, directory, { recursive: true });
  await until(() => spool.fault === null);
  assert.equal(spool.stream, before.stream);
  const found = drain(spool).map((json) => JSON.parse(json) as string);
  assert.deepEqual(found, [...[0, 1, 2, 3, 4].map((n) => `old ${n}`), ...[2, 3, 4].map((n) => `new ${n}`)]);
  assert.deepEqual(
    [spool.counters()['lost'], spool.counters()['acknowledged'], spool.report().records],
    [0, 10, 0],
  );
});
