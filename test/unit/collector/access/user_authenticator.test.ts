/** Authenticates people by tokens, sessions and proxies, and checks files and logs for secrets. */
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
  it('authenticates no one if it is wrong, whatever else the request carries', () => {
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

describe("a reverse proxy's header", () => {
  const proxy = {
    userHeader: 'X-Forwarded-User',
    trustedAddresses: ['10.1.0.0/24', 'fd00::5'],
    admins: ['carol'],
  };
  it('is trusted from the proxy only', () => {
    const b = bench({ proxy });
    const headers = { 'x-forwarded-user': 'carol' };
    const carol = { name: 'carol', role: 'admin', via: 'proxy', tokenId: null };
    for (const remoteAddress of ['10.1.0.9', '::ffff:10.1.0.9', 'fd00::5', 'fd00:0::0:5']) {
      assert.deepEqual(b.identifyUser({ headers, remoteAddress }), carol, remoteAddress);
    }
    for (const remoteAddress of ['10.1.1.9', '127.0.0.1', '::1', 'fd00::6', '', null, undefined, 'x']) {
      assert.equal(b.identifyUser({ headers, remoteAddress }), null, String(remoteAddress));
    }
    assert.equal(b.access.counters()['proxy_headers_ignored'], 8);
  });
  it('gives the role admin only to the configured users', () => {
    const b = bench({ proxy });
    for (const [user, role] of [
      ['carol', 'admin'],
      ['Carol', 'viewer'],
      ['dave', 'viewer'],
    ] as const) {
      assert.equal(
        b.identifyUser({ headers: { 'x-forwarded-user': user }, remoteAddress: '10.1.0.1' })?.role,
        role,
      );
    }
  });
  it('is refused if it could be two headers, or is not a valid name', () => {
    const b = bench({ proxy });
    for (const user of [
      'eve, carol',
      'carol,eve',
      '',
      'command:root',
      ' carol',
      'ca\trol',
      'x'.repeat(201),
      'caröl',
    ]) {
      assert.equal(
        b.identifyUser({ headers: { 'x-forwarded-user': user }, remoteAddress: '10.1.0.1' }),
        null,
        user,
      );
    }
    const twice = new Headers([
      ['X-Forwarded-User', 'eve'],
      ['x-forwarded-user', 'carol'],
    ]);
    assert.equal(b.identifyUser({ headers: twice, remoteAddress: '10.1.0.1' }), null);
    assert.equal(b.access.counters()['proxy_headers_refused'], 9);
  });
  it('is ignored if none is configured', () => {
    const b = bench();
    assert.equal(
      b.identifyUser({ headers: { 'x-forwarded-user': 'carol' }, remoteAddress: '127.0.0.1' }),
      null,
    );
  });
  it('gives the address of the client, and ignores addresses that the client added', () => {
    const b = bench({ proxy });
    const from = (forwarded: string, remote = '10.1.0.1') =>
      b.access.clientAddress({ 'x-forwarded-for': forwarded }, remote);
    assert.equal(from('203.0.113.5'), '203.0.113.5');
    assert.equal(from('1.2.3.4, 203.0.113.5'), '203.0.113.5');
    assert.equal(from('1.2.3.4, 203.0.113.5, 10.1.0.7'), '203.0.113.5');
    assert.equal(from('1.2.3.4, <script>'), '10.1.0.1');
    assert.equal(from(''), '10.1.0.1');
    assert.equal(from('1.2.3.4', '198.51.100.1'), '198.51.100.1');
  });
});

it('no secret is in any file or log line', () => {
  const b = bench({ agentToken: 'the-token-of-the-configuration' });
  const code = b.access.createSignInCode('admin', ADMIN);
  const unusedCode = b.access.createSignInCode('viewer', ADMIN);
  const person = b.person('admin').secret;
  const enrolment = b.access.createToken({ kind: 'enrolment', name: 'x' }, ADMIN).secret;
  const credential = b.access.issueCredential('i-1')!;
  const sessions = [b.signIn(code).session, b.signIn(person).session];
  b.access.signIn(`${person.slice(0, -1)}-`, null);
  b.agent(credential);
  b.agent('the-token-of-the-configuration');
  b.bySession(sessions[0]!);
  b.access.poll();
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

it('every action of an admin is in the audit log, in order, with its actor and address', () => {
  const b = bench();
  const { token, secret } = b.person('admin');
  b.access.setRetention({ raw_days: 3, rollup_days: 30, max_bytes: 1024 ** 3 }, ADMIN);
  const { session } = b.signIn(secret, '192.0.2.44');
  b.access.signOut(session, '192.0.2.44');
  b.access.createSignInCode('viewer', ADMIN);
  b.access.signOutAll(ADMIN);
  b.access.revokeToken(token.id, ADMIN);
  const log = b.access.auditLog({ limit: 100 }).reverse();
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
  const older = b.access.auditLog({ before: log[3]!.id, limit: 2 });
  assert.deepEqual(
    older.map(({ action }) => action),
    ['session.open', 'retention.set'],
  );
  assert.deepEqual(b.access.retention(), { raw_days: 3, rollup_days: 30, max_bytes: 1024 ** 3 });
});

it('retention has defaults, also if the stored values are not valid', () => {
  const b = bench();
  const defaults = { raw_days: 14, rollup_days: 400, max_bytes: 21_474_836_480 };
  assert.deepEqual(b.access.retention(), defaults);
  b.admin.exec(`INSERT INTO settings VALUES ('retention', '{"raw_days": -1}')`);
  assert.deepEqual(b.access.retention(), defaults);
});
