/** Retention deletes records beyond the age or the size that is set, and nothing else. */
import assert from 'node:assert/strict';
import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, test } from 'node:test';
import { DAY_US } from '../../../../collector/contract/window.ts';
import { openForReading, openForWriting } from '../../../../collector/store/sqlite/database.ts';
import { rewriteToShrink } from '../../../../collector/store/sqlite/file_space.ts';
import { FINDINGS } from '../../../../collector/store/sqlite/findings_schema.ts';
import { FindingsWriter } from '../../../../collector/store/sqlite/findings_writer.ts';
import { pack } from '../../../../collector/store/sqlite/packed_batch.ts';
import { openStore } from '../../../../collector/store/sqlite/sqlite_store.ts';
import { Bench } from '../../../support/collector/in_process.ts';
import {
  ALL,
  ALL_CALLS,
  call,
  EVER,
  host,
  program,
  report,
  rollup,
  stream,
} from '../../../support/collector/store/records.ts';

const bench = new Bench();
afterEach(() => bench.end());

const NOW_US = Date.UTC(2026, 10, 20, 12) * 1000;
const A = host('a');
const UNBOUNDED = 1e12;

function open() {
  const dataDir = bench.directory();
  const store = openStore(dataDir);
  bench.atEnd(() => store.close());
  const rows = (table: string) => {
    const database = openForReading(dataDir, FINDINGS);
    try {
      return Number(database.prepare(`SELECT count(*) AS count FROM ${table}`).get()!['count']);
    } finally {
      database.close();
    }
  };
  return { store, rows };
}

test('raw records are deleted by age and stay counted; roll-ups are deleted later, with rows that nothing refers to', async () => {
  const { store, rows } = open();
  const old = stream(A, [program('old')]);
  const young = stream(host('b'), [program('young')]);
  const ago = (days: number) => NOW_US - days * DAY_US;
  await store.write([
    old(
      call(ago(10), { 'user_agent.original': 'Old/1' }),
      rollup(ago(10), ago(10) + 5, [{ count: 3 }]),
      report(A.id, ago(10), ago(9)),
      report(A.id, ago(8), ago(7)),
    ),
    young(call(ago(2)), call(ago(1))),
  ]);
  const retention = { rawDays: 5, rollupDays: 90, maxBytes: UNBOUNDED };
  const result = await store.retain(retention, NOW_US);
  assert.deepEqual([result.callsDeleted, result.rollupsDeleted, result.coverageDeleted], [1, 1, 2]);
  assert.equal((await store.identityTotals(ALL)).length, 2);
  assert.equal((await store.statistics()).calls, 2);
  assert.equal((await store.coverage(EVER, [A.id]))[0]!.gaps.length, 1);
  assert.deepEqual([rows('callers'), rows('rollup_lines'), rows('user_agents')], [1, 0, 3]);

  await store.retain({ ...retention, rollupDays: 5 }, NOW_US);
  assert.deepEqual(
    (await store.identityTotals(ALL)).map(({ identity }) => identity.executable),
    ['/usr/bin/young'],
  );
  assert.deepEqual(
    [
      rows('identities'),
      rows('identity_hosts'),
      rows('gaps'),
      rows('coverage_days'),
      rows('user_agents'),
      rows('hosts'),
    ],
    [1, 1, 0, 0, 1, 1],
  );
  // Deleted rows are created again when a record needs them.
  const again = stream(A, [program('old')]);
  await store.write([again(call(NOW_US, { 'user_agent.original': 'Old/1' }))]);
  const { calls } = await store.calls(ALL_CALLS, 1, null);
  assert.deepEqual(
    [calls[0]!.process!['executable.path'], calls[0]!['user_agent.original']],
    ['/usr/bin/old', 'Old/1'],
  );
});

test('beyond the bound on bytes the oldest calls are deleted, and batches are written meanwhile', async () => {
  const { store } = open();
  const next = stream(A);
  const records = (from: number) =>
    Array.from({ length: 4000 }, (_, index) => call(NOW_US - DAY_US + from + index));
  for (let part = 0; part < 10; part += 1) await store.write([next(...records(part * 4000))]);
  // Empties the log, so that what is measured is what is kept.
  await store.retain({ rawDays: 5, rollupDays: 90, maxBytes: UNBOUNDED }, NOW_US);
  const before = await store.statistics();
  const maxBytes = Math.floor(before.bytes / 2);
  let written = 0;
  const retained = store.retain({ rawDays: 5, rollupDays: 90, maxBytes }, NOW_US);
  let done = false;
  const result = retained.finally(() => {
    done = true;
  });
  while (!done) {
    await store.write([next(call(NOW_US))]);
    if (!done) written += 1;
  }
  const { callsDeleted, bytes } = await result;
  assert.ok(bytes <= maxBytes, `${bytes} of ${maxBytes}`);
  assert.ok(written > 0, 'no batch was stored meanwhile');
  const after = await store.statistics();
  assert.ok(callsDeleted > 10_000 && after.calls > 10_000, `${callsDeleted} deleted, ${after.calls} left`);
  assert.ok(after.oldestCallUs! >= NOW_US - DAY_US + callsDeleted);
  const [totals] = await store.identityTotals(ALL);
  const counted = totals!.kinds.reduce((sum, { count }) => sum + count, 0);
  assert.equal(counted, callsDeleted + after.calls, 'what was deleted stays counted');
});

test('the write-ahead log and the other databases count towards the bound, and the log is emptied', async () => {
  const dataDir = bench.directory();
  const store = openStore(dataDir);
  bench.atEnd(() => store.close());
  const next = stream(A);
  const records = (from: number) =>
    Array.from({ length: 4000 }, (_, index) => call(NOW_US - DAY_US + from + index));
  for (let part = 0; part < 5; part += 1) await store.write([next(...records(part * 4000))]);
  const log = join(dataDir, `${FINDINGS.file}-wal`);
  const logBytes = statSync(log).size;
  assert.ok(logBytes > 1_000_000, `${logBytes} bytes in the log`);
  assert.ok((await store.statistics()).bytes > logBytes, 'the log counts');
  const unbounded = { rawDays: 5, rollupDays: 90, maxBytes: UNBOUNDED };
  const { bytes: used } = await store.retain(unbounded, NOW_US);
  assert.equal(statSync(log).size, 0);
  // Another database of the directory takes half of the bound: only half as many calls can stay.
  writeFileSync(join(dataDir, 'admin.db-wal'), Buffer.alloc(Math.ceil(used / 2)));
  const { bytes, callsDeleted } = await store.retain({ ...unbounded, maxBytes: used }, NOW_US);
  assert.ok(bytes <= used && bytes > used / 2, `${bytes} of ${used}`);
  assert.ok(callsDeleted >= 5000, `${callsDeleted} deleted`);
});

test('the file shrinks when much of it is deleted, and keeps a tenth for what comes next', async () => {
  const dataDir = bench.directory();
  const store = openStore(dataDir);
  bench.atEnd(() => store.close());
  const next = stream(A);
  for (let part = 0; part < 5; part += 1) {
    await store.write([next(...Array.from({ length: 4000 }, () => call(NOW_US - 10 * DAY_US + part)))]);
  }
  const retention = { rawDays: 20, rollupDays: 90, maxBytes: UNBOUNDED };
  const size = () => statSync(join(dataDir, FINDINGS.file)).size;
  const { bytes: fullBytes } = await store.retain(retention, NOW_US);
  const full = size();
  assert.ok(full > 3_000_000 && full < fullBytes * 1.1, `${full} bytes on disk for ${fullBytes}`);
  await store.write([next(call(NOW_US))]);
  const { bytes, callsDeleted } = await store.retain({ ...retention, rawDays: 5 }, NOW_US);
  assert.equal(callsDeleted, 20_000);
  assert.ok(size() < full / 4, `${full} bytes before, ${size()} after`);
  assert.ok(size() <= bytes * 1.1 + 8192, `${size()} bytes on disk for ${bytes}`);
  assert.equal((await store.statistics()).calls, 1);
});

test('a file of an earlier release is rewritten once, so that it can shrink, with all that it holds', async () => {
  const dataDir = bench.directory();
  const file = join(dataDir, FINDINGS.file);
  const old = new DatabaseSync(file);
  old.exec('PRAGMA auto_vacuum = NONE; PRAGMA journal_mode = WAL');
  old.close();
  const mode = () => {
    const database = openForReading(dataDir, FINDINGS);
    const { auto_vacuum } = database.prepare('PRAGMA auto_vacuum').get()!;
    database.close();
    return auto_vacuum;
  };
  const before = openForWriting(dataDir, FINDINGS);
  new FindingsWriter(before).write(pack([stream(A)(call(NOW_US))]));
  before.close();
  assert.equal(mode(), 0);
  const busy = openForReading(dataDir, FINDINGS);
  busy.exec('BEGIN; SELECT count(*) FROM calls');
  const second = openForWriting(dataDir, FINDINGS);
  new FindingsWriter(second).write(pack([stream(A)(call(NOW_US))]));
  const isRewritten = rewriteToShrink(second, file);
  busy.close();
  assert.ok(!isRewritten && mode() === 0, 'a file that somebody reads is left as it is');

  const store = openStore(dataDir);
  bench.atEnd(() => store.close());
  assert.equal(mode(), 2);
  assert.equal((await store.statistics()).calls, 2);
  await store.write([stream(A)(call(NOW_US))]);
  assert.equal((await store.statistics()).calls, 3);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.deepEqual(
    readdirSync(dataDir).filter((name) => name.includes('rewriting')),
    [],
  );
});
