/** Authenticates agents for their hosts, and shows that one host cannot take over the name of another. */
import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { TokenStore } from '../../../../collector/access/token_store.ts';
import { SqliteAdminStore } from '../../../../collector/admin/admin_store.ts';
import { OperatorError } from '../../../../common/operator_error.ts';
import { AccessBench, ADMIN, DAY_MS } from '../../../support/collector/access/access_bench.ts';

const CONFIGURED = 'a-token-of-the-configuration';
const HOST = 'i-0123456789abcdef0';
const open: AccessBench[] = [];
const bench = (...options: ConstructorParameters<typeof AccessBench>) => {
  const made = new AccessBench(...options);
  open.push(made);
  return made;
};
afterEach(() => {
  for (const one of open.splice(0)) one.close();
});

describe('authentication of agents', () => {
  it('refuses agents without a token or with a wrong one', () => {
    const b = bench({ agentToken: CONFIGURED });
    const right = b.access.createToken({ kind: 'agent', name: 'x', host_id: HOST }, ADMIN).secret;
    for (const wrong of [
      null,
      CONFIGURED.slice(1),
      `${CONFIGURED}x`,
      right.slice(0, -1),
      right.replace('imdsw_a', 'imdsw_e'),
      `${right.slice(0, -1)}${right.endsWith('A') ? 'E' : 'A'}`,
      `imdsw_a${'A'.repeat(43)}`,
    ]) {
      assert.equal(b.agent(wrong), null, String(wrong));
    }
    assert.equal(b.access.counters()['agents_refused'], 7);
  });
  it('distinguishes the configured token, a stored enrolment token and a credential', () => {
    const b = bench({ agentToken: CONFIGURED });
    const enrolment = b.access.createToken({ kind: 'enrolment', name: 'fleet' }, ADMIN).secret;
    const agent = b.access.createToken({ kind: 'agent', name: 'one', host_id: HOST }, ADMIN).secret;
    assert.deepEqual(b.agent(CONFIGURED), { hostId: null, via: 'enrolment' });
    assert.deepEqual(b.agent(enrolment), { hostId: null, via: 'enrolment' });
    assert.deepEqual(b.agent(agent), { hostId: HOST, via: 'credential' });
    const { agents_by_enrolment, agents_by_credential } = b.access.counters();
    assert.deepEqual([agents_by_enrolment, agents_by_credential], [2, 1]);
  });
  it("refuses a person's token for an agent, and an agent's token for a person", () => {
    const b = bench();
    assert.equal(b.agent(b.person('admin').secret), null);
    for (const kind of ['enrolment', 'agent'] as const) {
      const { secret } = b.access.createToken({ kind, name: 'x', host_id: HOST }, ADMIN);
      assert.equal(b.identifyUser({ authorization: `Bearer ${secret}` }), null);
      assert.equal(b.access.signIn(secret, null), null);
    }
  });
  it('enrols no host with a token that the configuration binds to one host', () => {
    const b = bench({ agentToken: CONFIGURED, agentTokenHost: HOST });
    assert.deepEqual(b.agent(CONFIGURED), { hostId: HOST, via: 'credential' });
    assert.equal(b.access.hasCredential(HOST), true);
    assert.equal(b.access.issueCredential(HOST), null);
  });
  it('refuses a token that has expired or was revoked', () => {
    const b = bench();
    const { token, secret } = b.access.createToken({ kind: 'enrolment', name: 'x', expires_days: 1 }, ADMIN);
    b.nowMs += DAY_MS - 1;
    assert.notEqual(b.agent(secret), null);
    b.nowMs += 1;
    assert.equal(b.agent(secret), null);
    b.access.poll();
    assert.deepEqual(b.ended, [{ id: token.id, kind: 'enrolment', hostId: null }]);
    const other = b.access.createToken({ kind: 'agent', name: 'x', host_id: HOST }, ADMIN);
    b.access.revokeToken(other.token.id, ADMIN);
    assert.equal(b.agent(other.secret), null);
    assert.deepEqual(b.ended[1], { id: other.token.id, kind: 'agent', hostId: HOST });
    b.access.poll();
    assert.equal(b.ended.length, 2, 'each is told of once');
  });
});

describe('the credential of an agent', () => {
  it('authenticates the host that it was issued for', () => {
    const b = bench();
    const credential = b.access.issueCredential(HOST, { sourceAddress: '10.0.0.9' })!;
    assert.match(credential, /^imdsw_a[\w-]{43}$/);
    assert.deepEqual(b.agent(credential), { hostId: HOST, via: 'credential' });
    const [entry] = b.access.auditLog({ limit: 1 });
    assert.equal(entry?.action, 'credential.issue');
    assert.equal(entry?.source_address, '10.0.0.9');
    assert.match(entry?.detail ?? '', new RegExp(HOST));
  });
  it('is not issued to a second agent that claims the host, not even before the first has used it', () => {
    const b = bench();
    const first = b.access.issueCredential(HOST)!;
    assert.equal(b.access.hasCredential(HOST), true);
    assert.equal(b.access.issueCredential(HOST), null);
    assert.equal(b.access.counters()['credentials_denied'], 1);
    assert.notEqual(b.agent(first), null);
    assert.equal(b.access.hasCredential('another'), false);
  });
  it('is issued again only to an agent that sends the key that it enrolled with', () => {
    const b = bench();
    const enrolmentKey = 'k'.repeat(43);
    const lost = b.access.issueCredential(HOST, { enrolmentKey })!;
    for (const other of [null, '', 'x'.repeat(43), `${'k'.repeat(42)}K`]) {
      assert.equal(b.access.issueCredential(HOST, { enrolmentKey: other }), null, String(other));
    }
    assert.notEqual(b.agent(lost), null, 'the thief changed nothing');
    const again = b.access.issueCredential(HOST, { enrolmentKey })!;
    assert.equal(b.agent(lost), null);
    assert.deepEqual(b.agent(again), { hostId: HOST, via: 'credential' });
    assert.equal(b.access.tokens().length, 1);
    assert.equal(b.access.counters()['credentials_renewed'], 1);
    assert.ok(!b.everythingWritten().includes(enrolmentKey), 'only the hash of the key is kept');
  });
  it('is not issued again without a key, even at once: an admin has to release the host', () => {
    const b = bench();
    const lost = b.access.issueCredential(HOST)!;
    assert.equal(b.access.issueCredential(HOST), null);
    assert.equal(b.access.issueCredential(HOST, { enrolmentKey: 'k'.repeat(43) }), null);
    assert.notEqual(b.agent(lost), null);
    assert.equal(b.access.revokeToken(b.access.tokens()[0]!.id, ADMIN), true);
    assert.notEqual(b.access.issueCredential(HOST, { enrolmentKey: 'k'.repeat(43) }), null);
    const actions = b.access.auditLog({ limit: 10 }).map(({ action }) => action);
    assert.deepEqual(actions, ['credential.issue', 'token.revoke', 'credential.issue']);
  });
  it('is not renewed by its key after it was revoked: the next agent that enrols has its own key', () => {
    const b = bench();
    b.access.issueCredential(HOST, { enrolmentKey: 'a'.repeat(43) });
    b.access.revokeToken(b.access.tokens()[0]!.id, ADMIN);
    b.access.issueCredential(HOST, { enrolmentKey: 'b'.repeat(43) });
    assert.equal(b.access.issueCredential(HOST, { enrolmentKey: 'a'.repeat(43) }), null);
  });
  it('is never given to an agent that enrols if an admin made it', () => {
    const b = bench();
    b.access.createToken(
      { kind: 'agent', name: 'enrolment', host_id: HOST },
      { name: 'enrolment', sourceAddress: null },
    );
    assert.equal(b.access.issueCredential(HOST), null);
  });
  it('lets its host enrol again after it was revoked', () => {
    const b = bench();
    const first = b.access.issueCredential(HOST)!;
    b.agent(first);
    const { id } = b.access.tokens()[0]!;
    assert.equal(b.access.revokeToken(id, ADMIN), true);
    assert.equal(b.access.revokeToken(id, ADMIN), false);
    const second = b.access.issueCredential(HOST)!;
    assert.equal(b.agent(first), null);
    assert.deepEqual(b.agent(second), { hostId: HOST, via: 'credential' });
  });
  it('keeps its host after it has expired, until an admin revokes it or makes another', () => {
    const b = bench();
    b.access.createToken({ kind: 'agent', name: 'x', host_id: HOST, expires_days: 1 }, ADMIN);
    assert.throws(
      () => b.access.createToken({ kind: 'agent', name: 'y', host_id: HOST }, ADMIN),
      (error: unknown) =>
        error instanceof OperatorError && error.exitCode === 1 && /Revoke it first/.test(error.message),
    );
    b.nowMs += 500 * DAY_MS;
    assert.equal(b.access.hasCredential(HOST), true);
    assert.equal(b.access.issueCredential(HOST), null);
    const reopened = new TokenStore(new SqliteAdminStore(b.admin), () => b.nowMs);
    assert.notEqual(reopened.credentialOf(HOST), null, 'it is not forgotten after a time either');
    assert.match(b.access.createToken({ kind: 'agent', name: 'y', host_id: HOST }, ADMIN).secret, /^imdsw_a/);
  });
  it('is issued to many agents at once, to each its own, and to none that must not have one', async () => {
    const b = bench();
    b.access.createToken({ kind: 'agent', name: 'x', host_id: HOST }, ADMIN);
    const hosts = Array.from({ length: 300 }, (_, index) => `i-${index}`);
    const credentials = await Promise.all([...hosts, HOST, 'a\nb'].map((host) => b.access.enrol(host)));
    assert.deepEqual(credentials.slice(300), [null, null]);
    for (const [index, hostId] of hosts.entries()) {
      assert.deepEqual(b.agent(credentials[index]!), { hostId, via: 'credential' });
    }
    // An agent that enrolled twice has the last credential. If two agents claim one host, the first one has
    // it.
    const claim = { enrolmentKey: 'k'.repeat(43) };
    const [first, second, thief] = await Promise.all([
      b.access.enrol('i-twice', claim),
      b.access.enrol('i-twice', claim),
      b.access.enrol('i-twice', { enrolmentKey: 'x'.repeat(43) }),
    ]);
    assert.equal(b.agent(first!), null);
    assert.deepEqual(b.agent(second!), { hostId: 'i-twice', via: 'credential' });
    assert.equal(thief, null);
    assert.equal(b.access.tokens().length, 302);
  });
  it('is issued only for a valid host id', () => {
    const b = bench();
    for (const bad of ['', 'x'.repeat(201), 'a\nb', 'a\u0000'])
      assert.equal(b.access.issueCredential(bad), null);
    assert.equal(b.access.counters()['credentials_denied'], 4);
    assert.equal(b.access.tokens().length, 0);
  });
});

it('agents are refused, with a log line, while the database fails', () => {
  const b = bench();
  const credential = b.access.issueCredential(HOST)!;
  b.admin.exec('DROP TABLE sessions; ALTER TABLE tokens RENAME TO gone');
  assert.equal(b.agent(credential), null);
  assert.equal(b.access.counters()['store_errors'], 1);
  assert.match(b.lines.join(''), /cannot be used/);
  b.admin.exec('ALTER TABLE gone RENAME TO tokens');
  assert.notEqual(b.agent(credential), null);
});
