/** Tests that admin data is moved between SQLite and PostgreSQL whole, with proof. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import { openAdmin } from '../../../../collector/admin/admin_schema.ts';
import { type AdminStore, SqlAdminStore } from '../../../../collector/admin/admin_store.ts';
import { adminSums, copyAdmin } from '../../../../collector/admin/copy_admin.ts';
import { PostgresAdminStore } from '../../../../collector/admin/postgres/postgres_admin_store.ts';
import { PostgresSql } from '../../../../collector/admin/postgres/postgres_sql.ts';
import { SqliteSql } from '../../../../collector/admin/sqlite/sqlite_sql.ts';
import { DatabasePool } from '../../../../collector/store/postgres/database_pool.ts';
import { parseDatabaseUrl } from '../../../../collector/store/postgres/database_url.ts';
import { PATIENT } from '../../../support/collector/admin/admin_stores.ts';
import { alertOf } from '../../../support/collector/alert/alert_values.ts';
import { planReport, stepReport } from '../../../support/enforce/reports.ts';
import { NO_POSTGRES, PostgresServer } from '../../../support/postgres.ts';

const hashOf = (secret: string): Buffer => createHash('sha256').update(secret).digest();
const NOW = Date.parse('2026-03-02T00:00:00Z');
const CREDENTIALS = 1_300;

/** Puts rows into every table, more than one page into one of them. */
async function fill(store: AdminStore): Promise<void> {
  const row = {
    ...{ name: 'n\u0000\u{1f512}', createdMs: NOW, createdBy: 'ada', expiresMs: null, lastUsedMs: null },
    ...{ revokedMs: null, enrolmentKeyHash: null },
  };
  await store.transaction('access', async ({ tokens }) => {
    await tokens.insert({
      ...row,
      id: 'p',
      hash: hashOf('p'),
      kind: 'person',
      role: 'admin',
      hostId: null,
      enrolled: 0,
    });
    for (let number = 0; number < CREDENTIALS; number += 1) {
      const id = `id ${number}`;
      const more = { kind: 'agent', role: null, hostId: `host ${number}`, enrolled: 1 } as const;
      await tokens.insert({ ...row, ...more, id, hash: hashOf(id), enrolmentKeyHash: hashOf('key') });
    }
  });
  const session = { token: 'p', name: 's', role: 'admin' as const, lastUsedMs: NOW, expiresMs: NOW + 1 };
  await store.sessions.insert(hashOf('s'), session);
  await store.sessions.insertCode(hashOf('c'), { role: 'viewer', name: 'c', expiresMs: NOW });
  await store.certifiedHosts.add('certified', NOW);
  await store.settings.put('retention', { raw_days: 3 });
  const config = { kind: 'webhook' as const, url: 'https://example.com/', secret: 'x' };
  const rules = ['host_silent' as const];
  const whatever = { enabled: true, digest: true, sendResolved: false };
  await store.alerts.addDestination({ id: 'd', name: 'd', ...whatever, rules, config, createdUs: 1 });
  const alerts = ['a', 'b'].map((subject) => ({ alert: alertOf({ subject }), audience: 'all' as const }));
  await store.alerts.record(
    alerts,
    [{ kind: 'host', id: 'h', before: null, state: { good: true } }],
    1,
    null,
  );
  const by = { name: 'ada', sourceAddress: null };
  const until = '2099-01-01T00:00:00Z';
  const subject = { workload: 'w', title: 'w', joined: [] };
  await store.triage.change(subject, { state: 'exception', until, reason: 'r', notes: 'n' }, by, NOW);
  const since = '2026-03-01T00:05:00.000Z';
  const steps = [stepReport(1, { state: 'confirmed', since }), stepReport(2, { state: 'held', since })];
  await store.plans.report('p-0123456789ab', planReport(steps), 'command:ada', NOW);
}

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
    await fill(new SqlAdminStore(here));
    const sums = await copyAdmin(here, there);
    assert.ok(sums.every(({ rows }) => rows > 0));
    assert.equal(sums.find(({ table }) => table === 'tokens')!.rows, CREDENTIALS + 1);
    assert.deepEqual(sums, await adminSums(here));
    assert.deepEqual(sums, await copyAdmin(there, back));
    assert.deepEqual(sums, await adminSums(back));
    await new SqlAdminStore(back).certifiedHosts.remove('certified');
    assert.notDeepEqual(sums, await adminSums(back));
  });

  test('goes on after the move: numbers are not used twice', async () => {
    const [here, there] = [sqlite('numbers'), await postgres()];
    await fill(new SqlAdminStore(here));
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
    await fill(new SqlAdminStore(here));
    await new SqlAdminStore(there).settings.put('address', 'https://imdswatch.example.com');
    await assert.rejects(copyAdmin(here, there), /already has admin data \(table settings\)/);
    assert.deepEqual(await new SqlAdminStore(there).tokens.all(), []);
  });
});
