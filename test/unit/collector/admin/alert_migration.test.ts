/** Tests that alerts and destinations of earlier releases are kept, and say what is known about them. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { after, test } from 'node:test';
import { ADMIN, openAdmin } from '../../../../collector/admin/admin_schema.ts';
import { OWNERS_STEP, STRUCTURED_ALERTS_STEP } from '../../../../collector/admin/alerts_schema.ts';
import { POSTGRES_ADMIN } from '../../../../collector/admin/postgres/postgres_schema.ts';
import { SqliteAdminStore } from '../../../../collector/admin/sqlite/sqlite_admin_store.ts';
import { openForWriting } from '../../../../collector/store/sqlite/database.ts';
import { alertOf } from '../../../support/collector/alert/alert_values.ts';

const dataDir = mkdtempSync(join(tmpdir(), 'imdswatch-alert-migration-'));
after(() => rmSync(dataDir, { recursive: true }));

test('alerts and destinations of an earlier release are kept', async () => {
  const migrations = ADMIN.migrations.slice(0, ADMIN.migrations.indexOf(STRUCTURED_ALERTS_STEP));
  const earlier = openForWriting(dataDir, { ...ADMIN, migrations });
  const destination = earlier.prepare(
    `INSERT INTO alert_destinations (id, name, enabled, rules, config, created_us) VALUES (?, ?, 1, '["host_silent"]', ?, 1)`,
  );
  destination.run('1', 'chat', '{"kind":"slack","url":"https://hooks.example.com/x"}');
  destination.run('2', 'hook', '{"kind":"webhook","url":"https://soc.example.com/x","secret":null}');
  const alert = earlier.prepare(
    `INSERT INTO alerts (id, rule, subject, time_us, severity, title, text, link) VALUES (?, 'host_silent', 'i-1', 1, ?, 't', 'x', NULL)`,
  );
  alert.run('a', 'warning');
  alert.run('b', 'info');
  earlier.prepare('INSERT INTO alert_deliveries VALUES (?, 1, 0, 1, 1)').run('2');
  earlier.close();

  const database = openAdmin(dataDir);
  const { alerts } = new SqliteAdminStore(database);
  assert.deepEqual(
    (await alerts.recent(9)).map(({ id, state, dedup_key, object }) => [id, state, dedup_key, object]),
    [
      ['b', 'resolved', 'host_silent/i-1', null],
      ['a', 'firing', 'host_silent/i-1', null],
    ],
  );
  const destinations = await alerts.destinations();
  assert.deepEqual(
    destinations.map(({ name, digest, sendResolved, waiting }) => [name, digest, sendResolved, waiting]),
    [
      ['chat', true, true, 0],
      ['hook', false, true, 1],
    ],
  );
  assert.deepEqual(
    destinations.map(({ config }) => config),
    [
      { kind: 'http', preset: 'slack', values: { url: 'https://hooks.example.com/x' } },
      { kind: 'http', preset: 'webhook', values: { url: 'https://soc.example.com/x' } },
    ],
  );
  assert.deepEqual(
    (await alerts.due('2', 1, 9)).map(({ alert: { id } }) => id),
    ['a'],
  );
  database.close();
});

test('a destination of an earlier release, and one that it adds later, gets alerts of all owners', async () => {
  const directory = join(dataDir, 'owners');
  mkdirSync(directory);
  const add = (database: DatabaseSync, name: string) =>
    database
      .prepare(
        `INSERT INTO alert_destinations (id, name, enabled, rules, digest, send_resolved, config, created_us, stream)
         VALUES (?, ?, 1, '["host_silent"]', 0, 1, '{"kind":"http","preset":"webhook","values":{}}', 1, 'alerts')`,
      )
      .run(name, name);
  const migrations = ADMIN.migrations.slice(0, ADMIN.migrations.indexOf(OWNERS_STEP));
  const earlier = openForWriting(directory, { ...ADMIN, migrations });
  add(earlier, 'before');
  earlier.close();

  const database = openAdmin(directory);
  // A collector of the earlier release on the same database, during an update.
  add(database, 'later');
  const { alerts } = new SqliteAdminStore(database);
  assert.deepEqual(await alerts.record([{ alert: alertOf(), audience: 'all' }], [], 1, null), {
    overflowed: 0,
    unrouted: 0,
  });
  assert.deepEqual(
    (await alerts.destinations()).map(({ name, owners, waiting }) => [name, owners, waiting]),
    [
      ['before', null, 1],
      ['later', null, 1],
    ],
  );
  assert.deepEqual(await alerts.unrouted(), { count: 0, last: null, title: null, owner: null });
  database.close();
  const step = POSTGRES_ADMIN.steps.find(
    ({ summary }) => summary === 'limits destinations of alerts to owners',
  );
  assert.equal(step!.breaks ?? false, false, 'collectors of the earlier release go on with the database');
});
