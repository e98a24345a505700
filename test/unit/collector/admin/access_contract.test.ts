/** Tests what tokens, sessions, codes, settings and the audit log promise on every kind of database. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import type { AdminStore } from '../../../../collector/admin/admin_store.ts';
import type { TokenRow } from '../../../../collector/admin/tokens.ts';
import { onEachAdminStore } from '../../../support/collector/admin/admin_stores.ts';

const hashOf = (secret: string): Buffer => createHash('sha256').update(secret).digest();

function tokenRow(id: string, given: Partial<TokenRow> = {}): TokenRow & { hash: Buffer } {
  return {
    id,
    hash: hashOf(id),
    kind: 'person',
    name: `name of ${id}`,
    role: given.kind === undefined || given.kind === 'person' ? 'viewer' : null,
    scope: null,
    hostId: null,
    createdMs: 1_790_000_000_000,
    createdBy: 'ada',
    enrolled: 0,
    expiresMs: null,
    lastUsedMs: null,
    revokedMs: null,
    enrolmentKeyHash: null,
    ...given,
  };
}

const credential = (id: string, hostId: string, given: Partial<TokenRow> = {}) =>
  tokenRow(id, { kind: 'agent', hostId, ...given });

async function rowsOf({ tokens }: AdminStore): Promise<string[]> {
  return (await tokens.all()).map(({ id }) => id);
}

onEachAdminStore('access', (create) => {
  test('a token is found by its hash until it expires or is revoked', async () => {
    const { tokens } = await (await create()).open();
    const { hash, ...stored } = tokenRow('a', { expiresMs: 2_000, enrolmentKeyHash: hashOf('key') });
    await tokens.insert({ ...stored, hash });
    const found = (await tokens.byHash(hash, 1_999))!;
    assert.ok(hashOf('key').equals(found.enrolmentKeyHash!));
    assert.deepEqual({ ...found, enrolmentKeyHash: stored.enrolmentKeyHash }, stored);
    assert.equal(await tokens.byHash(hash, 2_000), null);
    assert.equal(await tokens.byHash(hashOf('b'), 0), null);
    assert.equal(await tokens.revoke('a', 1_500), true);
    assert.equal(await tokens.revoke('a', 1_600), false);
    assert.equal(await tokens.revoke('b', 1_500), false);
    assert.equal(await tokens.byHash(hash, 1_000), null);
    assert.equal((await tokens.byId('a'))?.revokedMs, 1_500);
    assert.deepEqual(
      (await tokens.revoked()).map(({ id }) => id),
      ['a'],
    );
  });

  test('a host has one credential, whose secret can be replaced', async () => {
    const { tokens } = await (await create()).open();
    await tokens.insert(credential('a', 'h1', { expiresMs: 5, enrolled: 1 }));
    await assert.rejects(() => tokens.insert(credential('b', 'h1')), /UNIQUE|unique/);
    await tokens.insert(credential('c', 'h2'));
    assert.equal(await tokens.credentialCount(), 2);
    assert.equal((await tokens.ofHost('h1'))?.id, 'a');
    await tokens.used([['a', 4]]);
    await tokens.replaceSecret('a', hashOf('new'), 'enrolment', 9);
    assert.equal(await tokens.byHash(hashOf('a'), 4), null);
    const renewed = (await tokens.byHash(hashOf('new'), 100))!;
    assert.deepEqual(
      [renewed.createdMs, renewed.createdBy, renewed.expiresMs, renewed.lastUsedMs],
      [9, 'enrolment', null, null],
    );
    await tokens.revoke('a', 10);
    assert.equal(await tokens.ofHost('h1'), null);
    assert.equal(await tokens.credentialCount(), 1);
    await tokens.insert(credential('b', 'h1'));
  });

  test('the credentials of many hosts are inserted, found and written to the audit log together', async () => {
    const store = await (await create()).open();
    const { tokens, certifiedHosts, auditLog } = store;
    const hosts = Array.from({ length: 300 }, (_, at) => `h${at}`);
    await tokens.insertAll(hosts.map((host, at) => credential(`id-${at}`, host)));
    await tokens.revoke('id-7', 5);
    const found = await tokens.ofHosts([...hosts, 'another']);
    assert.equal(found.length, 299);
    assert.deepEqual(new Map(found.map(({ hostId, id }) => [hostId, id])).get('h299'), 'id-299');
    assert.deepEqual(await tokens.ofHosts([]), []);
    await certifiedHosts.add('h3', 1);
    await certifiedHosts.add('h298', 1);
    await certifiedHosts.add('elsewhere', 1);
    assert.deepEqual([...(await certifiedHosts.among(hosts))].sort(), ['h298', 'h3']);
    await auditLog.appendAll([], 1);
    await auditLog.appendAll(
      hosts.map((subject) => ({ actor: 'a', action: 'b', subject, detail: null, source_address: null })),
      2,
    );
    const newest = await auditLog.newest({ limit: 301 });
    assert.deepEqual(
      newest.map(({ subject }) => subject),
      hosts.toReversed(),
    );
  });

  test('tokens are listed by age; those that ended long ago are forgotten, with their sessions', async () => {
    const store = await (await create()).open();
    const { tokens, sessions } = store;
    await tokens.insert(tokenRow('z', { createdMs: 1, expiresMs: 10 }));
    await tokens.insert(tokenRow('b', { createdMs: 2 }));
    await tokens.insert(tokenRow('a', { createdMs: 2, expiresMs: 99 }));
    await tokens.insert(credential('old', 'h', { createdMs: 3, expiresMs: 10 }));
    await sessions.insert(hashOf('s'), {
      token: 'z',
      name: 'n',
      role: 'viewer',
      scope: null,
      idToken: null,
      lastUsedMs: 5,
      expiresMs: 900,
    });
    assert.deepEqual(await rowsOf(store), ['z', 'a', 'b', 'old']);
    assert.deepEqual((await tokens.expiredBetween(9, 10)).map(({ id }) => id).sort(), ['old', 'z']);
    assert.deepEqual(await tokens.expiredBetween(10, 98), []);
    await tokens.forgetBefore(50);
    assert.deepEqual(await rowsOf(store), ['a', 'b', 'old'], 'an expired credential still protects its host');
    assert.equal(await sessions.delete(hashOf('s')), null);
  });

  test('the last uses of many tokens are stored together', async () => {
    const { tokens } = await (await create()).open();
    const ids = Array.from({ length: 20 }, (_, number) => `id-${number}`);
    for (const id of ids) await tokens.insert(tokenRow(id));
    await tokens.used([
      ...ids.map((id, number) => [id, 1_790_000_000_000 + number] as const),
      ['no such token', 1],
    ]);
    const found = new Map((await tokens.all()).map(({ id, lastUsedMs }) => [id, lastUsedMs]));
    assert.deepEqual(
      ids.map((id) => found.get(id)),
      ids.map((_, number) => 1_790_000_000_000 + number),
    );
    assert.equal(found.size, 20);
  });

  test('another process sees that tokens were revoked and that credentials were added', async () => {
    const data = await create();
    const [here, there] = [await data.open(), await data.open()];
    const versions = async () => [await there.version('revocations'), await there.version('credentials')];
    await here.tokens.insert(tokenRow('a'));
    const [revocations] = await versions();
    const before = await versions();
    await here.tokens.insert(credential('b', 'h'));
    const added = await versions();
    assert.notEqual(added[1], before[1]);
    await here.tokens.revoke('a', 5);
    assert.notEqual((await versions())[0], revocations);
  });

  test('of many who take one code, in several processes, one gets it', async () => {
    const data = await create();
    const stores = [await data.open(), await data.open(), await data.open()];
    for (let round = 0; round < 10; round += 1) {
      const hash = hashOf(`code ${round}`);
      await stores[0]!.sessions.insertCode(hash, {
        role: 'admin',
        scope: null,
        name: `link ${round}`,
        expiresMs: 77,
      });
      const taken = await Promise.all(
        Array.from({ length: 12 }, (_, at) => stores[at % 3]!.sessions.takeCode(hash)),
      );
      assert.deepEqual(
        taken.filter((code) => code !== null).map((code) => ({ ...code })),
        [{ role: 'admin', scope: null, name: `link ${round}`, expiresMs: 77 }],
      );
    }
  });

  test('a session has the name and role of its token, and ends with it', async () => {
    const { tokens, sessions } = await (await create()).open();
    await tokens.insert(tokenRow('a', { role: 'admin', name: 'ada', expiresMs: 500 }));
    const times = { lastUsedMs: 100, expiresMs: 1000 };
    const own = { role: 'viewer' as const, scope: null, idToken: null };
    const given = { token: 'a', name: 'old name', ...own, ...times };
    await sessions.insert(hashOf('s1'), given);
    await sessions.insert(hashOf('s2'), { ...given, token: null });
    const found = { ...(await sessions.byHash(hashOf('s1'), 200, 50)) };
    assert.deepEqual(found, { ...given, name: 'ada', role: 'admin' });
    assert.deepEqual({ ...(await sessions.byHash(hashOf('s2'), 200, 50)) }, { ...given, token: null });
    assert.equal(await sessions.byHash(hashOf('s1'), 200, 100), null, 'unused for too long');
    assert.equal(await sessions.byHash(hashOf('s1'), 500, 50), null, 'its token has expired');
    assert.notEqual(await sessions.byHash(hashOf('s2'), 999, 50), null);
    assert.equal(await sessions.byHash(hashOf('s2'), 1000, 50), null, 'it has expired');
    await sessions.used(hashOf('s1'), 150);
    assert.notEqual(await sessions.byHash(hashOf('s1'), 200, 100), null);
    await tokens.revoke('a', 1);
    assert.equal(await sessions.byHash(hashOf('s1'), 200, 50), null, 'its token was revoked');
    assert.deepEqual({ ...(await sessions.delete(hashOf('s2'))) }, { name: 'old name', idToken: null });
    assert.equal(await sessions.delete(hashOf('s2')), null);
  });

  test('scopes and roles are kept, and a session sees what its token sees', async () => {
    const { tokens, sessions } = await (await create()).open();
    const scope = [{ accounts: ['1', '2'], tags: { team: ['payments', ''] } }, { tags: { team: ['b'] } }];
    await tokens.insert(tokenRow('v', { scope }));
    await tokens.insert(tokenRow('u', { role: 'auditor' }));
    assert.deepEqual((await tokens.byId('v'))?.scope, scope);
    assert.deepEqual((await tokens.byId('u'))?.role, 'auditor');
    const times = { lastUsedMs: 100, expiresMs: 1000 };
    const ofToken = { token: 'v', name: 'n', role: 'viewer' as const, scope: null, idToken: null, ...times };
    await sessions.insert(hashOf('s1'), ofToken);
    assert.deepEqual(
      (await sessions.byHash(hashOf('s1'), 200, 50))?.scope,
      scope,
      'that of the token counts',
    );
    await sessions.insert(hashOf('s2'), { ...ofToken, token: null, scope, idToken: 'x.y.z' });
    const provided = await sessions.byHash(hashOf('s2'), 200, 50);
    assert.deepEqual([provided?.scope, provided?.idToken], [scope, 'x.y.z']);
    assert.deepEqual({ ...(await sessions.delete(hashOf('s2'))) }, { name: 'n', idToken: 'x.y.z' });
    await sessions.insertCode(hashOf('c'), { role: 'viewer', scope, name: 'c', expiresMs: 9 });
    assert.deepEqual((await sessions.takeCode(hashOf('c')))?.scope, scope);
  });

  test('nobody but a viewer can have a scope', async () => {
    const { tokens, sessions } = await (await create()).open();
    const scope = [{ accounts: ['1'] }];
    const message = /check constraint/i;
    await assert.rejects(() => tokens.insert(tokenRow('a', { role: 'admin', scope })), message);
    await assert.rejects(() => tokens.insert(tokenRow('b', { role: 'auditor', scope })), message);
    await assert.rejects(() => tokens.insert(credential('c', 'h', { scope })), message);
    const code = { role: 'admin' as const, scope, name: 'c', expiresMs: 9 };
    await assert.rejects(() => sessions.insertCode(hashOf('c'), code), message);
  });

  test('sessions are bounded for each token and in all, and end together with the codes', async () => {
    const { tokens, sessions } = await (await create()).open();
    for (const id of ['a', 'b']) await tokens.insert(tokenRow(id));
    const put = (secret: string, token: string | null, at: number) =>
      sessions.insert(hashOf(secret), {
        token,
        name: secret,
        role: 'viewer',
        scope: null,
        idToken: null,
        lastUsedMs: at,
        expiresMs: 1000 + at,
      });
    const left = async (...secrets: string[]) => {
      const found = await Promise.all(secrets.map((secret) => sessions.byHash(hashOf(secret), 0, 0)));
      return secrets.filter((_, at) => found[at] !== null).join(' ');
    };
    await put('a1', 'a', 1);
    await put('a3', 'a', 3);
    await put('a2', 'a', 2);
    await put('b1', 'b', 9);
    await put('c1', null, 8);
    await sessions.keepNewest('a', 2);
    assert.equal(await left('a1', 'a2', 'a3', 'b1', 'c1'), 'a2 a3 b1 c1');
    await sessions.forget(0, 0, 3);
    assert.equal(await left('a2', 'a3', 'b1', 'c1'), 'a3 b1 c1', 'the least recently used one');
    await sessions.forget(1008, 3, 10);
    assert.equal(await left('a3', 'b1', 'c1'), 'b1', 'unused or expired');
    await sessions.insertCode(hashOf('x'), { role: 'viewer', scope: null, name: 'x', expiresMs: 9 });
    await sessions.insertCode(hashOf('y'), { role: 'viewer', scope: null, name: 'y', expiresMs: 10 });
    await sessions.forget(9, 0, 10);
    assert.equal(await sessions.takeCode(hashOf('x')), null);
    assert.equal(await sessions.deleteAll(), 1);
    assert.equal(await sessions.takeCode(hashOf('y')), null);
  });

  test('a certified host is kept once, until it is released', async () => {
    const { certifiedHosts } = await (await create()).open();
    assert.equal(await certifiedHosts.has('h'), false);
    await Promise.all([certifiedHosts.add('h', 1), certifiedHosts.add('h', 2)]);
    assert.equal(await certifiedHosts.has('h'), true);
    assert.equal(await certifiedHosts.remove('h'), true);
    assert.equal(await certifiedHosts.remove('h'), false);
    assert.equal(await certifiedHosts.has('h'), false);
  });

  test('the audit log is read page by page, newest first', async () => {
    const { auditLog } = await (await create()).open();
    for (let number = 1; number <= 5; number += 1) {
      const entry = {
        actor: 'ada',
        action: `act.${number}`,
        subject: 'ü',
        detail: null,
        source_address: null,
      };
      await auditLog.append(entry, 1_790_000_000_000 + number);
    }
    const first = await auditLog.newest({ limit: 2 });
    assert.deepEqual(
      first.map(({ action, time }) => [action, time]),
      [
        ['act.5', '2026-09-21T14:13:20.005Z'],
        ['act.4', '2026-09-21T14:13:20.004Z'],
      ],
    );
    const rest = await auditLog.newest({ before: first[1]!.id, limit: 9 });
    assert.deepEqual(
      rest.map(({ action, detail, subject }) => [action, detail, subject]),
      [
        ['act.3', null, 'ü'],
        ['act.2', null, 'ü'],
        ['act.1', null, 'ü'],
      ],
    );
  });

  test('settings keep JSON of every shape, also with a NUL in it', async () => {
    const data = await create();
    const [here, there] = [await data.open(), await data.open()];
    assert.equal(await here.settings.get('missing'), undefined);
    for (const value of [null, 0, 'text "quoted" \0 \u{1f512}', { nested: [1, { a: null }] }]) {
      await here.settings.put('key', value);
      assert.deepEqual(await there.settings.get('key'), value);
    }
  });
});
