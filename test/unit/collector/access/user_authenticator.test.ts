/** Authenticates people by tokens, sessions and sign-in codes. */
import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import {
  AccessBench,
  ADMIN,
  DAY_MS,
  HOUR_MS,
  MINUTE_MS,
} from '../../../support/collector/access/access_bench.ts';

const open: AccessBench[] = [];
const bench = (...options: ConstructorParameters<typeof AccessBench>) => {
  const made = new AccessBench(...options);
  open.push(made);
  return made;
};
afterEach(() => {
  for (const one of open.splice(0)) one.close();
});

describe('a token', () => {
  it('gives a name and a role until it expires', () => {
    const b = bench();
    const { token, secret } = b.person('admin', 30);
    assert.match(secret, /^imdsw_p[\w-]{43}$/);
    const alice = { name: 'alice', role: 'admin', via: 'token', tokenId: token.id };
    assert.deepEqual(b.identifyUser({ authorization: `Bearer ${secret}` }), alice);
    assert.deepEqual(b.identifyUser({ authorization: `bearer   ${secret} ` }), alice);
    b.nowMs += 30 * DAY_MS;
    assert.equal(b.identifyUser({ authorization: `Bearer ${secret}` }), null);
    assert.equal(b.access.signIn(secret, null), null);
    assert.equal(b.access.counters()['tokens_refused'], 1);
  });
  it('authenticates nobody if it is wrong, with any other content of the request', () => {
    const b = bench({ proxy: { userHeader: 'X-User', trustedAddresses: ['192.0.2.7'], admins: ['eve'] } });
    const { session } = b.signIn(b.person().secret);
    const shown = { cookie: `imdswatch=${session}`, headers: { 'x-user': 'eve' } };
    assert.equal(b.identifyUser({ ...shown, authorization: `Bearer imdsw_p${'x'.repeat(43)}` }), null);
    assert.equal(
      b.identifyUser({ ...shown, authorization: 'Basic ZXZlOmV2ZQ==' })?.name,
      'eve',
      'the proxy has its own',
    );
  });
  it('needs a role for a person and a host for an agent', () => {
    const b = bench();
    assert.throws(() => b.access.createToken({ kind: 'person', name: 'x' }, ADMIN), /needs a role/);
    assert.throws(() => b.access.createToken({ kind: 'agent', name: 'x' }, ADMIN), /needs host_id/);
    assert.throws(
      () => b.access.createToken({ kind: 'enrolment', name: 'command:x' }, ADMIN),
      /cannot begin with/,
    );
    assert.deepEqual(b.access.tokens(), []);
    assert.deepEqual(b.access.auditLog({ limit: 9 }), []);
  });
  it('shows when it was last used, at most a minute late', () => {
    const b = bench();
    const { secret } = b.person();
    const use = () => b.identifyUser({ authorization: `Bearer ${secret}` });
    const lastUsed = () => b.access.tokens()[0]!.last_used;
    assert.equal(lastUsed(), null);
    use();
    assert.equal(lastUsed(), '2026-11-22T08:00:00.000Z');
    b.access.poll();
    const changes = () => Number(b.admin.prepare('SELECT total_changes() AS n').get()!['n']);
    const before = changes();
    b.nowMs += MINUTE_MS - 1;
    use();
    b.access.poll();
    assert.equal(lastUsed(), '2026-11-22T08:00:00.000Z');
    assert.equal(changes(), before, 'not every use is a write');
    b.nowMs += 1;
    use();
    b.access.poll();
    assert.equal(lastUsed(), '2026-11-22T08:01:00.000Z');
    assert.equal(changes(), before + 1);
  });
});

describe('a session', () => {
  it('is a new secret each time, and authenticates by its cookie', () => {
    const b = bench();
    const { secret, token } = b.person();
    const first = b.signIn(secret);
    const second = b.signIn(secret);
    assert.notEqual(first.session, second.session);
    assert.deepEqual(b.bySession(first.session), {
      name: 'alice',
      role: 'viewer',
      via: 'session',
      tokenId: token.id,
    });
    assert.equal(first.expires, '2026-11-29T08:00:00.000Z');
    assert.equal(first.maxAgeSeconds, 7 * 24 * 3600);
  });
  it('ends after 12 hours without use, and after 7 days in any case', () => {
    const b = bench();
    const idle = b.signIn(b.person().secret).session;
    b.nowMs += 12 * HOUR_MS;
    assert.equal(b.bySession(idle), null);
    const busy = b.signIn(b.person().secret).session;
    for (let hours = 0; hours < 7 * 24; hours += 6) {
      assert.notEqual(b.bySession(busy), null, `after ${hours} h`);
      b.access.poll();
      b.nowMs += 6 * HOUR_MS;
    }
    assert.equal(b.bySession(busy), null);
    assert.equal(b.access.counters()['sessions_refused'], 2);
  });
  it('ends with its token, and with a sign-out', () => {
    const b = bench();
    const { secret, token } = b.person();
    const [first, second] = [b.signIn(secret).session, b.signIn(secret).session];
    b.access.signOut(first, null);
    assert.equal(b.bySession(first), null);
    assert.notEqual(b.bySession(second), null);
    b.access.revokeToken(token.id, ADMIN);
    assert.equal(b.bySession(second), null);
    assert.deepEqual(b.ended, [{ id: token.id, kind: 'person', hostId: null }]);
    const expiring = b.signIn(b.person('viewer', 1).secret).session;
    b.nowMs += 11 * HOUR_MS;
    assert.notEqual(b.bySession(expiring), null);
    b.access.poll();
    b.nowMs += 11 * HOUR_MS;
    assert.notEqual(b.bySession(expiring), null);
    b.nowMs += 2 * HOUR_MS;
    assert.equal(b.bySession(expiring), null);
  });
  it('cannot be chosen from outside', () => {
    const b = bench();
    const fixed = `imdsw_s${'F'.repeat(43)}`;
    assert.equal(b.bySession(fixed), null);
    assert.notEqual(b.signIn(b.person().secret).session, fixed);
    assert.equal(b.bySession(fixed), null);
    const { session } = b.signIn(b.person().secret);
    assert.equal(
      b.identifyUser({ cookie: `imdswatch=${fixed}; imdswatch=${session}` }),
      null,
      'two that disagree',
    );
    assert.notEqual(b.identifyUser({ cookie: `a=b; imdswatch=${session}; c` }), null);
  });
  it('is not a token, and a token is not a session', () => {
    const b = bench();
    const { secret } = b.person();
    const { session } = b.signIn(secret);
    assert.equal(b.identifyUser({ authorization: `Bearer ${session}` }), null);
    assert.equal(b.bySession(secret), null);
    assert.equal(b.access.signIn(session, null), null);
  });
  it('ends for all people at once when an admin asks for it, as do sign-in codes', () => {
    const b = bench();
    const { session } = b.signIn(b.person().secret);
    const code = b.access.createSignInCode('admin', ADMIN);
    assert.equal(b.access.signOutAll(ADMIN), 1);
    assert.equal(b.bySession(session), null);
    assert.equal(b.access.signIn(code, null), null);
  });
});

describe('a sign-in code', () => {
  it('works once', () => {
    const b = bench();
    const code = b.access.createSignInCode('admin', ADMIN);
    const { session, principal } = b.signIn(code);
    assert.deepEqual(principal, {
      name: 'sign-in link of root of the test',
      role: 'admin',
      via: 'session',
      tokenId: null,
    });
    assert.deepEqual(b.bySession(session), principal);
    assert.equal(b.access.signIn(code, null), null);
  });
  it('works for 15 minutes', () => {
    const b = bench();
    const [inTime, late] = [
      b.access.createSignInCode('viewer', ADMIN),
      b.access.createSignInCode('viewer', ADMIN),
    ];
    b.nowMs += 15 * MINUTE_MS - 1;
    b.signIn(inTime);
    b.nowMs += 1;
    assert.equal(b.access.signIn(late, null), null);
  });
});

describe('limits for sign-ins', () => {
  it('allow 10 failed attempts a minute per address, and more successful ones', () => {
    const b = bench();
    const { secret } = b.person();
    for (let index = 0; index < 25; index += 1) b.signIn(secret, '198.51.100.1');
    for (let index = 0; index < 10; index += 1) assert.equal(b.access.signIn('wrong', '198.51.100.1'), null);
    assert.deepEqual(b.access.signIn(secret, '198.51.100.1'), { retryAfterSeconds: 6 });
    b.signIn(secret, '198.51.100.2');
    b.nowMs += 6000;
    b.signIn(secret, '198.51.100.1');
    const { sign_ins, sign_ins_refused, sign_ins_limited } = b.access.counters();
    assert.deepEqual([sign_ins, sign_ins_refused, sign_ins_limited], [27, 10, 1]);
  });
  it('allow 30 new sessions a minute and 50 in all per token, without ending those of others', () => {
    const b = bench();
    const other = b.signIn(b.person().secret).session;
    const { secret } = b.person();
    const sessions: string[] = [];
    for (let index = 0; index < 60; index += 1) {
      if (index === 30) {
        assert.ok('retryAfterSeconds' in b.access.signIn(secret, '192.0.2.7')!);
        b.nowMs += MINUTE_MS;
      }
      sessions.push(b.signIn(secret).session);
    }
    const valid = sessions.filter((session) => b.bySession(session) !== null);
    assert.equal(valid.length, 50);
    assert.notEqual(b.bySession(sessions.at(-1)!), null);
    assert.notEqual(b.bySession(other), null);
  });
  it('count one IPv6 network as one address', () => {
    const b = bench();
    for (let index = 0; index < 10; index += 1) b.access.signIn('wrong', `2001:db8::${index + 1}`);
    assert.ok(b.access.signIn('wrong', '2001:db8:0:0:ffff::1'));
    assert.equal(b.access.signIn('wrong', '2001:db8:0:1::1'), null);
  });
  it('count the failed attempts of all addresses together', () => {
    const b = bench();
    let limited = 0;
    for (let index = 0; index < 400; index += 1) {
      if (b.access.signIn('wrong', `10.0.${index >> 8}.${index & 255}`) !== null) limited += 1;
    }
    assert.equal(limited, 100);
    b.signIn(b.person().secret, '10.9.9.9'); // An attacker cannot lock others out.
    assert.equal(b.lines.filter((line) => line.includes('refused a sign-in')).length, 1, 'one line a minute');
  });
});
