/** Checks the audit log, the retention settings, and that no secret is in files or logs. */
import assert from 'node:assert/strict';
import { afterEach, it } from 'node:test';
import { AccessBench, ADMIN } from '../../../support/collector/access/access_bench.ts';

const open: AccessBench[] = [];
const bench = async (...options: Parameters<typeof AccessBench.open>) => {
  const made = await AccessBench.open(...options);
  open.push(made);
  return made;
};
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});

it('no secret is in any file or log line', async () => {
  const b = await bench({ agentToken: 'the-token-of-the-configuration' });
  const code = await b.access.createSignInCode({ role: 'admin', scope: null }, ADMIN);
  const unusedCode = await b.access.createSignInCode({ role: 'viewer', scope: null }, ADMIN);
  const person = (await b.person('admin')).secret;
  const enrolment = (await b.access.createToken({ kind: 'enrolment', name: 'x' }, ADMIN)).secret;
  const credential = (await b.access.enrol('i-1'))!;
  const sessions = [(await b.signIn(code)).session, (await b.signIn(person)).session];
  await b.access.signIn(`${person.slice(0, -1)}-`, null);
  await b.agent(credential);
  await b.agent('the-token-of-the-configuration');
  await b.bySession(sessions[0]!);
  await b.access.poll();
  const written = b.everythingWritten();
  assert.ok(
    written.includes('session.open') && written.includes('alice'),
    'what was written is what is searched',
  );
  for (const secret of [
    code,
    unusedCode,
    person,
    enrolment,
    credential,
    ...sessions,
    'the-token-of-the-configuration',
  ]) {
    assert.equal(written.includes(secret.slice(8)), false);
  }
});

it('every action of an admin is in the audit log, in order, with its actor and address', async () => {
  const b = await bench();
  const { token, secret } = await b.person('admin');
  await b.access.setRetention({ raw_days: 3, rollup_days: 30, max_bytes: 1024 ** 3 }, ADMIN);
  const { session } = await b.signIn(secret, '192.0.2.44');
  await b.access.signOut(session, '192.0.2.44');
  await b.access.createSignInCode({ role: 'viewer', scope: null }, ADMIN);
  await b.access.signOutAll(ADMIN);
  await b.access.revokeToken(token.id, ADMIN);
  const log = (await b.access.auditLog({ limit: 100 })).reverse();
  assert.deepEqual(
    log.map(({ actor, action, source_address }) => [actor, action, source_address]),
    [
      [ADMIN.name, 'token.create', '192.0.2.1'],
      [ADMIN.name, 'retention.set', '192.0.2.1'],
      ['alice', 'session.open', '192.0.2.44'],
      ['alice', 'session.close', '192.0.2.44'],
      [ADMIN.name, 'sign_in_code.create', '192.0.2.1'],
      [ADMIN.name, 'session.close_all', '192.0.2.1'],
      [ADMIN.name, 'token.revoke', '192.0.2.1'],
    ],
  );
  assert.equal(log[0]!.subject, token.id);
  assert.equal(log[0]!.detail, 'person "alice", role admin');
  const older = await b.access.auditLog({ before: log[3]!.id, limit: 2 });
  assert.deepEqual(
    older.map(({ action }) => action),
    ['session.open', 'retention.set'],
  );
  assert.deepEqual(await b.access.retention(), { raw_days: 3, rollup_days: 30, max_bytes: 1024 ** 3 });
});

it('retention has defaults, also if the stored values are not valid', async () => {
  const b = await bench();
  const defaults = { raw_days: 14, rollup_days: 400, max_bytes: 21_474_836_480 };
  assert.deepEqual(await b.access.retention(), defaults);
  b.admin.exec(`INSERT INTO settings VALUES ('retention', '{"raw_days": -1}')`);
  assert.deepEqual(await b.access.retention(), defaults);
});
