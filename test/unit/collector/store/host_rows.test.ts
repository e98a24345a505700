/**
 * Rows of hosts: a number is given once, a deleted row is never used again, and a host that reports is
 * listed.
 */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { DAY_US } from '../../../../collector/contract/window.ts';
import { heardHost } from '../../../../collector/store/packed_heartbeat.ts';
import { openForReading, openForWriting } from '../../../../collector/store/sqlite/database.ts';
import { FindingsReader } from '../../../../collector/store/sqlite/findings_reader.ts';
import { FINDINGS } from '../../../../collector/store/sqlite/findings_schema.ts';
import { FindingsWriter } from '../../../../collector/store/sqlite/findings_writer.ts';
import { pack } from '../../../../collector/store/sqlite/packed_batch.ts';
import { retain } from '../../../../collector/store/sqlite/retention.ts';
import { openStore } from '../../../../collector/store/sqlite/sqlite_store.ts';
import { toTimestamp } from '../../../../collector/store/time.ts';
import type { Heartbeat } from '../../../../protocol/records.ts';
import { Bench } from '../../../support/collector/in_process.ts';
import { ALL, call, host, idsIn, stream } from '../../../support/collector/store/records.ts';

const bench = new Bench();
afterEach(() => bench.end());

const NOW_US = Date.UTC(2026, 10, 20, 12) * 1000;
const HEARTBEAT: Heartbeat = {
  time: toTimestamp(NOW_US),
  host_id: 'i-a',
  agent_version: '1',
  started: toTimestamp(NOW_US),
  counters: {},
  coverage: { live: true, sources: ['any'] },
  attribution: { method: 'ebpf', reason: null },
  agent: { cpu_percent: 1, memory_bytes: 1 },
  spool: { bytes: 0, records: 0, overflowed: {} },
};
const SHORT = { rawDays: 1, rollupDays: 1, maxBytes: 1e12 };

test('a new host does not get the number of a deleted one, for which the reader still has the old name', async () => {
  const store = openStore(bench.directory());
  bench.atEnd(() => store.close());
  await store.write([stream(host('kept'))(call(NOW_US)), stream(host('gone'))(call(NOW_US - 5 * DAY_US))]);
  const hostsWithCalls = async () =>
    (await store.hostTotals({ ...ALL, hosts: await idsIn(store) })).map(({ hostId }) => hostId).sort();
  assert.deepEqual(await hostsWithCalls(), ['i-gone', 'i-kept']);
  await store.retain(SHORT, NOW_US);
  assert.deepEqual(await hostsWithCalls(), ['i-kept']);
  await store.write([stream(host('new'))(call(NOW_US))]);
  assert.deepEqual(await hostsWithCalls(), ['i-kept', 'i-new']);
});

test('hosts of an earlier schema keep their numbers and streams, and a later host gets a new number', async () => {
  const dataDir = bench.directory();
  const before = openForWriting(dataDir, { ...FINDINGS, migrations: FINDINGS.migrations.slice(0, 4) });
  before.exec(`
    INSERT INTO hosts (id, host_id, name, facts, first_us, last_us) VALUES (7, 'i-a', 'a', '{"id":"i-a","name":"a"}', 1, 2);
    INSERT INTO streams VALUES ('stream-1', 7, 3);
    INSERT INTO host_usage VALUES (9, 1, '{}');
  `);
  before.close();
  const database = openForWriting(dataDir, FINDINGS);
  bench.atEnd(() => database.close());
  assert.deepEqual(
    { ...database.prepare('SELECT * FROM streams').get() },
    {
      stream: 'stream-1',
      host: 7,
      last_seq: 3,
    },
  );
  const added = database.prepare("INSERT INTO hosts (host_id, name, facts) VALUES ('b', 'b', '{}')").run();
  assert.equal(Number(added.lastInsertRowid), 10, 'number 9 was given to a host that is deleted');
  assert.equal(database.prepare('PRAGMA foreign_key_check').get(), undefined);
});

test('a batch that comes while old hosts are being deleted makes its host anew', async () => {
  const dataDir = bench.directory();
  const database = openForWriting(dataDir, FINDINGS);
  bench.atEnd(() => database.close());
  const writer = new FindingsWriter(database);
  const streams = Array.from({ length: 250 }, (_, index) => stream(host(String(index))));
  writer.write(pack(streams.map((next) => next(call(NOW_US - 5 * DAY_US)))));
  const first = database.prepare("SELECT 1 FROM hosts WHERE host_id = 'i-0'");
  const last = database.prepare("SELECT 1 FROM hosts WHERE host_id = 'i-249'");
  const retained = retain(database, writer, SHORT, NOW_US);
  const next = stream(host('0'));
  while (first.get() !== undefined) {
    // A batch without records: the writer remembers the host's row, and the host stays as old as it is.
    writer.write(pack([next()]));
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.notEqual(last.get(), undefined, 'the batch comes in the middle');
  writer.write(pack([stream(host('0'))(call(NOW_US))]));
  await retained;
  const reader = new FindingsReader(openForReading(dataDir, FINDINGS));
  bench.atEnd(() => reader.close());
  assert.deepEqual(
    (await reader.hostTotals({ ...ALL, hosts: await idsIn(reader) })).map(({ hostId }) => hostId),
    ['i-0'],
  );
  assert.deepEqual(
    database.prepare('SELECT host FROM host_usage WHERE host NOT IN (SELECT id FROM hosts)').all(),
    [],
  );
});

test('a host whose first batch has nothing new is listed from its first heartbeat on', async () => {
  const store = openStore(bench.directory());
  bench.atEnd(() => store.close());
  const known = call(NOW_US);
  await store.write([stream(host('a'))(known), stream(host('b'))(known)]);
  const listed = async () => (await store.hostPage(null, null, 100)).map(({ facts }) => facts.id).sort();
  assert.deepEqual(await listed(), ['i-a']);
  await store.heartbeats([heardHost({ ...HEARTBEAT, host_id: 'i-b' }, NOW_US + 5)]);
  assert.deepEqual(await listed(), ['i-a', 'i-b']);
  const added = (await store.hostPage(null, null, 100)).find(({ facts }) => facts.id === 'i-b')!;
  assert.deepEqual([added.facts.name, added.firstUs, added.lastUs], ['b', NOW_US + 5, NOW_US + 5]);
});
