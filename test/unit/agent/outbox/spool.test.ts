import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs, {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, mock, test } from 'node:test';
import fc from 'fast-check';
import { pino } from 'pino';
import type { LaneName } from '../../../../agent/outbox/lanes.ts';
import { Ledger, type LedgerEntry } from '../../../../agent/outbox/ledger.ts';
import { Spool, type SpoolOptions } from '../../../../agent/outbox/spool.ts';
import { OperatorError } from '../../../../common/operator_error.ts';

const log = pino({ level: 'silent' });
const LANES: readonly LaneName[] = ['v1', 'v2', 'rollup', 'coverage'];
const MANY = 100_000;
const ROOT = join(import.meta.dirname, '../../../..');

let directories: string[] = [];
let spools: Spool[] = [];
afterEach(async () => {
  for (const spool of spools) await spool.close();
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
  directories = [];
  spools = [];
});

function newDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'imdswatch-spool-'));
  directories.push(directory);
  return directory;
}

function open(directory: string, changes: Partial<SpoolOptions> = {}): Spool {
  const spool = new Spool({ directory, maxBytes: 8 * 1024 * 1024, hostId: 'i-1', log, ...changes });
  spools.push(spool);
  return spool;
}

async function until(isTrue: () => boolean): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!isTrue()) {
    assert.ok(performance.now() < deadline, 'waited for too long');
    await new Promise((done) => setTimeout(done, 20));
  }
}

/** Returns what a killed process leaves: everything that was handed to the kernel, nothing cleaned up. */
function afterKill(directory: string): string {
  const copy = newDirectory();
  cpSync(directory, copy, { recursive: true });
  return copy;
}

function drain(spool: Spool): string[] {
  const found: string[] = [];
  for (let batch = spool.takeBatch(MANY, MANY); batch !== null; batch = spool.takeBatch(MANY, MANY)) {
    found.push(...batch.records.map(String));
    spool.acknowledgeBatches(batch.seq, 0);
  }
  return found;
}

function logFiles(directory: string): string[] {
  return readdirSync(directory)
    .filter((file) => file.endsWith('.log'))
    .sort()
    .map((file) => join(directory, file));
}

test('records come out once, v1 first and coverage last, each lane in order', () => {
  const spool = open(newDirectory());
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

test('a report of coverage fills no room that an IMDSv1 call was too large for', () => {
  const spool = open(newDirectory());
  for (let index = 0; index < 3; index += 1)
    spool.appendRecord('v1', JSON.stringify({ index, fill: 'x'.repeat(900) }));
  spool.appendRecord('coverage', '"all was seen"');
  const first = spool.takeBatch(MANY, 2000)!.records.map(String);
  assert.equal(first.length, 2);
  const second = spool.takeBatch(MANY, 2000)!.records.map(String);
  assert.deepEqual([second.length, second[1]], [2, '"all was seen"']);
});

test('what is lost of the evidence is said once, also over restarts; what is lost of IMDSv2 calls proves nothing', async () => {
  const directory = newDirectory();
  const maxBytes = 128 * 1024;
  const spool = open(directory, { maxBytes });
  const put = (lane: LaneName, count: number) => {
    for (let index = 0; index < count; index += 1) spool.appendRecord(lane, JSON.stringify('x'.repeat(900)));
  };
  put('v2', 300);
  assert.ok(spool.report().overflowed['v2']! > 0);
  assert.deepEqual(spool.unreportedLosses(), {});
  put('v1', 300);
  const lost = spool.unreportedLosses();
  assert.deepEqual(lost, { v1_overflowed: spool.report().overflowed['v1'] });
  const again = open(afterKill(directory), { maxBytes });
  assert.deepEqual(again.unreportedLosses(), lost, 'a kill before it was said');
  again.markReported(lost);
  again.acknowledgeBatches(again.takeBatch(10, MANY)!.seq, 2);
  assert.deepEqual(again.unreportedLosses(), { rejected: 2 });
  again.markReported({ rejected: 2 });
  await again.close();
});

test('a killed process loses nothing, and a batch on its way keeps its number and content', () => {
  const directory = newDirectory();
  const spool = open(directory);
  for (let index = 0; index < 1000; index += 1) spool.appendRecord('v1', JSON.stringify({ index }));
  const first = spool.takeBatch(100, MANY)!;
  const second = spool.takeBatch(150, MANY)!;
  spool.acknowledgeBatches(first.seq, 0);

  const again = open(afterKill(directory));
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

test('damage anywhere in the files costs only what was hit, and every lost record is counted', async () => {
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
      const spool = open(directory, { maxBytes: 512 * 1024 });
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
      const again = open(directory, { maxBytes: 512 * 1024 });
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
  test(`what damage takes of ${lane} calls takes the reports that would cover their time with it`, async () => {
    const directory = newDirectory();
    const spool = open(directory);
    for (let index = 0; index < 10; index += 1) spool.appendRecord(lane, '"call"');
    spool.appendRecord('coverage', '"reported"');
    assert.equal(drain(spool).at(-1), '"reported"');
    for (let index = 0; index < 10; index += 1) spool.appendRecord(lane, '"call"');
    spool.appendRecord('coverage', '"on its way"');
    assert.equal(spool.takeBatch(MANY, MANY)?.seq, 2);
    for (let index = 0; index < 10; index += 1) spool.appendRecord(lane, '"call"');
    spool.appendRecord('coverage', '"waiting"');
    const copy = afterKill(directory);
    const whole = open(afterKill(directory));
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
    const again = open(copy);
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
    const spool = open(directory);
    for (let index = 0; index < 10; index += 1) spool.appendRecord('v1', '"call"');
    const { seq } = spool.takeBatch(MANY, MANY)!;
    const damaged = afterKill(directory);
    truncateSync(logFiles(damaged)[0]!, 1);
    const again = open(damaged);
    assert.deepEqual([again.counters()['lost'], again.report().records], [10, 0]);
    again.resumeAfter(isStored ? seq : 0);
    again.unacknowledgedBatches();
    again.acknowledgeBatches(seq, 0);
    assert.deepEqual([again.counters()['lost'], again.report().records], [10, 0]);

    again.appendRecord('v1', '"call"');
    again.appendRecord('coverage', '"a claim that must not be made"');
    const damagedAgain = afterKill(damaged);
    truncateSync(logFiles(damagedAgain).find((path) => path.includes('v1-'))!, 1);
    const last = open(damagedAgain);
    assert.deepEqual(drain(last), []);
    assert.deepEqual(last.unreportedLosses(), { v1_lost: 11, coverage_lost: 1 });
  });
}

test('a ledger of an older agent that counted records twice: the account is put right, and nothing is claimed', async () => {
  const directory = newDirectory();
  const spool = open(directory);
  for (let index = 0; index < 10; index += 1) spool.appendRecord('v1', '"call"');
  spool.acknowledgeBatches(spool.takeBatch(MANY, MANY)!.seq, 0);
  spool.appendRecord('v1', '"later call"');
  spool.appendRecord('coverage', '"a claim that must not be made"');
  await spool.close();
  const { ledger, entry } = Ledger.open(directory);
  entry!.lanes['v1']!.lost += 7;
  for (let slot = 0; slot < 2; slot += 1) ledger.write(entry!);
  ledger.close();
  const again = open(directory);
  assert.equal(again.report().records, 1);
  assert.deepEqual(drain(again), ['"later call"']);
  assert.equal(again.report().records, 0);
});

test('a file that repeats its records gives each of them once', async () => {
  const directory = newDirectory();
  const spool = open(directory);
  for (let index = 0; index < 30; index += 1) spool.appendRecord('v1', `${index}`);
  await spool.close();
  const [file] = logFiles(directory);
  const bytes = readFileSync(file!);
  writeFileSync(file!, Buffer.concat([bytes, bytes]));
  const again = open(directory);
  assert.equal(again.report().records, 30);
  assert.deepEqual(
    drain(again).map(Number),
    Array.from({ length: 30 }, (_, index) => index),
  );
  assert.deepEqual([again.counters()['lost'], again.report().records], [0, 0]);
});

test('a damaged ledger: every record still goes out, under a new stream', async () => {
  const directory = newDirectory();
  const spool = open(directory);
  for (let index = 0; index < 50; index += 1) spool.appendRecord('v1', `${index}`);
  await spool.close();
  writeFileSync(join(directory, 'ledger'), Buffer.alloc(32 * 1024, 0x5a));
  const again = open(directory);
  assert.notEqual(again.stream, spool.stream);
  assert.equal(again.counters()['ledgers_lost'], 1);
  assert.equal(drain(again).length, 50);
});

test('one damaged slot of the ledger costs nothing but a step back', () => {
  const directory = newDirectory();
  const spool = open(directory);
  for (let index = 0; index < 50; index += 1) spool.appendRecord('v1', `${index}`);
  for (const slot of [0, 1]) {
    const copy = afterKill(directory);
    const ledger = readFileSync(join(copy, 'ledger'));
    ledger.fill(0xff, slot * 16 * 1024, (slot + 1) * 16 * 1024);
    writeFileSync(join(copy, 'ledger'), ledger);
    assert.equal(drain(open(copy)).length, 50);
  }
});

test('full: roll-ups go first, then v2 calls, then coverage, then v1; each counted, also after a restart', async () => {
  const directory = newDirectory();
  const maxBytes = 256 * 1024;
  const spool = open(directory, { maxBytes });
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
  const again = open(directory, { maxBytes });
  assert.deepEqual(again.report().overflowed, before);
  const found = drain(again).map((json) => JSON.parse(json) as { lane: LaneName; number: number });
  assert.equal(found.length + Object.values(before).reduce((sum, count) => sum + count, 0), appended);
  const v1 = found.filter(({ lane }) => lane === 'v1').map(({ number }) => number);
  assert.deepEqual([v1.length, v1.at(-1)], [610 - before['v1']!, lastV1], 'the newest are kept');
});

test('what is on its way is not dropped, however full the spool', () => {
  const spool = open(newDirectory(), { maxBytes: 256 * 1024 });
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

test('the collector has more than the ledger: the sequence goes on behind it', () => {
  const spool = open(newDirectory());
  spool.appendRecord('v1', '1');
  const batch = spool.takeBatch(10, MANY)!;
  spool.resumeAfter(7);
  assert.equal(spool.inFlight, 0);
  spool.appendRecord('v1', '2');
  assert.deepEqual([batch.seq, spool.takeBatch(10, MANY)!.seq], [1, 8]);
});

test('the collector has forgotten what it acknowledged: a new stream, and what is left goes out in it', () => {
  const spool = open(newDirectory());
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

test("another host's spool is discarded and counted", async () => {
  const directory = newDirectory();
  const spool = open(directory);
  for (let index = 0; index < 12; index += 1) spool.appendRecord('v1', `${index}`);
  await spool.close();
  const clone = open(directory, { hostId: 'i-2' });
  assert.notEqual(clone.stream, spool.stream);
  assert.deepEqual(drain(clone), []);
  assert.equal(clone.counters()['foreign_records'], 12);
});

test("discarding another host's spool deletes its records only, whatever else lies in the directory", async () => {
  const directory = newDirectory();
  const spool = open(directory);
  spool.appendRecord('v1', '1');
  await spool.close();
  writeFileSync(join(directory, 'open_rollups'), 'of the other host');
  for (const file of ['host.json', 'state.json', 'credential', 'notes.txt'])
    writeFileSync(join(directory, file), 'kept');
  mkdirSync(join(directory, 'lost+found'));
  const clone = open(directory, { hostId: 'i-2' });
  assert.equal(clone.fault, null);
  const left = readdirSync(directory).sort();
  for (const file of ['credential', 'host.json', 'lost+found', 'notes.txt', 'state.json'])
    assert.ok(left.includes(file), `${file} is gone`);
  assert.ok(!left.includes('open_rollups') && !left.some((file) => file.startsWith('v1-')));
});

test('a ledger that cannot be written while room is made: the dropped file is deleted once it can be', async () => {
  const directory = newDirectory();
  const spool = open(directory, { maxBytes: 256 * 1024 });
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

test('a file that is acknowledged during a sync is deleted after a later sync only', async () => {
  const directory = newDirectory();
  const spool = open(directory, { maxBytes: 256 * 1024 });
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

test('a start after a power cut says so; one after a kill does not', async () => {
  const directory = newDirectory();
  open(directory).appendRecord('v1', '1');
  const killed = afterKill(directory);
  assert.equal(open(killed).counters()['power_cuts'], undefined);

  const cut = afterKill(directory);
  const { ledger, entry } = Ledger.open(cut);
  ledger.write({ ...entry!, boot_id: 'the boot before' });
  ledger.close();
  assert.equal(open(cut).counters()['power_cuts'], 1);
});

test('records that the ledger knows of and a power cut took are counted', async () => {
  const directory = newDirectory();
  const spool = open(directory);
  for (let index = 0; index < 20; index += 1) spool.appendRecord('v1', `"${'x'.repeat(50)}${index}"`);
  spool.takeBatch(5, MANY);
  const cut = afterKill(directory);
  truncateSync(logFiles(cut)[0]!, 900);
  const again = open(cut);
  const found = again.unacknowledgedBatches()![0]!.records.length + again.unsent;
  assert.equal(found + again.counters()['lost']!, 20);
  assert.ok(again.counters()['lost']! > 0);
});

test('a spool has one user', () => {
  const directory = newDirectory();
  open(directory);
  // The lock of a living process that is not this one: our parent's.
  const lock = join(directory, 'lock');
  const [, ...rest] = readFileSync(lock, 'utf8').split(' ');
  const stat = readFileSync(`/proc/${process.ppid}/stat`, 'utf8');
  const startTicks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  writeFileSync(lock, `${process.ppid} ${startTicks} ${rest[1]}`);
  assert.throws(() => new Spool({ directory, maxBytes: MANY, hostId: 'i-1', log }), OperatorError);
  writeFileSync(lock, `${process.ppid} 1 ${rest[1]}`);
  open(directory).appendRecord('v1', '1');
});

test('of many processes that find a dead lock at once, one gets the spool', async () => {
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

test('a directory that can only be used later: what came in meanwhile joins what it holds', async () => {
  const old = newDirectory();
  const before = open(old);
  for (let index = 0; index < 5; index += 1) before.appendRecord('v1', `"old ${index}"`);
  await before.close();
  const parent = newDirectory();
  const directory = join(parent, 'mounted', 'spool');
  writeFileSync(join(parent, 'mounted'), 'in the way');
  const spool = open(directory);
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

test('any mix of appending, sending, lost acknowledgements and kills delivers every record exactly once', async () => {
  type Step =
    | { do: 'append'; lane: LaneName; size: number }
    | { do: 'send' | 'ack' | 'lose ack' | 'kill' | 'restart' };
  const step: fc.Arbitrary<Step> = fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        do: fc.constant('append' as const),
        lane: fc.constantFrom(...LANES),
        size: fc.integer({ min: 0, max: 9000 }),
      }),
    },
    { weight: 4, arbitrary: fc.record({ do: fc.constantFrom('send' as const, 'ack' as const) }) },
    {
      weight: 1,
      arbitrary: fc.record({ do: fc.constantFrom('lose ack' as const, 'kill' as const, 'restart' as const) }),
    },
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 120 }),
      fc.constantFrom(96 * 1024, 8 * 1024 * 1024),
      async (steps, maxBytes) => {
        let directory = newDirectory();
        let spool = open(directory, { maxBytes });
        /** Content of every batch that the collector has, by number. */
        const stored: string[][] = [];
        let appended = 0;
        const receive = (seq: number, records: string[]) => {
          if (seq <= stored.length) assert.deepEqual(records, stored[seq - 1], `batch ${seq} changed`);
          else {
            assert.equal(seq, stored.length + 1);
            stored.push(records);
          }
        };
        const reconnect = () => {
          spool.resumeAfter(stored.length);
          for (const { seq, records } of spool.unacknowledgedBatches()!) receive(seq, records.map(String));
        };
        for (const next of steps) {
          switch (next.do) {
            case 'append':
              spool.appendRecord(next.lane, JSON.stringify({ appended, fill: 'x'.repeat(next.size) }));
              appended += 1;
              break;
            case 'send': {
              const batch = spool.takeBatch(7, 20_000);
              if (batch !== null) receive(batch.seq, batch.records.map(String));
              break;
            }
            case 'ack':
              spool.acknowledgeBatches(stored.length, 0);
              break;
            case 'lose ack':
              reconnect();
              break;
            case 'kill':
              directory = afterKill(directory);
              spool = open(directory, { maxBytes });
              reconnect();
              break;
            case 'restart':
              await spool.close();
              spool = open(directory, { maxBytes });
              reconnect();
          }
        }
        spool.acknowledgeBatches(stored.length, 0);
        for (let batch = spool.takeBatch(7, 20_000); batch !== null; batch = spool.takeBatch(7, 20_000)) {
          receive(batch.seq, batch.records.map(String));
          spool.acknowledgeBatches(batch.seq, 0);
        }
        const delivered = stored.flat().map((json) => (JSON.parse(json) as { appended: number }).appended);
        assert.equal(new Set(delivered).size, delivered.length, 'twice');
        assert.equal(delivered.length + spool.counters()['overflowed']!, appended);
        assert.equal(spool.counters()['lost'], 0);
        if (maxBytes > 1024 * 1024) assert.equal(delivered.length, appended);
        for (const opened of spools.splice(0)) await opened.close();
        for (const used of directories.splice(0)) rmSync(used, { recursive: true, force: true });
      },
    ),
    { numRuns: 60 },
  );
});
