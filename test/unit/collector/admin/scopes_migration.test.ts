/** Tests that tokens, sessions and sign-in codes of an earlier release keep their roles. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ADMIN, openAdmin } from '../../../../collector/admin/admin_schema.ts';
import { SCOPES_STEP } from '../../../../collector/admin/scopes_schema.ts';
import { SqliteAdminStore } from '../../../../collector/admin/sqlite/sqlite_admin_store.ts';
import { openForWriting } from '../../../../collector/store/sqlite/database.ts';
import { hashOf } from '../../../support/collector/admin/filled_admin.ts';

const dataDir = mkdtempSync(join(tmpdir(), 'imdswatch-scopes-migration-'));
after(() => rmSync(dataDir, { recursive: true }));

test('tokens, sessions and sign-in codes of an earlier release are kept, and see the whole fleet', async () => {
  const migrations = ADMIN.migrations.slice(0, ADMIN.migrations.indexOf(SCOPES_STEP));
  const earlier = openForWriting(dataDir, { ...ADMIN, migrations });
  const token = earlier.prepare(
    `INSERT INTO tokens (id, hash, kind, name, role, host_id, created_ms, created_by, enrolled, enrolment_key_hash)
     VALUES (?, ?, ?, ?, ?, ?, 5, 'x', 0, ?)`,
  );
  token.run('v', hashOf('v'), 'person', 'victor', 'viewer', null, null);
  token.run('a', hashOf('a'), 'person', 'ada', 'admin', null, null);
  token.run('h', hashOf('h'), 'agent', 'i-1', null, 'i-1', hashOf('key'));
  const session = earlier.prepare('INSERT INTO sessions VALUES (?, ?, ?, ?, 100, 1000)');
  session.run(hashOf('s'), 'a', 'ada', 'admin');
  session.run(hashOf('t'), null, 'link', 'viewer');
  earlier.prepare('INSERT INTO sign_in_codes VALUES (?, ?, ?, 9)').run(hashOf('c'), 'viewer', 'link');
  earlier.close();

  const database = openAdmin(dataDir);
  const { tokens, sessions } = new SqliteAdminStore(database);
  assert.deepEqual(
    (await tokens.all()).map(({ id, role, scope, hostId }) => [id, role, scope, hostId]),
    [
      ['a', 'admin', null, null],
      ['h', null, null, 'i-1'],
      ['v', 'viewer', null, null],
    ],
  );
  assert.ok(hashOf('key').equals((await tokens.byHash(hashOf('h'), 9))!.enrolmentKeyHash!));
  const found = await Promise.all(['s', 't'].map((each) => sessions.byHash(hashOf(each), 200, 50)));
  assert.deepEqual(
    found.map((each) => [each?.name, each?.role, each?.scope, each?.idToken]),
    [
      ['ada', 'admin', null, null],
      ['link', 'viewer', null, null],
    ],
  );
  assert.equal((await sessions.takeCode(hashOf('c')))?.role, 'viewer');
  await tokens.revoke('a', 150);
  assert.equal(await sessions.byHash(hashOf('s'), 200, 50), null, 'a session still ends with its token');
  await assert.rejects(
    async () => tokens.insert({ ...(await tokens.byId('h'))!, id: 'i', hash: hashOf('i') }),
    /UNIQUE/,
  );
  database.close();
});
