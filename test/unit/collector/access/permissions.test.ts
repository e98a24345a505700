/**
 * Tests each claim of the documentation's table of permissions against a real collector. The file is longer
 * than 300 lines because that table is long.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { READING_POSTS } from '../../../../collector/api/authorization.ts';
import type { Role } from '../../../../collector/contract/roles.ts';
import { PERMISSIONS, permissionsPart } from '../../../../docs/generator/permissions.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS, timed } from '../../../support/collector/access/access_bench.ts';
import { NO_OPENSSL } from '../../../support/collector/access/certificates.ts';
import {
  providerSettings,
  sessionsAtProvider,
} from '../../../support/collector/access/oidc/provided_sessions.ts';
import {
  ADMINISTRATION,
  bearer,
  DESTINATION,
  FINDINGS,
  type Headers,
  VisitorBench,
  withCertificate,
} from '../../../support/collector/access/visitor_bench.ts';
import { TOKEN } from '../../../support/collector/processes.ts';
import { freePort } from '../../../support/free_port.ts';

const PROXY_HEADER = 'x-forwarded-user';
const KEY = 'k'.repeat(43);
const SCOPE = [{ accounts: ['111122223333'] }];
const WHOLE_FLEET = ['/api/v1/alerts', '/metrics'];

let bench: VisitorBench;
before(async () => {
  bench = await VisitorBench.open({
    proxy_user_header: PROXY_HEADER,
    proxy_trusted_addresses: ['127.0.0.2'],
  });
});
after(() => bench.end());

async function readsNothing(headers: Headers): Promise<void> {
  for (const path of [...FINDINGS, ...ADMINISTRATION, '/api/v1/live']) {
    assert.equal((await bench.ask('GET', path, headers)).status, 401, path);
  }
}

async function changesNothing(headers: Headers, status: number): Promise<void> {
  const changing = (await bench.routes()).filter(
    ({ method, path }) => method !== 'GET' && path !== '/api/v1/session' && !READING_POSTS.includes(path),
  );
  assert.ok(changing.length >= 8);
  for (const { method, path } of changing) {
    assert.equal((await bench.ask(method, path, headers, {})).status, status, `${method} ${path}`);
  }
}

async function readsFindings(headers: Headers): Promise<void> {
  for (const path of FINDINGS) assert.equal((await bench.ask('GET', path, headers)).status, 200, path);
}

async function readsAudit(headers: Headers): Promise<void> {
  assert.equal((await bench.ask('GET', '/api/v1/audit', headers)).status, 200);
}

async function enrol(hostId: string, claim: object = {}): Promise<string> {
  const { credential } = await bench.agent(hostId, bearer(TOKEN), { claim: { ...claim } });
  assert.ok(credential);
  return credential;
}

async function signIn(secret: string): Promise<Response> {
  return bench.ask('POST', '/api/v1/session', { origin: bench.collector.pageUrl }, { secret });
}

async function session(role: Role): Promise<{ headers: Headers; tokenId: string }> {
  const { secret, id } = await bench.person(role);
  const cookie = (await signIn(secret)).headers.get('set-cookie')!.split(';')[0]!;
  return { headers: { cookie }, tokenId: id };
}

async function release(hostId: string, headers: Headers): Promise<number> {
  const token = (await bench.access.tokens()).find(
    ({ host_id, revoked }) => host_id === hostId && revoked === null,
  )!;
  return (await bench.ask('DELETE', `/api/v1/tokens/${token.id}`, headers)).status;
}

const TRIED: Record<string, Record<string, () => Promise<void>>> = {
  nothing: {
    'ask whether the collector is alive and ready': async () => {
      for (const path of ['/healthz', '/readyz']) assert.equal((await bench.ask('GET', path)).status, 200);
    },
    'load the page to sign in': async () => {
      // The status is 503 if the page is not built where the tests run.
      assert.ok([200, 503].includes((await bench.ask('GET', '/')).status));
    },
    'read findings': async () => readsNothing({}),
    'change anything': async () => changesNothing({}, 401),
    'report as a host': async () => assert.equal((await bench.agent('i-nobody', {})).outcome, '401'),
  },
  'an enrolment token': {
    'enrol a host that has not enrolled, and report as it': async () => {
      const { outcome, credential, rejected } = await bench.agent('i-new');
      assert.deepEqual([outcome, rejected], ['welcome', 0]);
      assert.match(credential!, /^imdsw_a/);
    },
    'read findings': async () => readsNothing(bearer(TOKEN)),
    'change anything': async () => changesNothing(bearer(TOKEN), 401),
    'speak for a host that has a credential or a certificate': async () => {
      const credential = await enrol('i-owned');
      const claims = [{}, { enrolment_key: 'x'.repeat(43) }, { protocol_max: 1 }];
      for (const claim of claims) {
        const { outcome } = await bench.agent('i-owned', bearer(TOKEN), { claim });
        assert.ok(['host', 'invalid'].includes(outcome), outcome);
      }
      assert.equal((await bench.agent('i-owned', bearer(credential))).outcome, 'welcome');
      // The row about certificates below tests the certificate.
    },
  },
  "an enrolment token, and the enrolment key of the host's agent": {
    'get a new credential for that host, which revokes the former one': async () => {
      const first = await enrol('i-keyed', { enrolment_key: KEY });
      const second = await enrol('i-keyed', { enrolment_key: KEY });
      assert.equal((await bench.agent('i-keyed', bearer(first))).outcome, '401');
      assert.equal((await bench.agent('i-keyed', bearer(second))).outcome, 'welcome');
    },
    'get a credential for another host': async () => {
      await enrol('i-keyed-2', { enrolment_key: KEY });
      await enrol('i-keyed-3', { enrolment_key: 'z'.repeat(43) });
      const { outcome } = await bench.agent('i-keyed-3', bearer(TOKEN), { claim: { enrolment_key: KEY } });
      assert.equal(outcome, 'host');
    },
    'get a credential after an admin has released the host and it enrolled again': async () => {
      await enrol('i-released', { enrolment_key: KEY });
      assert.equal(await release('i-released', (await bench.person('admin')).headers), 204);
      await enrol('i-released', { enrolment_key: 'n'.repeat(43) });
      const { outcome } = await bench.agent('i-released', bearer(TOKEN), { claim: { enrolment_key: KEY } });
      assert.equal(outcome, 'host');
    },
  },
  "an agent's credential": {
    'report as its one host': async () => {
      const answer = await bench.agent('i-agent', bearer(await enrol('i-agent')));
      assert.deepEqual(answer, { outcome: 'welcome', rejected: 0 });
    },
    'read findings': async () => readsNothing(bearer(await enrol('i-reader'))),
    'change anything': async () => changesNothing(bearer(await enrol('i-changer')), 401),
    'report as another host': async () => {
      const credential = await enrol('i-liar');
      assert.equal((await bench.agent('i-somebody', bearer(credential))).outcome, 'host');
    },
  },
  "an agent's client certificate": {
    'report as its one host': async () => {
      const { own } = await withCertificate();
      assert.equal(own, 'welcome');
    },
    'report as another host': async () => {
      const { other, byToken } = await withCertificate();
      assert.deepEqual([other, byToken], ['host', 'host']);
    },
  },
  "a viewer's token": {
    'read all findings and metrics': async () => readsFindings((await bench.person('viewer')).headers),
    'watch the live feed': async () => {
      assert.equal(
        (await bench.ask('GET', '/api/v1/live', (await bench.person('viewer')).headers)).status,
        200,
      );
    },
    'change anything': async () => changesNothing((await bench.person('viewer')).headers, 403),
    'see tokens, alert destinations and the audit log': async () => {
      const { headers } = await bench.person('viewer');
      for (const path of ADMINISTRATION)
        assert.equal((await bench.ask('GET', path, headers)).status, 403, path);
    },
  },
  "a viewer's token with a scope": {
    'read the findings of the hosts of its scope': async () => {
      const { headers } = await bench.person('viewer', SCOPE);
      for (const path of FINDINGS.filter((each) => !WHOLE_FLEET.includes(each)))
        assert.equal((await bench.ask('GET', path, headers)).status, 200, path);
    },
    'change anything': async () => changesNothing((await bench.person('viewer', SCOPE)).headers, 403),
    // The test of scopes asks every route for what is planted on other hosts.
    'see alerts, plans, metrics and anything of other hosts': async () => {
      const { headers } = await bench.person('viewer', SCOPE);
      for (const path of [...WHOLE_FLEET, '/api/v1/plans', ...ADMINISTRATION])
        assert.equal((await bench.ask('GET', path, headers)).status, 403, path);
      assert.equal((await bench.ask('GET', '/api/v1/hosts/i-other', headers)).status, 404);
    },
  },
  "an auditor's token": {
    'everything that a viewer may': async () => readsFindings((await bench.person('auditor')).headers),
    'read the audit log': async () => readsAudit((await bench.person('auditor')).headers),
    'change anything': async () => changesNothing((await bench.person('auditor')).headers, 403),
    'see tokens and alert destinations': async () => {
      const { headers } = await bench.person('auditor');
      for (const path of ADMINISTRATION.filter((each) => each !== '/api/v1/audit'))
        assert.equal((await bench.ask('GET', path, headers)).status, 403, path);
    },
  },
  "an admin's token": {
    'everything that an auditor may': async () => {
      const { headers } = await bench.person('admin');
      await readsFindings(headers);
      await readsAudit(headers);
    },
    'create and revoke tokens': async () => {
      const { headers } = await bench.person('admin');
      const made = await bench.ask('POST', '/api/v1/tokens', headers, { kind: 'enrolment', name: 'x' });
      assert.equal(made.status, 201);
      const { token } = (await made.json()) as { token: { id: string } };
      assert.equal((await bench.ask('DELETE', `/api/v1/tokens/${token.id}`, headers)).status, 204);
    },
    'release a host, so that it can enrol again': async () => {
      await enrol('i-rebuilt');
      assert.equal((await bench.agent('i-rebuilt')).outcome, 'host');
      assert.equal(await release('i-rebuilt', (await bench.person('admin')).headers), 204);
      await enrol('i-rebuilt');
      const [, entry] = await bench.access.auditLog({ limit: 2 });
      assert.deepEqual([entry?.actor, entry?.action], ['admin', 'token.revoke']);
    },
    'set alerts, retention, the triage of offenders and the figures of the cloud': async () => {
      const { headers } = await bench.person('admin');
      assert.equal((await bench.ask('POST', '/api/v1/alert/destinations', headers, DESTINATION)).status, 201);
      const retention = { raw_days: 14, rollup_days: 400, max_bytes: 20 * 1024 ** 3 };
      assert.equal((await bench.ask('PUT', '/api/v1/retention', headers, retention)).status, 200);
      // The status 404 shows that the role is permitted: there is no such workload.
      const workload = '/api/v1/offenders/0123456789abcdef/triage';
      assert.equal((await bench.ask('PATCH', workload, headers, { state: 'fixed' })).status, 404);
      const cloud = (await bench.routes()).filter(({ path }) => path.startsWith('/api/v1/cloud/'));
      assert.ok(cloud.length > 0);
      // The status 400 shows that the role is permitted: the empty body is not valid.
      for (const { method, path } of cloud)
        assert.equal((await bench.ask(method, path, headers, {})).status, 400);
    },
    'read a stored secret': async () => {
      const { headers, secret } = await bench.person('admin');
      await bench.ask('POST', '/api/v1/alert/destinations', headers, { ...DESTINATION, name: 'another' });
      for (const path of ADMINISTRATION) {
        const text = await (await bench.ask('GET', path, headers)).text();
        for (const one of [secret, TOKEN, DESTINATION.config.values.secret, 'path-secret']) {
          assert.ok(!text.includes(one), `${path} says a secret`);
        }
      }
    },
  },
  'a sign-in link': {
    'sign in once, with the role that it was made for': async () => {
      const code = await bench.signInCode('viewer');
      const signedIn = await signIn(code);
      assert.equal(signedIn.status, 201);
      assert.equal(((await signedIn.json()) as { role: string }).role, 'viewer');
      assert.equal((await signIn(code)).status, 401);
    },
    'sign in after 15 minutes': async () => {
      await timed(async (b) => {
        const code = await b.access.createSignInCode(
          { role: 'admin', scope: null },
          { name: 'test', sourceAddress: null },
        );
        b.nowMs += 15 * MINUTE_MS;
        assert.equal(await b.access.signIn(code, null), null);
      });
    },
    'do anything else': async () => readsNothing(bearer(await bench.signInCode('admin'))),
  },
  'a session of the page': {
    "everything that its token may, from the collector's own page": async () => {
      await readsFindings((await session('viewer')).headers);
      const { headers } = await session('admin');
      const own = { ...headers, origin: bench.collector.pageUrl };
      const body = { kind: 'enrolment', name: 'x' };
      assert.equal((await bench.ask('POST', '/api/v1/tokens', own, body)).status, 201);
      const viewer = { ...(await session('viewer')).headers, origin: bench.collector.pageUrl };
      assert.equal((await bench.ask('POST', '/api/v1/tokens', viewer, body)).status, 403);
    },
    'change anything from another page': async () => {
      const { headers } = await session('admin');
      await changesNothing({ ...headers, origin: 'https://elsewhere.example' }, 403);
      await changesNothing(headers, 403);
    },
    'last longer than 7 days, or longer than 12 hours without use': async () => {
      await timed(async (b) => {
        const { session: unused } = await b.signIn((await b.person('viewer')).secret);
        b.nowMs += 12 * HOUR_MS + 2 * MINUTE_MS;
        assert.equal(await b.bySession(unused), null);
        const { session: used } = await b.signIn(
          (
            await b.access.createToken(
              { kind: 'person', name: 'bob', role: 'viewer' },
              { name: 'test', sourceAddress: null },
            )
          ).secret,
        );
        for (let hours = 0; hours < 7 * 24 - 6; hours += 6) {
          b.nowMs += 6 * HOUR_MS;
          assert.notEqual(await b.bySession(used), null, `${hours} h`);
          await b.access.poll(); // A timer does this once a second.
        }
        b.nowMs += DAY_MS / 4 + MINUTE_MS;
        assert.equal(await b.bySession(used), null);
      });
    },
    'outlive its token': async () => {
      const { headers, tokenId } = await session('viewer');
      await bench.ask('DELETE', `/api/v1/tokens/${tokenId}`, (await bench.person('admin')).headers);
      await readsNothing(headers);
    },
  },
  'a trusted proxy (`proxy_user_header`)': {
    'name the person that it has signed in': async () => {
      const proxied = await VisitorBench.open({
        proxy_user_header: PROXY_HEADER,
        proxy_trusted_addresses: ['127.0.0.1'],
      });
      try {
        const answer = await proxied.ask('GET', '/api/v1/session', { [PROXY_HEADER]: 'alice' });
        assert.deepEqual(await answer.json(), { name: 'alice', role: 'viewer', scope: null, via: 'proxy' });
      } finally {
        await proxied.end();
      }
    },
    'name a person from an address that is not in `proxy_trusted_addresses`': () =>
      readsNothing({ [PROXY_HEADER]: 'alice' }),
  },
  'the identity provider (`oidc_issuer`)': {
    'name the person that it has signed in, and the groups that decide the role and the scope': async () => {
      const found = await sessionsAtProvider([['admins'], ['shop'], ['shop', 'viewers']]);
      assert.deepEqual(
        found.map(({ name, role, scope }) => [name, role, scope]),
        [
          ['ada', 'admin', null],
          ['ada', 'viewer', SCOPE],
          ['ada', 'viewer', null],
        ],
      );
    },
    'let in a person without a group that a setting names': async () => {
      const found = await sessionsAtProvider([[], ['Admins'], ['admins '], ['staff', 'imds']]);
      for (const { status, name } of found) assert.deepEqual([status, name], [403, undefined]);
    },
    'keep a session for longer than `oidc_session_hours`': async () => {
      await timed(async (b) => {
        const grant = { role: 'viewer', scope: null } as const;
        const person = { person: 'ada', name: 'ada', grant, idToken: 'sealed', detail: '', maxMs: HOUR_MS };
        const opened = await b.access.openSession(person, null);
        assert.ok('session' in opened);
        b.nowMs += HOUR_MS - MINUTE_MS;
        assert.equal((await b.bySession(opened.session))?.name, 'ada');
        b.nowMs += MINUTE_MS;
        assert.equal(await b.bySession(opened.session), null);
      });
    },
    'end tokens and sign-in links, which work while it is away': async () => {
      const port = await freePort();
      const url = `http://127.0.0.1:${port}`;
      const listen = `127.0.0.1:${port}`;
      const away = await VisitorBench.open({ ...providerSettings('http://127.0.0.1:9', url), listen });
      try {
        const { secret, headers } = await away.person('admin');
        assert.equal((await away.ask('GET', '/api/v1/tokens', headers)).status, 200);
        const own = { origin: url };
        for (const each of [secret, await away.signInCode('admin')])
          assert.equal((await away.ask('POST', '/api/v1/session', own, { secret: each })).status, 201);
      } finally {
        await away.end();
      }
    },
  },
  "write access to the collector's files": {
    everything: async () => {
      // `bench.person` writes beside the collector, as "imdswatch token create" does.
      const { headers } = await bench.person('admin');
      assert.equal((await bench.ask('GET', '/api/v1/tokens', headers)).status, 200);
    },
  },
};

it('tests every claim of the table in the documentation', () => {
  const document = readFileSync(join(import.meta.dirname, '../../../../docs/security.md'), 'utf8');
  assert.ok(document.includes(permissionsPart()), '"npm run docs" writes it');
  const claims = (of: Record<string, object>) =>
    Object.fromEntries(Object.entries(of).map(([who, what]) => [who, Object.values(what).flat()]));
  const tried = Object.fromEntries(Object.entries(TRIED).map(([who, what]) => [who, Object.keys(what)]));
  assert.deepEqual(
    tried,
    claims(PERMISSIONS as Record<string, object>),
    'each claim has its test, and each test its claim',
  );
});

for (const [who, { may, mayNot }] of Object.entries(PERMISSIONS)) {
  describe(`a request with ${who}`, () => {
    const skip = who.includes('certificate') && NO_OPENSSL;
    for (const claim of may) it(`may ${claim}`, { skip }, () => TRIED[who]![claim]!());
    for (const claim of mayNot) it(`may not ${claim}`, { skip }, () => TRIED[who]![claim]!());
  });
}
