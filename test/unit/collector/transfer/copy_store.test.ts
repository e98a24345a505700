/** Tests that whole stores are copied between SQLite and PostgreSQL, with proof, also after interruptions. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, afterEach, before, describe, it } from 'node:test';
import { ADMIN, openAdmin } from '../../../../collector/admin/admin_schema.ts';
import { ADMIN_TABLES } from '../../../../collector/admin/copy_admin.ts';
import { SqliteAdminStore } from '../../../../collector/admin/sqlite/sqlite_admin_store.ts';
import { heardHost } from '../../../../collector/store/packed_heartbeat.ts';
import { DatabasePool } from '../../../../collector/store/postgres/database_pool.ts';
import { parseDatabaseUrl } from '../../../../collector/store/postgres/database_url.ts';
import { PostgresStore } from '../../../../collector/store/postgres/postgres_store.ts';
import { openForWriting } from '../../../../collector/store/sqlite/database.ts';
import { FINDINGS } from '../../../../collector/store/sqlite/findings_schema.ts';
import { openStore } from '../../../../collector/store/sqlite/sqlite_store.ts';
import { type CopyReport, copyStore } from '../../../../collector/transfer/copy_store.ts';
import type { Place } from '../../../../collector/transfer/places.ts';
import { STORED_TABLES } from '../../../../collector/transfer/stored_tables.ts';
import { fillAdmin } from '../../../support/collector/admin/filled_admin.ts';
import { Bench } from '../../../support/collector/in_process.ts';
import { heartbeatOf } from '../../../support/collector/insight/findings.ts';
import { call, host, stream } from '../../../support/collector/store/records.ts';
import { fillStore } from '../../../support/collector/transfer/filled_store.ts';
import { rawTables } from '../../../support/collector/transfer/raw_tables.ts';
import { NO_POSTGRES, PostgresServer } from '../../../support/postgres.ts';

const NOW_US = Date.UTC(2026, 10, 20, 12, 34) * 1000;
/** More than one part of a table. */
const CALLS = 5_500;
const NEVER = new AbortController().signal;

const database = (url: string): Place => ({ database: url });
const directory = (dataDir: string): Place => ({ dataDir });

function copy(from: Place, to: Place, onReport: (report: CopyReport) => void = () => {}, signal = NEVER) {
  return copyStore(from, to, { onReport, signal });
}

describe('copies of stores', { skip: NO_POSTGRES }, () => {
  const bench = new Bench();
  const lasting = new Bench();
  let server: PostgresServer;
  /** A store that tests only read. */
  let filled: string;
  before(async () => {
    server = await PostgresServer.start();
    filled = lasting.directory();
    const store = openStore(filled);
    await store.noteArrivals(NOW_US);
    await fillStore(store, NOW_US);
    const busy = stream(host('busy'));
    const records = Array.from({ length: CALLS }, (_, at) =>
      call(NOW_US - 1e9 + at, { 'url.path': '/busy' }),
    );
    await store.write([busy(...records)]);
    await store.close();
    const admin = openAdmin(filled);
    await fillAdmin(new SqliteAdminStore(admin));
    admin.close();
  });
  afterEach(() => bench.end());
  after(async () => {
    await lasting.end();
    await server?.close();
  });

  async function pool(url: string): Promise<DatabasePool> {
    const made = new DatabasePool(parseDatabaseUrl(url));
    bench.atEnd(() => made.close());
    return made;
  }

  it('findings and admin data are the same after they were moved to PostgreSQL and back', async () => {
    const [there, back] = [await server.createDatabase(), bench.directory()];
    const compared = await copy(directory(filled), database(there));
    assert.ok(compared!.every(({ isSame }) => isSame));
    const rows = new Map(compared!.map(({ one }) => [one.table, one.rows]));
    const empty = [...rows].filter(([, count]) => count === 0).map(([table]) => table);
    assert.deepEqual(empty, [], 'the test fills every table');
    assert.ok(rows.get('calls')! > CALLS);
    await copy(database(there), directory(back));
    assert.deepEqual(rawTables(back), rawTables(filled));
    assert.deepEqual(readdirSync(back).sort(), ['admin.db', 'collector.lock', 'imdswatch.db']);
  });

  it('no table and no column of either store is forgotten', async () => {
    const url = await server.createDatabase();
    await copy(directory(filled), database(url));
    const known = new Map<string, string>(
      STORED_TABLES.map((each) => [
        each.name,
        each.columns
          .map(([name]) => name)
          .sort()
          .join(),
      ]),
    );
    const own = [
      ...['call_counts', 'imdswatch_schemas', 'admin_versions', 'leases', 'kept_answers'],
      ...ADMIN_TABLES,
    ];
    const [embedded, files] = [
      new Map<string, string[]>(),
      ['rollups', 'rollup_lines', 'coverage', 'changed_days'],
    ];
    const sqlite = new DatabaseSync(join(filled, FINDINGS.file), { readOnly: true });
    bench.atEnd(() => sqlite.close());
    const sql = `SELECT m.name AS "table", c.name AS "column" FROM sqlite_master m, pragma_table_info(m.name) c
      WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'`;
    for (const { table, column } of sqlite.prepare(sql).all() as { table: string; column: string }[]) {
      embedded.set(table, [...(embedded.get(table) ?? []), column]);
    }
    const shared = new Map<string, string[]>();
    const columns = await (await pool(url)).query<{ table: string; column: string }>(
      `SELECT table_name AS "table", column_name AS "column" FROM information_schema.columns
       WHERE table_schema = 'public' AND table_name !~ '_(other|[0-9]+)$'`,
    );
    for (const { table, column } of columns) shared.set(table, [...(shared.get(table) ?? []), column]);
    const made = new Set(['slot', 'hash', 'version', 'id']);
    for (const { name, hashed, hasSlots, columns: listed } of STORED_TABLES) {
      const expected = listed.map(([column]) => column).sort();
      if (name !== 'record_ids') assert.deepEqual(embedded.get(name)?.sort(), expected, `${name} of SQLite`);
      const others = shared.get(name)!.filter((column) => !expected.includes(column));
      assert.deepEqual(
        shared
          .get(name)!
          .filter((column) => expected.includes(column))
          .sort(),
        expected,
      );
      const allowed = [
        ...(hashed ? ['hash'] : []),
        ...(hasSlots ? ['slot'] : []),
        ...(name === 'hosts' ? ['version'] : []),
        // The order in which notes of arrivals were inserted, before they have their positions.
        ...(name === 'arrivals' ? ['id'] : []),
      ];
      assert.deepEqual(others, allowed, `${name} of PostgreSQL`);
      assert.ok(allowed.every((column) => made.has(column)));
    }
    assert.deepEqual([...embedded.keys()].filter((table) => !known.has(table)).sort(), files.sort());
    assert.deepEqual([...shared.keys()].filter((table) => !known.has(table)).sort(), own.sort());
  });

  it('goes on where it was interrupted, as often as it is', async () => {
    const [there, back] = [await server.createDatabase(), bench.directory()];
    for (const [from, to] of [
      [directory(filled), database(there)],
      [database(there), directory(back)],
    ] as const) {
      const reached: string[] = [];
      let before: number;
      do {
        before = reached.length;
        const stop = new AbortController();
        let reports = 0;
        const run = copy(
          from,
          to,
          ({ phase, table, rows }) => {
            if (phase === 'copying') reached.push(`${table} ${rows}`);
            reports += 1;
            if (reports === 4) stop.abort();
          },
          stop.signal,
        );
        await assert.rejects(run, /interrupted. Run the same command again: it goes on where it ended/);
      } while (reached.length > before);
      await copy(from, to);
      assert.equal(new Set(reached).size, reached.length, 'no part is copied twice');
      assert.ok(reached.filter((text) => text.startsWith('calls ')).length > 1);
    }
    assert.deepEqual(rawTables(back), rawTables(filled));
  });

  it('a collector goes on with the copy: streams, numbers, sums and ids are known there', async () => {
    const here = bench.directory();
    const store = openStore(here);
    const next = stream(host('a'));
    const again = call(NOW_US - 5_000_000);
    await store.write([next(again, call(NOW_US - 4_000_000))]);
    await store.close();
    openAdmin(here).close();
    const [there, back] = [await server.createDatabase(), bench.directory()];
    await copy(directory(here), database(there));
    const shared = await PostgresStore.open(parseDatabaseUrl(there), { nowUs: () => NOW_US });
    const second = next(again, call(NOW_US - 3_000_000));
    assert.deepEqual(await shared.write([second]), [
      { result: 'stored', lastSeq: 2, records: 1, duplicates: 1 },
    ]);
    await shared.write([stream(host('b'))(call(NOW_US - 2_000_000))]);
    assert.equal((await shared.statistics()).calls, 4);
    await shared.close();
    await copy(database(there), directory(back));
    const moved = openStore(back);
    bench.atEnd(() => moved.close());
    assert.equal((await moved.write([second]))[0]!.result, 'known');
    assert.equal((await moved.write([next(again, call(NOW_US - 1_000_000))]))[0]!.duplicates, 1);
    await moved.write([stream(host('c'))(call(NOW_US - 500_000))]);
    assert.equal((await moved.statistics()).calls, 6);
    assert.equal((await moved.statistics()).hosts, 3);
  });

  it('an id that several hosts sent at the same time is no obstacle', async () => {
    const there = await server.createDatabase();
    const shared = await PostgresStore.open(parseDatabaseUrl(there), { nowUs: () => NOW_US });
    const same = { id: '01900000-0000-7000-8000-000000000001' };
    for (const name of ['a', 'b', 'c']) await shared.write([stream(host(name))(call(NOW_US - 1_000, same))]);
    await shared.close();
    await copyAdminSchema(there);
    const back = bench.directory();
    await copy(database(there), directory(back));
    const moved = openStore(back);
    bench.atEnd(() => moved.close());
    assert.equal((await moved.statistics()).calls, 3);
  });

  /** Opens the database as a collector does, which makes the admin tables. */
  async function copyAdminSchema(url: string): Promise<void> {
    await (await bench.collector({ store: url })).stop();
  }

  it('refuses places that are in use, and those that have data', async () => {
    const [url, other] = [await server.createDatabase(), await server.createDatabase()];
    const release = openStore(filled);
    await assert.rejects(copy(directory(filled), database(url)), /A collector is running on/);
    await release.close();
    const collector = await bench.collector({ store: url });
    await assert.rejects(
      copy(directory(filled), database(url)),
      /has data already \(table settings\)|A collector uses/,
    );
    await assert.rejects(
      copy(database(url), directory(bench.directory())),
      /A collector uses .* connected from the same machine/,
    );
    await collector.stop();
    await assert.rejects(
      copy(directory(filled), database(url)),
      /has data already \(table settings\), and nothing was copied/,
    );
    await assert.rejects(
      copy(directory(filled), directory(filled)),
      /A collector is running|has a store already/,
    );
    const full = bench.directory();
    openAdmin(full).close();
    await assert.rejects(copy(directory(filled), directory(full)), /has a store already \(admin\.db\)/);
    await assert.rejects(copy(directory(bench.directory()), database(other)), /There is no store at/);
    await assert.rejects(copy(database(other), directory(bench.directory())), /has no tables of imdswatch/);
    // Nothing that was refused has left a trace.
    await copy(directory(filled), database(other));
  });

  it('a copy that has not ended is opened by nobody, and continued from its own source only', async () => {
    const url = await server.createDatabase();
    const stop = new AbortController();
    await assert.rejects(
      copy(directory(filled), database(url), () => stop.abort(), stop.signal),
      /interrupted/,
    );
    await assert.rejects(
      bench.collector({ store: url }),
      /A copy of a store into this database has not ended/,
    );
    const elsewhere = bench.directory();
    openForWriting(elsewhere, FINDINGS).close();
    openAdmin(elsewhere).close();
    await assert.rejects(
      copy(directory(elsewhere), database(url)),
      /has an unfinished copy of .* make the database anew/,
    );
    await copy(directory(filled), database(url));
    await (await bench.collector({ store: url })).stop();
  });

  it('a source that changes meanwhile is found out', async () => {
    const url = await server.createDatabase();
    const source = bench.directory();
    const store = openStore(source);
    await store.heartbeats([heardHost(heartbeatOf('i-1', NOW_US), NOW_US)]);
    await store.close();
    openAdmin(source).close();
    let isChanged = false;
    const change = ({ phase }: CopyReport) => {
      if (isChanged || phase !== 'comparing') return;
      isChanged = true;
    };
    const changing = copy(directory(source), database(url), (report) => {
      if (report.table === 'heartbeats' && !isChanged) {
        const writer = openForWriting(source, FINDINGS);
        writer.exec('UPDATE heartbeats SET received_us = received_us + 1');
        writer.close();
      }
      change(report);
    });
    await assert.rejects(changing, /differs from its source in findings heartbeats \(1 rows, 1 copied\)/);
    await assert.rejects(bench.collector({ store: url }), /has not ended/);
  });

  it('a proven copy that was not yet in place is put there by the next run', async () => {
    const [there, back] = [await server.createDatabase(), bench.directory()];
    await copy(directory(filled), database(there));
    await copy(database(there), directory(back));
    // The state of a run that was killed between its two last steps.
    mkdirSync(join(back, 'unfinished-copy'));
    writeFileSync(join(back, 'unfinished-copy', 'proven'), '');
    renameSync(join(back, FINDINGS.file), join(back, 'unfinished-copy', FINDINGS.file));
    assert.ok(existsSync(join(back, ADMIN.file)));
    assert.equal(await copy(database(there), directory(back)), null);
    assert.deepEqual(rawTables(back), rawTables(filled));
    assert.ok(!existsSync(join(back, 'unfinished-copy')));
  });

  it('a schema of another release is not copied', async () => {
    const old = bench.directory();
    openForWriting(old, { ...FINDINGS, migrations: FINDINGS.migrations.slice(0, -1) }).close();
    openAdmin(old).close();
    const url = await server.createDatabase();
    await assert.rejects(copy(directory(old), database(url)), /has schema \d+ and this imdswatch reads/);
  });
});
