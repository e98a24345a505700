/** Authenticates agents for their hosts, and shows that one host cannot take over the name of another. */
import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { TokenStore } from '../../../../collector/access/token_store.ts';
import { OperatorError } from '../../../../common/operator_error.ts';
import { AccessBench, ADMIN, DAY_MS } from '../../../support/collector/access/access_bench.ts';

const CONFIGURED = 'a-token-of-the-configuration';
const HOST = 'i-0123456789abcdef0';
const open: AccessBench[] = [];
const bench = async (...options: Parameters<typeof AccessBench.open>) => {
  const made = await AccessBench.open(...options);
  open.push(made);
  return made;
};
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});

describe('authentication of agents', () => {
  it('refuses agents without a token or with a wrong one', async () => {
    const b = await bench({ agentToken: CONFIGURED });
    const right = (await b.access.createToken({ kind: 'agent', name: 'x', host_id: HOST }, ADMIN)).secret;
    for (const wrong of [
      null,
      CONFIGURED.slice(1),
      `${CONFIGURED}x`,
      right.slice(0, -1),
      right.replace('imdsw_a', 'imdsw_e'),
      `${right.slice(0, -1)}${right.endsWith('A') ? 'E' : 'A'}`,
      `imdsw_a${'A'.repeat(43)}`,
    ]) {
      assert.equal(await b.agent(wrong), null, String(wrong));
    }
    assert.equal(b.access.counters()['agents_refused'], 7);
  });
  it('distinguishes the configured token, a stored enrolment token and a credential', async () => {
    const b = await bench({ agentToken: CONFIGURED });
    const enrolment = (await b.access.createToken({ kind: 'enrolment', name: 'fleet' }, ADMIN)).secret;
    const agent = (await b.access.createToken({ kind: 'agent', name: 'one', host_id: HOST }, ADMIN)).secret;
    assert.deepEqual(await b.agent(CONFIGURED), { hostId: null, via: 'enrolment' });
    assert.deepEqual(await b.agent(enrolment), { hostId: null, via: 'enrolment' });
    assert.deepEqual(await b.agent(agent), { hostId: HOST, via: 'credential' });
    const { agents_by_enrolment, agents_by_credential } = b.access.counters();
    assert.deepEqual([agents_by_enrolment, agents_by_credential], [2, 1]);
  });
  it("refuses a person's token for an agent, and an agent's token for a person", async () => {
    const b = await bench();
    assert.equal(await b.agent((await b.person('admin')).secret), null);
    for (const kind of ['enrolment', 'agent'] as const) {
      const { secret } = await b.access.createToken({ kind, name: 'x', host_id: HOST }, ADMIN);
      assert.equal(await b.identifyUser({ authorization: `Bearer ${secret}` }), null);
      assert.equal(await b.access.signIn(secret, null), null);
    }
  });
  it('enrols no host with a token that the configuration binds to one host', async () => {
    const b = await bench({ agentToken: CONFIGURED, agentTokenHost: HOST });
    assert.deepEqual(await b.agent(CONFIGURED), { hostId: HOST, via: 'credential' });
    assert.equal(await b.access.hasCredential(HOST), true);
    assert.equal(await b.access.enrol(HOST), null);
  });
  it('refuses a token that has expired or was revoked', async () => {
    const b = await bench();
    const { token, secret } = await b.access.createToken(
      { kind: 'enrolment', name: 'x', expires_days: 1 },
      ADMIN,
    );
    b.nowMs += DAY_MS - 1;
    assert.notEqual(await b.agent(secret), null);
    b.nowMs += 1;
    assert.equal(await b.agent(secret), null);
    await b.access.poll();
    assert.deepEqual(b.ended, [{ id: token.id, kind: 'enrolment', hostId: null }]);
    const other = await b.access.createToken({ kind: 'agent', name: 'x', host_id: HOST }, ADMIN);
    await b.access.revokeToken(other.token.id, ADMIN);
    assert.equal(await b.agent(other.secret), null);
    assert.deepEqual(b.ended[1], { id: other.token.id, kind: 'agent', hostId: HOST });
    await b.access.poll();
    assert.equal(b.ended.length, 2, 'each is told of once');
  });
});

describe('the credential of an agent', () => {
  it('authenticates the host that it was issued for', async () => {
    const b = await bench();
    const credential = (await b.access.enrol(HOST, { sourceAddress: '10.0.0.9' }))!;
    assert.match(credential, /^imdsw_a[\w-]{43}$/);
    assert.deepEqual(await b.agent(credential), { hostId: HOST, via: 'credential' });
    const [entry] = await b.access.auditLog({ limit: 1 });
    assert.equal(entry?.action, 'credential.issue');
    assert.equal(entry?.source_address, '10.0.0.9');
    assert.match(entry?.detail ?? '', new RegExp(HOST));
  });
  it('is not issued to a second agent that claims the host, not even before the first has used it', async () => {
    const b = await bench();
    const first = (await b.access.enrol(HOST))!;
    assert.equal(await b.access.hasCredential(HOST), true);
    assert.equal(await b.access.enrol(HOST), null);
    assert.equal(b.access.counters()['credentials_denied'], 1);
    assert.notEqual(await b.agent(first), null);
    assert.equal(await b.access.hasCredential('another'), false);
  });
  it('is issued again only to an agent that sends the key that it enrolled with', async () => {
    const b = await bench();
    const enrolmentKey = 'k'.repeat(43);
    const lost = (await b.access.enrol(HOST, { enrolmentKey }))!;
    for (const other of [null, '', 'x'.repeat(43), `${'k'.repeat(42)}K`]) {
      assert.equal(await b.access.enrol(HOST, { enrolmentKey: other }), null, String(other));
    }
    assert.notEqual(await b.agent(lost), null, 'the thief changed nothing');
    const again = (await b.access.enrol(HOST, { enrolmentKey }))!;
    assert.equal(await b.agent(lost), null);
    assert.deepEqual(await b.agent(again), { hostId: HOST, via: 'credential' });
    assert.equal((await b.access.tokens()).length, 1);
    assert.equal(b.access.counters()['credentials_renewed'], 1);
    assert.ok(!b.everythingWritten().includes(enrolmentKey), 'only the hash of the key is kept');
  });
  it('is not issued again without a key, even at once: an admin has to release the host', async () => {
    const b = await bench();
    const lost = (await b.access.enrol(HOST))!;
    assert.equal(await b.access.enrol(HOST), null);
    assert.equal(await b.access.enrol(HOST, { enrolmentKey: 'k'.repeat(43) }), null);
    assert.notEqual(await b.agent(lost), null);
    assert.equal(await b.access.revokeToken((await b.access.tokens())[0]!.id, ADMIN), true);
    assert.notEqual(await b.access.enrol(HOST, { enrolmentKey: 'k'.repeat(43) }), null);
    const actions = (await b.access.auditLog({ limit: 10 })).map(({ action }) => action);
    assert.deepEqual(actions, ['credential.issue', 'token.revoke', 'credential.issue']);
  });
  it('is not renewed by its key after it was revoked: the next agent that enrols has its own key', async () => {
    const b = await bench();
    await b.access.enrol(HOST, { enrolmentKey: 'a'.repeat(43) });
    await b.access.revokeToken((await b.access.tokens())[0]!.id, ADMIN);
    await b.access.enrol(HOST, { enrolmentKey: 'b'.repeat(43) });
    assert.equal(await b.access.enrol(HOST, { enrolmentKey: 'a'.repeat(43) }), null);
  });
  it('is never given to an agent that enrols if an admin made it', async () => {
    const b = await bench();
    await b.access.createToken(
      { kind: 'agent', name: 'enrolment', host_id: HOST },
      { name: 'enrolment', sourceAddress: null },
    );
    assert.equal(await b.access.enrol(HOST), null);
  });
  it('lets its host enrol again after it was revoked', async () => {
    const b = await bench();
    const first = (await b.access.enrol(HOST))!;
    await b.agent(first);
    const { id } = (await b.access.tokens())[0]!;
    assert.equal(await b.access.revokeToken(id, ADMIN), true);
    assert.equal(await b.access.revokeToken(id, ADMIN), false);
    const second = (await b.access.enrol(HOST))!;
    assert.equal(await b.agent(first), null);
    assert.deepEqual(await b.agent(second), { hostId: HOST, via: 'credential' });
  });
  it('keeps its host after it has expired, until an admin revokes it or makes another', async () => {
    const b = await bench();
    await b.access.createToken({ kind: 'agent', name: 'x', host_id: HOST, expires_days: 1 }, ADMIN);
    await assert.rejects(
      () => b.access.createToken({ kind: 'agent', name: 'y', host_id: HOST }, ADMIN),
      (error: unknown) =>
        error instanceof OperatorError && error.exitCode === 1 && /Revoke it first/.test(error.message),
    );
    b.nowMs += 500 * DAY_MS;
    assert.equal(await b.access.hasCredential(HOST), true);
    assert.equal(await b.access.enrol(HOST), null);
    const reopened = await TokenStore.open(b.store, () => b.nowMs);
    assert.notEqual(await reopened.credentialOf(HOST), null, 'it is not forgotten after a time either');
    assert.match(
      (await b.access.createToken({ kind: 'agent', name: 'y', host_id: HOST }, ADMIN)).secret,
      /^imdsw_a/,
    );
  });
  it('is issued to many agents at once, to each its own, and to none that must not have one', async () => {
    const b = await bench();
    await b.access.createToken({ kind: 'agent', name: 'x', host_id: HOST }, ADMIN);
    const hosts = Array.from({ length: 300 }, (_, index) => `i-${index}`);
    const credentials = await Promise.all([...hosts, HOST, 'a\nb'].map((host) => b.access.enrol(host)));
    assert.deepEqual(credentials.slice(300), [null, null]);
    for (const [index, hostId] of hosts.entries()) {
      assert.deepEqual(await b.agent(credentials[index]!), { hostId, via: 'credential' });
    }
    // An agent that enrolled twice has the last credential. If two agents claim one host, the first one has
    // it.
    const claim = { enrolmentKey: 'k'.repeat(43) };
    const [first, second, thief] = await Promise.all([
      await b.access.enrol('i-twice', claim),
      await b.access.enrol('i-twice', claim),
      await b.access.enrol('i-twice', { enrolmentKey: 'x'.repeat(43) }),
    ]);
    assert.equal(await b.agent(first!), null);
    assert.deepEqual(await b.agent(second!), { hostId: 'i-twice', via: 'credential' });
    assert.equal(thief, null);
    assert.equal((await b.access.tokens()).length, 302);
  });
  it('is issued only for a valid host id', async () => {
    const b = await bench();
    for (const bad of ['', 'x'.repeat(201), 'a\nb', 'a\u0000']) assert.equal(await b.access.enrol(bad), null);
    assert.equal(b.access.counters()['credentials_denied'], 4);
    assert.equal((await b.access.tokens()).length, 0);
  });
});

it('agents are told to come again, with a log line, while the database fails', async () => {
  const b = await bench();
  const credential = (await b.access.enrol(HOST))!;
  b.admin.exec('DROP TABLE sessions; ALTER TABLE tokens RENAME TO gone');
  assert.equal(await b.agent(credential), 'unavailable');
  assert.equal(b.access.counters()['store_errors'], 1);
  assert.match(b.lines.join(''), /cannot be used/);
  b.admin.exec('ALTER TABLE gone RENAME TO tokens');
  assert.deepEqual(await b.agent(credential), { hostId: HOST, via: 'credential' });
});
