/** Tests that retention deletes what the embedded store deletes, by whole days of raw calls, and that writers notice. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { DAY_US } from '../../../../../collector/contract/window.ts';
import { WRITERS_LOCK } from '../../../../../collector/store/postgres/advisory_locks.ts';
import { DatabasePool } from '../../../../../collector/store/postgres/database_pool.ts';
import { parseDatabaseUrl } from '../../../../../collector/store/postgres/database_url.ts';
import { PostgresStore } from '../../../../../collector/store/postgres/postgres_store.ts';
import { openForReading, openForWriting } from '../../../../../collector/store/sqlite/database.ts';
import { FindingsReader } from '../../../../../collector/store/sqlite/findings_reader.ts';
import { FINDINGS } from '../../../../../collector/store/sqlite/findings_schema.ts';
import { FindingsWriter } from '../../../../../collector/store/sqlite/findings_writer.ts';
import { pack } from '../../../../../collector/store/sqlite/packed_batch.ts';
import { retain } from '../../../../../collector/store/sqlite/retention.ts';
import type { StoreQueries } from '../../../../../collector/store/store.ts';
import { canonical } from '../../../../support/collector/store/contract.ts';
import {
  ALL,
  call,
  EVER,
  host,
  program,
  report,
  rollup,
  stream,
} from '../../../../support/collector/store/records.ts';
import { NO_POSTGRES, PostgresServer } from '../../../../support/postgres.ts';

const TODAY = 20_777;
const NOW_US = TODAY * DAY_US + DAY_US / 2;
const KEEP_ALL = { rawDays: 1_000, rollupDays: 1_000, maxBytes: Number.MAX_SAFE_INTEGER };
const HOSTS = ['i-web', 'i-db'];

describe('retention', { skip: NO_POSTGRES }, () => {
  let server: PostgresServer;
  let directory: string;
  before(async () => {
    server = await PostgresServer.start();
    directory = mkdtempSync(join(tmpdir(), 'imdswatch-retention-'));
  });
  after(async () => {
    await server?.close();
    if (directory !== undefined) rmSync(directory, { recursive: true });
  });

  const nowUs = () => NOW_US;

  /** Returns batches of two hosts with calls, roll-ups and gaps on each of `days` days, the last one today. */
  function batchesOf(
    days: number,
    next = HOSTS.map((id) => stream(host(id.slice(2)), [program('curl'), program('aws')])),
  ) {
    return Array.from({ length: days }, (_, day) =>
      next.map((batch, at) => {
        const us = NOW_US - (days - 1 - day) * DAY_US + at;
        return batch(
          call(us, { 'imds.version': 1, 'http.response.status_code': 200, 'url.path': `/${day}` }, at),
          call(us + 1, { 'imds.version': 2 }, 1),
          rollup(us, us + 1_000_000, [{ count: 3 }]),
          report(HOSTS[at]!, us, us + 60_000_000, {
            live_ms: 30_000,
            boot_id: `boot-${Math.floor(day / 4)}`,
          }),
        );
      }),
    ).flat();
  }

  async function open() {
    const url = await server.createDatabase();
    const store = await PostgresStore.open(parseDatabaseUrl(url), { nowUs });
    const pool = new DatabasePool(parseDatabaseUrl(url));
    const dataDir = mkdtempSync(join(directory, 'store-'));
    const database = openForWriting(dataDir, FINDINGS);
    const writer = new FindingsWriter(database, nowUs);
    const reader = new FindingsReader(openForReading(dataDir, FINDINGS));
    const close = async () => {
      await Promise.all([store.close(), pool.close(), reader.close()]);
      database.close();
    };
    return { store, pool, database, writer, reader, close };
  }

  /** Everything but raw calls, which the stores delete at different times of a day. */
  async function sumsOf(store: Omit<StoreQueries, 'close'>) {
    return canonical([
      await store.identityTotals(ALL),
      await store.hostTotals({ ...ALL, hosts: HOSTS }),
      await store.series(ALL, 'day', true),
      await store.coverage(EVER, HOSTS),
      await store.workloadHosts(ALL, { latest: 5, tagKeys: [] }),
      await store.hosts(HOSTS),
    ]);
  }

  test('sums, gaps and boots end as in the embedded store, and raw calls by whole days', async () => {
    const { store, pool, database, writer, reader, close } = await open();
    const next = HOSTS.map((id) => stream(host(id.slice(2)), [program('curl'), program('aws')]));
    for (const batch of batchesOf(40, next)) {
      writer.write(pack([batch]));
      await store.write([batch]);
    }
    const retention = { rawDays: 3, rollupDays: 20, maxBytes: Number.MAX_SAFE_INTEGER };
    await retain(database, writer, retention, NOW_US);
    const result = await store.retain(retention, NOW_US);
    assert.deepEqual(await sumsOf(store), await sumsOf(reader));
    // The calls of three days before this moment lie in four days.
    const { calls, oldestCallUs } = await store.statistics();
    assert.deepEqual([calls, result.callsDeleted], [4 * 4, 36 * 4]);
    assert.equal(Math.floor(oldestCallUs! / DAY_US), TODAY - 3);
    assert.deepEqual(await pool.query('SELECT count(*) AS calls FROM calls'), [{ calls }]);
    assert.deepEqual(await pool.query('SELECT count(*) AS calls FROM calls_other'), [{ calls: 0 }]);
    assert.deepEqual(
      await pool.query('SELECT count(*) AS facts FROM caller_facts'),
      await pool.query('SELECT count(*) AS facts FROM callers'),
    );
    // Writers go on with what is left.
    for (const batch of batchesOf(2, next)) {
      writer.write(pack([batch]));
      assert.equal((await store.write([batch]))[0]!.result, 'stored');
    }
    assert.deepEqual(await sumsOf(store), await sumsOf(reader));
    await close();
  });

  test('a host that has been gone for long is forgotten, and may come back', async () => {
    const { store, writer, reader, database, close } = await open();
    const old = batchesOf(2);
    for (const batch of old) {
      writer.write(pack([batch]));
      await store.write([batch]);
    }
    const laterUs = NOW_US + 40 * DAY_US;
    const retention = { rawDays: 3, rollupDays: 20, maxBytes: Number.MAX_SAFE_INTEGER };
    await retain(database, writer, retention, laterUs);
    await store.retain(retention, laterUs);
    assert.deepEqual(await store.hostPage(null, null, 10), []);
    assert.equal(await store.lastSeq(old[0]!.stream, 'i-web'), 0);
    const { hosts, calls, identities } = await store.statistics();
    assert.deepEqual({ hosts, calls, identities }, { hosts: 0, calls: 0, identities: 0 });
    const [batch] = batchesOf(1);
    writer.write(pack([batch!]));
    assert.deepEqual((await store.write([batch!]))[0]!.result, 'stored');
    assert.deepEqual(await sumsOf(store), await sumsOf(reader));
    await close();
  });

  test('beyond the bound on its size the oldest days of raw calls go, and today stays', async () => {
    const { store, close } = await open();
    for (const batch of batchesOf(6)) await store.write([batch]);
    assert.equal((await store.retain(KEEP_ALL, NOW_US)).callsDeleted, 0);
    assert.equal((await store.retain({ ...KEEP_ALL, maxBytes: 1 }, NOW_US)).callsDeleted, 5 * 4);
    assert.equal((await store.statistics()).calls, 4);
    await close();
  });

  test('no writer is stopped where no row is to be deleted', async () => {
    const { store, pool, close } = await open();
    for (const batch of batchesOf(2)) await store.write([batch]);
    await pool.transaction(async (session) => {
      // This is a writer whose transaction lasts.
      await session.query(`SELECT pg_advisory_xact_lock_shared(${WRITERS_LOCK})`);
      assert.equal((await store.retain(KEEP_ALL, NOW_US)).callsDeleted, 0);
    });
    await close();
  });

  test('a backup names the tools of PostgreSQL', async () => {
    const { store, close } = await open();
    await assert.rejects(store.backup(), /pg_basebackup.*pg_dump/);
    await close();
  });
});
