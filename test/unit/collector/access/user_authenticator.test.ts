/** Authenticates people by tokens, sessions and sign-in codes. */
import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { NO_PROXY } from '../../../../collector/access/proxy_identity.ts';
import {
  AccessBench,
  ADMIN,
  DAY_MS,
  HOUR_MS,
  MINUTE_MS,
} from '../../../support/collector/access/access_bench.ts';

const open: AccessBench[] = [];
const bench = async (...options: Parameters<typeof AccessBench.open>) => {
  const made = await AccessBench.open(...options);
  open.push(made);
  return made;
};
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});

describe('a token', () => {
  it('gives a name and a role until it expires', async () => {
    const b = await bench();
    const { token, secret } = await b.person('admin', 30);
    assert.match(secret, /^imdsw_p[\w-]{43}$/);
    const alice = { name: 'alice', role: 'admin', scope: null, via: 'token', tokenId: token.id };
    assert.deepEqual(await b.identifyUser({ authorization: `Bearer ${secret}` }), alice);
    assert.deepEqual(await b.identifyUser({ authorization: `bearer   ${secret} ` }), alice);
    b.nowMs += 30 * DAY_MS;
    assert.equal(await b.identifyUser({ authorization: `Bearer ${secret}` }), null);
    assert.equal(await b.access.signIn(secret, null), null);
    assert.equal(b.access.counters()['tokens_refused'], 1);
  });
  it('authenticates nobody if it is wrong, with any other content of the request', async () => {
    const b = await bench({
      proxy: { ...NO_PROXY, userHeader: 'X-User', trustedAddresses: ['192.0.2.7'], admins: ['eve'] },
    });
    const { session } = await b.signIn((await b.person()).secret);
    const shown = { cookie: `imdswatch=${session}`, headers: { 'x-user': 'eve' } };
    assert.equal(await b.identifyUser({ ...shown, authorization: `Bearer imdsw_p${'x'.repeat(43)}` }), null);
    assert.equal(
      (await b.identifyUser({ ...shown, authorization: 'Basic ZXZlOmV2ZQ==' }))?.name,
      'eve',
      'the proxy has its own',
    );
  });
  it('needs a role for a person and a host for an agent', async () => {
    const b = await bench();
    await assert.rejects(() => b.access.createToken({ kind: 'person', name: 'x' }, ADMIN), /needs a role/);
    await assert.rejects(() => b.access.createToken({ kind: 'agent', name: 'x' }, ADMIN), /needs host_id/);
    await assert.rejects(
      () => b.access.createToken({ kind: 'enrolment', name: 'command:x' }, ADMIN),
      /cannot begin with/,
    );
    assert.deepEqual(await b.access.tokens(), []);
    assert.deepEqual(await b.access.auditLog({ limit: 9 }), []);
  });
  it('shows when it was last used, at most a minute late', async () => {
    const b = await bench();
    const { secret } = await b.person();
    const use = () => b.identifyUser({ authorization: `Bearer ${secret}` });
    const lastUsed = async () => (await b.access.tokens())[0]!.last_used;
    assert.equal(await lastUsed(), null);
    await use();
    assert.equal(await lastUsed(), '2026-11-22T08:00:00.000Z');
    await b.access.poll();
    const changes = () => Number(b.admin.prepare('SELECT total_changes() AS n').get()!['n']);
    const before = changes();
    b.nowMs += MINUTE_MS - 1;
    await use();
    await b.access.poll();
    assert.equal(await lastUsed(), '2026-11-22T08:00:00.000Z');
    assert.equal(changes(), before, 'not every use is a write');
    b.nowMs += 1;
    await use();
    await b.access.poll();
    assert.equal(await lastUsed(), '2026-11-22T08:01:00.000Z');
    assert.equal(changes(), before + 1);
  });
});

describe('a session', () => {
  it('is a new secret each time, and authenticates by its cookie', async () => {
    const b = await bench();
    const { secret, token } = await b.person();
    const first = await b.signIn(secret);
    const second = await b.signIn(secret);
    assert.notEqual(first.session, second.session);
    assert.deepEqual(await b.bySession(first.session), {
      name: 'alice',
      role: 'viewer',
      scope: null,
      via: 'session',
      tokenId: token.id,
    });
    assert.equal(first.expires, '2026-11-29T08:00:00.000Z');
    assert.equal(first.maxAgeSeconds, 7 * 24 * 3600);
  });
  it('ends after 12 hours without use, and after 7 days in any case', async () => {
    const b = await bench();
    const idle = (await b.signIn((await b.person()).secret)).session;
    b.nowMs += 12 * HOUR_MS;
    assert.equal(await b.bySession(idle), null);
    const busy = (await b.signIn((await b.person()).secret)).session;
    for (let hours = 0; hours < 7 * 24; hours += 6) {
      assert.notEqual(await b.bySession(busy), null, `after ${hours} h`);
      await b.access.poll();
      b.nowMs += 6 * HOUR_MS;
    }
    assert.equal(await b.bySession(busy), null);
    assert.equal(b.access.counters()['sessions_refused'], 2);
  });
  it('ends with its token, and with a sign-out', async () => {
    const b = await bench();
    const { secret, token } = await b.person();
    const [first, second] = [(await b.signIn(secret)).session, (await b.signIn(secret)).session];
    await b.access.signOut(first, null);
    assert.equal(await b.bySession(first), null);
    assert.notEqual(await b.bySession(second), null);
    await b.access.revokeToken(token.id, ADMIN);
    assert.equal(await b.bySession(second), null);
    assert.deepEqual(b.ended, [{ id: token.id, kind: 'person', hostId: null }]);
    const expiring = (await b.signIn((await b.person('viewer', 1)).secret)).session;
    b.nowMs += 11 * HOUR_MS;
    assert.notEqual(await b.bySession(expiring), null);
    await b.access.poll();
    b.nowMs += 11 * HOUR_MS;
    assert.notEqual(await b.bySession(expiring), null);
    b.nowMs += 2 * HOUR_MS;
    assert.equal(await b.bySession(expiring), null);
  });
  it('cannot be chosen from outside', async () => {
    const b = await bench();
    const fixed = `imdsw_s${'F'.repeat(43)}`;
    assert.equal(await b.bySession(fixed), null);
    assert.notEqual((await b.signIn((await b.person()).secret)).session, fixed);
    assert.equal(await b.bySession(fixed), null);
    const { session } = await b.signIn((await b.person()).secret);
    assert.equal(
      await b.identifyUser({ cookie: `imdswatch=${fixed}; imdswatch=${session}` }),
      null,
      'two that disagree',
    );
    assert.notEqual(await b.identifyUser({ cookie: `a=b; imdswatch=${session}; c` }), null);
  });
  it('is not a token, and a token is not a session', async () => {
    const b = await bench();
    const { secret } = await b.person();
    const { session } = await b.signIn(secret);
    assert.equal(await b.identifyUser({ authorization: `Bearer ${session}` }), null);
    assert.equal(await b.bySession(secret), null);
    assert.equal(await b.access.signIn(session, null), null);
  });
  it('ends for all people at once when an admin asks for it, as do sign-in codes', async () => {
    const b = await bench();
    const { session } = await b.signIn((await b.person()).secret);
    const code = await b.access.createSignInCode({ role: 'admin', scope: null }, ADMIN);
    assert.equal(await b.access.signOutAll(ADMIN), 1);
    assert.equal(await b.bySession(session), null);
    assert.equal(await b.access.signIn(code, null), null);
  });
});

describe('a sign-in code', () => {
  it('works once', async () => {
    const b = await bench();
    const code = await b.access.createSignInCode({ role: 'admin', scope: null }, ADMIN);
    const { session, principal } = await b.signIn(code);
    assert.deepEqual(principal, {
      name: 'sign-in link of root of the test',
      role: 'admin',
      scope: null,
      via: 'session',
      tokenId: null,
    });
    assert.deepEqual(await b.bySession(session), principal);
    assert.equal(await b.access.signIn(code, null), null);
  });
  it('works for 15 minutes', async () => {
    const b = await bench();
    const [inTime, late] = [
      await b.access.createSignInCode({ role: 'viewer', scope: null }, ADMIN),
      await b.access.createSignInCode({ role: 'viewer', scope: null }, ADMIN),
    ];
    b.nowMs += 15 * MINUTE_MS - 1;
    await b.signIn(inTime);
    b.nowMs += 1;
    assert.equal(await b.access.signIn(late, null), null);
  });
});

describe('limits for sign-ins', () => {
  it('allow 10 failed attempts a minute per address, and more successful ones', async () => {
    const b = await bench();
    const { secret } = await b.person();
    for (let index = 0; index < 25; index += 1) await b.signIn(secret, '198.51.100.1');
    for (let index = 0; index < 10; index += 1)
      assert.equal(await b.access.signIn('wrong', '198.51.100.1'), null);
    assert.deepEqual(await b.access.signIn(secret, '198.51.100.1'), { retryAfterSeconds: 6 });
    await b.signIn(secret, '198.51.100.2');
    b.nowMs += 6000;
    await b.signIn(secret, '198.51.100.1');
    const { sign_ins, sign_ins_refused, sign_ins_limited } = b.access.counters();
    assert.deepEqual([sign_ins, sign_ins_refused, sign_ins_limited], [27, 10, 1]);
  });
  it('allow 30 new sessions a minute and 50 in all per token, without ending those of others', async () => {
    const b = await bench();
    const other = (await b.signIn((await b.person()).secret)).session;
    const { secret } = await b.person();
    const sessions: string[] = [];
    for (let index = 0; index < 60; index += 1) {
      if (index === 30) {
        assert.ok('retryAfterSeconds' in (await b.access.signIn(secret, '192.0.2.7'))!);
        b.nowMs += MINUTE_MS;
      }
      sessions.push((await b.signIn(secret)).session);
    }
    const found = await Promise.all(sessions.map((session) => b.bySession(session)));
    assert.equal(found.filter((principal) => principal !== null).length, 50);
    assert.notEqual(await b.bySession(sessions.at(-1)!), null);
    assert.notEqual(await b.bySession(other), null);
  });
  it('count one IPv6 network as one address', async () => {
    const b = await bench();
    for (let index = 0; index < 10; index += 1) await b.access.signIn('wrong', `2001:db8::${index + 1}`);
    assert.ok(await b.access.signIn('wrong', '2001:db8:0:0:ffff::1'));
    assert.equal(await b.access.signIn('wrong', '2001:db8:0:1::1'), null);
  });
  it('count the failed attempts of all addresses together', async () => {
    const b = await bench();
    let limited = 0;
    for (let index = 0; index < 400; index += 1) {
      if ((await b.access.signIn('wrong', `10.0.${index >> 8}.${index & 255}`)) !== null) limited += 1;
    }
    assert.equal(limited, 100);
    await b.signIn((await b.person()).secret, '10.9.9.9'); // An attacker cannot lock others out.
    assert.equal(b.lines.filter((line) => line.includes('refused a sign-in')).length, 1, 'one line a minute');
  });
});
