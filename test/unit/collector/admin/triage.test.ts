import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ADMIN, openAdmin } from '../../../../collector/admin/admin_schema.ts';
import { SqliteAdminStore } from '../../../../collector/admin/sqlite/sqlite_admin_store.ts';
import { TRIAGE_STEP } from '../../../../collector/admin/triage_schema.ts';
import { openForWriting } from '../../../../collector/store/sqlite/database.ts';

const directory = mkdtempSync(join(tmpdir(), 'imdswatch-triage-'));
after(() => rmSync(directory, { recursive: true }));
const ADA = { name: 'ada', sourceAddress: '192.0.2.7' };
const subject = (workload: string, joined: string[] = []) => ({ workload, title: '/opt/bad', joined });

test('a database of an earlier release gets the triage, and keeps what it has', async () => {
  const dataDir = join(directory, 'earlier');
  const before = ADMIN.migrations.slice(0, ADMIN.migrations.indexOf(TRIAGE_STEP));
  const earlier = openForWriting(dataDir, { ...ADMIN, migrations: before });
  earlier.exec(`INSERT INTO settings (key, value) VALUES ('kept', '1')`);
  earlier.close();
  const database = openAdmin(dataDir);
  const admin = new SqliteAdminStore(database);
  assert.equal(await admin.settings.get('kept'), 1);
  await admin.triage.change(subject('a'), { state: 'fixed' }, ADA, 5);
  assert.deepEqual(await admin.triage.all(), [
    {
      workload: 'a',
      state: 'fixed',
      setUs: 5000,
      setBy: 'ada',
      untilUs: null,
      reason: null,
      owner: null,
      ticket: null,
      notes: null,
    },
  ]);
  const [entry] = await admin.auditLog.newest({ limit: 1 });
  assert.deepEqual(
    [entry!.actor, entry!.action, entry!.subject, entry!.detail, entry!.source_address],
    ['ada', 'triage.set', 'a', '"/opt/bad": state fixed', '192.0.2.7'],
  );
  database.close();
});

test('a change that fails leaves neither a row nor an entry in the audit log', async () => {
  const database = openAdmin(join(directory, 'failing'));
  const { triage, auditLog } = new SqliteAdminStore(database);
  const over = { state: 'exception' as const, until: '2026-01-01T00:00:00Z', reason: 'why' };
  await assert.rejects(() => triage.change(subject('a'), over, ADA, Date.parse('2026-01-01T00:00:00Z')), {
    exitCode: 2,
  });
  // The schema has no place for an exception without an end.
  await assert.rejects(() => triage.change(subject('a'), { state: 'exception' }, ADA, 5), /CHECK constraint/);
  assert.deepEqual([await triage.all(), await auditLog.newest({ limit: 9 })], [[], []]);
  database.close();
});

test('secrets in texts are masked before they are stored; other texts and addresses stay', async () => {
  const database = openAdmin(join(directory, 'secrets'));
  const { triage, auditLog } = new SqliteAdminStore(database);
  const key = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY';
  const until = '2026-02-01T00:00:00Z';
  const secret = {
    state: 'exception' as const,
    until,
    reason: `It needs ${key} until March.`,
    owner: key,
    ticket: `https://tickets.example.com/?key=${key}`,
    notes: `Try\nAWS_SECRET_ACCESS_KEY=${key} ./run`,
  };
  await triage.change(subject('a'), secret, ADA, 5);
  const stored = JSON.stringify([await triage.all(), await auditLog.newest({ limit: 9 })]);
  assert.ok(!stored.includes('K7MDENG') && stored.includes('It needs **** until March.'), stored);
  const plain = {
    owner: 'payments',
    ticket: 'https://github.com/acme/shop/pull/1234#issuecomment-1234567890',
    notes: 'Commit 0123456789abcdef0123456789abcdef01234567 asks for a token first.\nAsk Bob.',
  };
  const { owner, ticket, notes } = await triage.change(subject('a'), plain, ADA, 6);
  assert.deepEqual({ owner, ticket, notes }, plain);
  database.close();
});

test('the state that a change leaves out is the least done one of the workloads that were joined', async () => {
  const database = openAdmin(join(directory, 'joined'));
  const { triage } = new SqliteAdminStore(database);
  await triage.change(subject('a'), { state: 'fixed', owner: 'a' }, ADA, 1);
  await triage.change(subject('b'), { state: 'in_progress', owner: 'b' }, ADA, 2);
  await triage.change(subject('c', ['a', 'b']), { notes: 'Ask Bob.' }, ADA, 3);
  assert.deepEqual(
    (await triage.all()).map(({ workload, state, setUs, owner, notes }) => [
      workload,
      state,
      setUs,
      owner,
      notes,
    ]),
    [['c', 'in_progress', 2000, 'b', 'Ask Bob.']],
  );
  database.close();
});

test('the number of workloads with a triage is bounded; those that have one can still be changed', async () => {
  const database = openAdmin(join(directory, 'full'));
  const { triage } = new SqliteAdminStore(database);
  database.exec(`
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
    INSERT INTO triage (workload, state, set_us, set_by) SELECT 'w' || i, 'open', 1, 'ada' FROM n`);
  await assert.rejects(() => triage.change(subject('new'), { owner: 'x' }, ADA, 5), {
    exitCode: 2,
    message: /20000 workloads/,
  });
  assert.equal((await triage.change(subject('w7'), { owner: 'x' }, ADA, 5)).owner, 'x');
  database.close();
});
