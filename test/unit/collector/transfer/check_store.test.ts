/** Tests that a check of a store finds each figure that does not equal what it is a sum of, in both kinds of store. */
import assert from 'node:assert/strict';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, afterEach, before, describe, it } from 'node:test';
import { storeCheckText } from '../../../../cli/terminal/store_check_output.ts';
import { ADMIN, openAdmin } from '../../../../collector/admin/admin_schema.ts';
import { parseDatabaseUrl } from '../../../../collector/store/postgres/database_url.ts';
import { PostgresStore } from '../../../../collector/store/postgres/postgres_store.ts';
import { FINDINGS } from '../../../../collector/store/sqlite/findings_schema.ts';
import { openStore } from '../../../../collector/store/sqlite/sqlite_store.ts';
import type { Store } from '../../../../collector/store/store.ts';
import { checkStore, isEqual } from '../../../../collector/transfer/check_store.ts';
import { copyStore } from '../../../../collector/transfer/copy_store.ts';
import type { InvariantName } from '../../../../collector/transfer/invariants.ts';
import type { Place } from '../../../../collector/transfer/places.ts';
import { Bench } from '../../../support/collector/in_process.ts';
import { call, host, stream } from '../../../support/collector/store/records.ts';
import { DAY_US, fillStore } from '../../../support/collector/transfer/filled_store.ts';
import { NO_POSTGRES, PostgresServer } from '../../../support/postgres.ts';

const NOW_US = Date.UTC(2026, 10, 20, 12, 34) * 1000;
const HOST = 'i-00000000000000001';
const HOST_1 = `(SELECT id FROM hosts WHERE host_id = '${HOST}')`;
/** A host without gaps: of others more may be kept one by one than is in the sums. */
const BUSY = `(SELECT id FROM hosts WHERE host_id = '${host('busy').id}')`;
const YESTERDAY = Math.floor(NOW_US / DAY_US) - 1;
const CALL_OF_1 = `SELECT time_us FROM calls WHERE host = ${HOST_1} ORDER BY time_us LIMIT 1`;

/** Changes that no release makes, and the only invariants that they break. */
const CHANGES: readonly {
  change: string;
  breaks: InvariantName[];
  says: RegExp;
  on?: 'sqlite' | 'postgres';
}[] = [
  {
    change: `UPDATE daily SET count = count + 7 WHERE class = 1 AND host = ${HOST_1} AND day = ${YESTERDAY}`,
    breaks: ['daily', 'fleet_daily'],
    says: /2026-11-19, host i-00000000000000001, class 1 \(IMDSv1\): \d+ calls by day, \d+ calls by hour/,
  },
  {
    change: `DELETE FROM hourly WHERE class = 2`,
    breaks: ['daily', 'v2_sums', 'fleet_hourly'],
    says: /DIFFERENT {2}sums by day are the sums of their hours \(table daily: \d+ differ\)/,
  },
  {
    change: `UPDATE hourly SET count = count + 1 WHERE class = 0 AND host = ${HOST_1}`,
    breaks: ['daily', 'v2_sums', 'fleet_hourly'],
    says: /2026-11-\d\dT\d\d:00Z, host i-00000000000000001: 42 calls of the host, 41 calls of its workloads/,
  },
  {
    change: 'UPDATE fleet_hourly SET count = count - 1 WHERE class = 1',
    breaks: ['fleet_hourly'],
    says: /T\d\d:00Z, class 1 \(IMDSv1\), workload \d+, kind \d+: \d+ calls of the fleet, \d+ calls of its hosts\n.* and \d+ more/s,
  },
  {
    change: 'DELETE FROM fleet_daily WHERE class = 2',
    breaks: ['fleet_daily'],
    says: /table fleet_daily: \d+ differ/,
  },
  {
    change: `UPDATE calls SET host = ${BUSY}`,
    breaks: ['raw_calls'],
    says: /2026-11-\d\d, host \S+: \d+ calls one by one, \d+ calls in the sums/,
  },
  {
    change: `DELETE FROM calls WHERE host = ${HOST_1} AND time_us = (${CALL_OF_1})`,
    breaks: ['call_counts'],
    says: /DIFFERENT {2}the number of calls that are kept is known .*\d+ calls noted, \d+ calls there/s,
  },
  {
    change: `UPDATE calls SET id = (SELECT id FROM calls WHERE host = ${HOST_1} ORDER BY time_us LIMIT 1)
      WHERE host = ${HOST_1} AND time_us < (${CALL_OF_1}) + ${DAY_US}`,
    breaks: ['call_ids'],
    says: /host i-00000000000000001: 3 calls, 1 different ids/,
  },
  {
    change: `DELETE FROM hosts WHERE host_id = 'i-00000000000000000'`,
    breaks: ['streams'],
    says: /stream-0: 0 hosts, 1 expected/,
  },
  {
    on: 'postgres',
    change: `DO $$ BEGIN EXECUTE format('ALTER TABLE %s RENAME TO calls_7', (SELECT inhrelid::regclass FROM pg_inherits
      WHERE inhparent = 'calls'::regclass AND inhrelid::regclass::text <> 'calls_other' LIMIT 1)); END $$`,
    breaks: ['partitions'],
    says: /calls_7: 0 with its day, 1 expected/,
  },
  {
    on: 'postgres',
    change: 'CREATE TABLE record_ids_9 (LIKE record_ids INCLUDING ALL)',
    breaks: ['partitions'],
    says: /record_ids_9: 0 with its day/,
  },
];

/** Returns the invariants that are broken, and the text that people read. */
async function check(place: Place): Promise<{ broken: InvariantName[]; text: string }> {
  const result = await checkStore(place, { against: null });
  const broken = result.checked.filter(({ different }) => different > 0).map(({ name }) => name);
  assert.equal(isEqual(result), broken.length === 0);
  return { broken, text: storeCheckText(result) };
}

/** Checks a store after each change. `make` returns a store with the change. */
async function checkEach(
  kind: 'sqlite' | 'postgres',
  make: (change: string) => Promise<Place>,
): Promise<void> {
  for (const { change, breaks, says, on } of CHANGES) {
    if (on !== undefined && on !== kind) continue;
    const { broken, text } = await check(await make(change));
    assert.deepEqual(broken, breaks, change);
    assert.match(text, says);
    assert.match(text, /Keep the output and a backup of the store/);
  }
}

describe('check of the embedded store', () => {
  const bench = new Bench();
  const lasting = new Bench();
  let filled: string;
  before(async () => {
    filled = lasting.directory();
    await fill(openStore(filled));
    openAdmin(filled).close();
  });
  afterEach(() => bench.end());
  after(() => lasting.end());

  it('finds each figure that was changed, and says where', async () => {
    const good = await check({ dataDir: filled });
    assert.deepEqual(good.broken, []);
    assert.match(good.text, /^Store: .*\n(equal {6}.*\n){8}$/);
    await checkEach('sqlite', async (change) => {
      const dataDir = copyOf(filled);
      const database = new DatabaseSync(join(dataDir, FINDINGS.file));
      database.exec(`PRAGMA foreign_keys = OFF; ${change}`);
      database.close();
      return { dataDir };
    });
  });

  it('compares two stores, and names the table that differs', async () => {
    const other = copyOf(filled);
    const equal = await checkStore({ dataDir: filled }, { against: { dataDir: other } });
    assert.ok(isEqual(equal));
    const database = new DatabaseSync(join(other, FINDINGS.file));
    database.exec(`UPDATE gaps SET end_us = end_us + 1`);
    database.close();
    const different = await checkStore({ dataDir: filled }, { against: { dataDir: other } });
    assert.ok(!isEqual(different));
    assert.match(storeCheckText(different), /findings gaps .* DIFFERENT\n.*The two stores differ/s);
    const used = openStore(other);
    bench.atEnd(() => used.close());
    await assert.rejects(
      checkStore({ dataDir: filled }, { against: { dataDir: other } }),
      /A collector is running/,
    );
    assert.deepEqual((await check({ dataDir: filled })).broken, []);
  });

  it('is equal after retention, with records that are older', async () => {
    const dataDir = bench.directory();
    openAdmin(dataDir).close();
    const store = openStore(dataDir);
    bench.atEnd(() => store.close());
    await fillStore(store, NOW_US);
    await outlive(store);
    const { broken, text } = await check({ dataDir });
    assert.deepEqual(broken, []);
    assert.match(text, /Sums are checked from 2026-11-14 on/);
  });

  function copyOf(dataDir: string): string {
    const copied = bench.directory();
    for (const file of [FINDINGS.file, ADMIN.file]) copyFileSync(join(dataDir, file), join(copied, file));
    return copied;
  }
});

describe('check of a store in PostgreSQL', { skip: NO_POSTGRES }, () => {
  const bench = new Bench();
  let server: PostgresServer;
  before(async () => {
    server = await PostgresServer.start();
  });
  afterEach(() => bench.end());
  after(() => server?.close());

  it('finds each figure that was changed while a collector uses it, and says where', async () => {
    const url = await server.createDatabase();
    await (await bench.collector({ store: url })).stop();
    const store = await PostgresStore.open(parseDatabaseUrl(url), { nowUs: () => NOW_US });
    await fillStore(store, NOW_US);
    const next = stream(host('busy'));
    const writing = Array.from({ length: 5 }, (_, at) => store.write([next(call(NOW_US - 1e6 + at))]));
    const good = await check({ database: url });
    await Promise.all(writing);
    await store.close();
    assert.deepEqual(good.broken, []);
    assert.match(good.text, /^Store: .*\n(equal {6}.*\n){9}$/);
    let made = 0;
    await checkEach('postgres', async (change) => {
      made += 1;
      const name = `changed_${made}`;
      await server.query('postgres', `CREATE DATABASE ${name} TEMPLATE ${parseDatabaseUrl(url).database}`);
      await server.query(name, change);
      return { database: server.url(name) };
    });
  });

  it('is equal after retention, and to its copy in an embedded store', async () => {
    const url = await server.createDatabase();
    await (await bench.collector({ store: url })).stop();
    const store = await PostgresStore.open(parseDatabaseUrl(url), { nowUs: () => NOW_US });
    await fillStore(store, NOW_US);
    await outlive(store);
    await store.close();
    const place = { database: url };
    const { broken, text } = await check(place);
    assert.deepEqual(broken, []);
    assert.match(text, /Sums are checked from 2026-11-14 on/);
    const dataDir = bench.directory();
    const never = new AbortController().signal;
    await copyStore(place, { dataDir }, { onReport: () => {}, signal: never });
    const copied = await checkStore({ dataDir }, { against: place });
    assert.ok(isEqual(copied));
    assert.ok(copied.since?.startsWith('2026-11-14'));
  });
});

async function fill(store: Store): Promise<void> {
  await fillStore(store, NOW_US);
  await store.write([stream(host('busy'))(call(NOW_US - 1e6))]);
  await store.close();
}

/** Deletes sums of a part of a day, and then stores a record of a host whose clock is far off. */
async function outlive(store: Store): Promise<void> {
  await store.retain({ rawDays: 3, rollupDays: 7, maxBytes: Number.MAX_SAFE_INTEGER }, NOW_US);
  await store.write([stream(host('late'))(call(NOW_US - 200 * DAY_US), call(NOW_US - 12 * DAY_US))]);
}
