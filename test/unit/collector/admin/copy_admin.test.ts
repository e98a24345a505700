/** Tests that admin data is moved between SQLite and PostgreSQL whole, with proof. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import { openAdmin } from '../../../../collector/admin/admin_schema.ts';
import { SqlAdminStore } from '../../../../collector/admin/admin_store.ts';
import { adminSums, copyAdmin } from '../../../../collector/admin/copy_admin.ts';
import { PostgresAdminStore } from '../../../../collector/admin/postgres/postgres_admin_store.ts';
import { PostgresSql } from '../../../../collector/admin/postgres/postgres_sql.ts';
import { SqliteSql } from '../../../../collector/admin/sqlite/sqlite_sql.ts';
import { DatabasePool } from '../../../../collector/store/postgres/database_pool.ts';
import { parseDatabaseUrl } from '../../../../collector/store/postgres/database_url.ts';
import { PATIENT } from '../../../support/collector/admin/admin_stores.ts';
import { CREDENTIALS, fillAdmin, hashOf, NOW } from '../../../support/collector/admin/filled_admin.ts';
import { alertOf } from '../../../support/collector/alert/alert_values.ts';
import { NO_POSTGRES, PostgresServer } from '../../../support/postgres.ts';

describe('the admin data', { skip: NO_POSTGRES }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'imdswatch-copy-'));
  const pools: DatabasePool[] = [];
  const databases: DatabaseSync[] = [];
  let server: PostgresServer;
  before(async () => {
    server = await PostgresServer.start();
  });
  after(async () => {
    await Promise.all(pools.map((pool) => pool.close()));
    for (const database of databases) database.close();
    await server?.close();
    rmSync(directory, { recursive: true });
  });
  const sqlite = (name: string) => {
    const database = openAdmin(join(directory, name));
    databases.push(database);
    return new SqliteSql(database);
  };
  const postgres = async () => {
    const pool = new DatabasePool(parseDatabaseUrl(await server.createDatabase()), { ...PATIENT, max: 2 });
    pools.push(pool);
    await PostgresAdminStore.open(pool);
    return new PostgresSql(pool);
  };

  test('is the same after it was moved to PostgreSQL and back', async () => {
    const [here, there, back] = [sqlite('here'), await postgres(), sqlite('back')];
    await fillAdmin(new SqlAdminStore(here));
    const sums = await copyAdmin(here, there);
    assert.ok(sums.every(({ rows }) => rows > 0));
    assert.equal(sums.find(({ table }) => table === 'tokens')!.rows, CREDENTIALS + 2);
    assert.deepEqual(sums, await adminSums(here));
    assert.deepEqual(sums, await copyAdmin(there, back));
    assert.deepEqual(sums, await adminSums(back));
    const [destination] = await new SqlAdminStore(back).alerts.destinations();
    assert.deepEqual(destination!.owners, { patterns: ['pay-*'], unowned: true });
    await new SqlAdminStore(back).certifiedHosts.remove('certified');
    assert.notDeepEqual(sums, await adminSums(back));
  });

  test('goes on after the move: numbers are not used twice', async () => {
    const [here, there] = [sqlite('numbers'), await postgres()];
    await fillAdmin(new SqlAdminStore(here));
    await copyAdmin(here, there);
    const store = new SqlAdminStore(there);
    const [last] = await store.auditLog.newest({ limit: 1 });
    const entry = { actor: 'a', action: 'b', subject: 'c', detail: null, source_address: null };
    await store.auditLog.append(entry, NOW);
    const [next] = await store.auditLog.newest({ limit: 1 });
    assert.equal(next!.id, last!.id + 1);
    await store.alerts.record([{ alert: alertOf({ subject: 'c' }), audience: 'all' }], [], 2, null);
    assert.deepEqual(
      (await store.alerts.recent(9)).map(({ subject }) => subject),
      ['c', 'b', 'a'],
    );
    assert.equal((await store.tokens.byHash(hashOf('id 7'), NOW))?.hostId, 'host 7');
  });

  test('is not added to other data', async () => {
    const [here, there] = [sqlite('full'), await postgres()];
    await fillAdmin(new SqlAdminStore(here));
    await new SqlAdminStore(there).settings.put('address', 'https://imdswatch.example.com');
    await assert.rejects(copyAdmin(here, there), /already has admin data \(table settings\)/);
    assert.deepEqual(await new SqlAdminStore(there).tokens.all(), []);
  });
});
