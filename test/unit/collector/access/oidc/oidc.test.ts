/** Signing in by OpenID Connect, at a real provider on loopback. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Collector } from '../../../../../collector/main.ts';
import { CookieBrowser } from '../../../../support/collector/access/oidc/cookie_browser.ts';
import {
  CLIENT_ID,
  CLIENT_SECRET,
  TestProvider,
} from '../../../../support/collector/access/oidc/test_provider.ts';
import { Bench } from '../../../../support/collector/in_process.ts';
import { freePort } from '../../../../support/free_port.ts';

const CALLBACK = '/sign-in/oidc/callback';
const bench = new Bench();
let collector: Collector;
let provider: TestProvider;
let pageUrl: string;

async function settingsFor(issuer: string, port: number): Promise<Record<string, unknown>> {
  const secretFile = join(bench.directory(), 'secret');
  writeFileSync(secretFile, `${CLIENT_SECRET}\n`);
  return {
    listen: `127.0.0.1:${port}`,
    public_url: `http://127.0.0.1:${port}`,
    oidc_issuer: issuer,
    oidc_client_id: CLIENT_ID,
    oidc_client_secret_file: secretFile,
    oidc_admin_groups: ['imds-admins'],
    oidc_auditor_groups: ['imds-auditors'],
    oidc_viewer_groups: ['imds-viewers'],
    oidc_scoped_groups: ['payments=account:111122223333'],
    oidc_name: 'Test Login',
  };
}

before(async () => {
  const port = await freePort();
  pageUrl = `http://127.0.0.1:${port}`;
  provider = await TestProvider.start(pageUrl);
  bench.atEnd(() => provider.stop());
  collector = await bench.collector(await settingsFor(provider.issuer, port));
});
after(() => bench.end());

/** Goes to the provider and back, up to the callback, which is not asked. */
function toCallback(browser: CookieBrowser, query = ''): Promise<URL> {
  return browser.follow(`${pageUrl}/sign-in/oidc${query}`, CALLBACK);
}

async function signIn(
  person: string,
  query = '',
): Promise<{ browser: CookieBrowser; answer: Response; text: string }> {
  provider.person = person;
  const browser = new CookieBrowser();
  const answer = await browser.get(await toCallback(browser, query));
  return { browser, answer, text: await answer.text() };
}

async function session(
  browser: CookieBrowser,
): Promise<{ name: string; role: string; scope: unknown } | number> {
  const answer = await browser.get(`${pageUrl}/api/v1/session`);
  return answer.status === 200
    ? ((await answer.json()) as { name: string; role: string; scope: unknown })
    : answer.status;
}

const counter = (result: string) => collector.counters()['access']![`oidc_${result}`]!;

describe('a person whose group has a role', () => {
  for (const [person, name, role, scope] of [
    ['ada', 'ada@example.com', 'admin', null],
    ['audrey', 'audrey', 'auditor', null],
    ['victor', 'victor', 'viewer', null],
    ['sven', 'sven', 'viewer', [{ accounts: ['111122223333'] }]],
  ] as const) {
    it(`is signed in as ${role}${scope === null ? '' : ' with a scope'}: ${person}`, async () => {
      const accepted = counter('sign_ins');
      const { browser, answer, text } = await signIn(person);
      assert.equal(answer.status, 200, text);
      const found = await session(browser);
      assert.ok(typeof found === 'object');
      assert.deepEqual([found.name, found.role], [name, role]);
      assert.equal(found.scope === null, scope === null);
      if (scope !== null) assert.match(JSON.stringify(found.scope), /111122223333/);
      assert.equal(counter('sign_ins'), accepted + 1);
    });
  }

  it('gets cookies that scripts and other sites cannot use, and returns to the screen from before', async () => {
    provider.person = 'ada';
    const browser = new CookieBrowser();
    const begun = await browser.get(
      `${pageUrl}/sign-in/oidc?return_to=${encodeURIComponent('/hosts?q=a&b=%22')}`,
    );
    const [flow = ''] = begun.headers.getSetCookie();
    assert.match(flow, /^imdswatch-oidc=[\w-]+; Max-Age=600; Path=\/; HttpOnly; SameSite=Lax$/);
    const asked = new URL(begun.headers.get('location')!);
    assert.equal(asked.searchParams.get('code_challenge_method'), 'S256');
    assert.equal(asked.searchParams.get('redirect_uri'), pageUrl + CALLBACK);
    const answer = await browser.get(await browser.follow(asked.href, CALLBACK));
    assert.match(await answer.text(), /content="0; url=\/hosts\?q=a&amp;b=%22"/);
    const [cleared = '', set = ''] = answer.headers.getSetCookie();
    assert.match(cleared, /^imdswatch-oidc=; Max-Age=0/);
    assert.match(set, /^imdswatch=imdsw_s[\w-]{43}; Max-Age=43200; Path=\/; HttpOnly; SameSite=Strict$/);
  });

  it('is in the audit log with the subject, when signing in and out', async () => {
    const { browser } = await signIn('ada');
    const answer = await browser.get(`${pageUrl}/api/v1/session`, {
      method: 'DELETE',
      headers: { origin: pageUrl },
    });
    assert.equal(answer.status, 200);
    const { provider_url } = (await answer.json()) as { provider_url: string };
    const url = new URL(provider_url);
    assert.equal(url.origin, provider.issuer);
    assert.equal(url.searchParams.get('post_logout_redirect_uri'), `${pageUrl}/sign-in`);
    assert.match(url.searchParams.get('id_token_hint')!, /^[\w-]+\.[\w-]+\.[\w-]+$/);
    const confirm = await browser.get(url);
    assert.equal(confirm.status, 200, 'the provider accepts the hint and the address');
    assert.equal(await session(browser), 401);

    const { browser: again } = await signIn('ada');
    const audit = (await (await again.get(`${pageUrl}/api/v1/audit`)).json()) as {
      items: { action: string; subject: string; actor: string; detail: string | null }[];
    };
    const own = audit.items.filter(({ subject }) => subject === 'openid');
    assert.deepEqual(
      own.slice(0, 2).map(({ action, actor, detail }) => [action, actor, detail]),
      [
        ['session.open', 'ada@example.com', `role admin, subject "ada" of ${provider.issuer}`],
        ['session.close', 'ada@example.com', null],
      ],
    );
  });
});

describe('a person without a role', () => {
  for (const [person, reason, says] of [
    [
      'nora',
      'no_role',
      /the groups &quot;sales&quot;, &quot;&lt;b&gt;bold|the groups .*sales.*&lt;b&gt;bold/,
    ],
    ['mute', 'no_role', /has no claim .*oidc_groups_claim/],
    ['enid', 'groups_omitted', /more groups than it puts into a token.*oidc_groups_claim to roles/],
  ] as const) {
    it(`gets no session, and is told why: ${person}`, async () => {
      const refused = counter(`refused_${reason}`);
      const { browser, answer, text } = await signIn(person);
      assert.equal(answer.status, 403);
      assert.match(text, says);
      assert.doesNotMatch(text, /<b>/);
      assert.equal(await session(browser), 401);
      assert.equal(counter(`refused_${reason}`), refused + 1);
    });
  }

  it('whom the provider refuses gets the reason', async () => {
    const { browser, answer, text } = await signIn('nobody');
    assert.equal(answer.status, 403);
    assert.match(text, /\(access_denied\)/);
    assert.doesNotMatch(text, /not today/);
    assert.equal(await session(browser), 401);
  });
});

describe('an answer of the provider', () => {
  it('counts once, and only in the browser that asked', async () => {
    provider.person = 'ada';
    const browser = new CookieBrowser();
    const callback = await toCallback(browser);
    const own = new Map(browser.cookies.get(pageUrl)!);
    assert.equal((await new CookieBrowser().get(callback)).status, 400, 'another browser');
    assert.equal((await browser.get(callback)).status, 200);
    assert.equal((await browser.get(callback)).status, 400, 'the cookie is gone');
    const thief = new CookieBrowser();
    thief.cookies.set(pageUrl, own);
    const replayed = await thief.get(callback);
    assert.equal(replayed.status, 403, 'the provider takes a code once');
    assert.match(await replayed.text(), /\(invalid_grant\)/);
    assert.equal(await session(thief), 401);
  });

  it('does not count with the code of another sign-in', async () => {
    provider.person = 'ada';
    const [one, other] = [new CookieBrowser(), new CookieBrowser()];
    const first = await toCallback(one);
    const second = await toCallback(other);
    const mixed = new URL(second);
    mixed.searchParams.set('code', first.searchParams.get('code')!);
    assert.equal((await other.get(mixed)).status, 403);
    assert.equal(await session(other), 401);
  });

  it('does not count from another issuer, with a wrong state, or with two states', async () => {
    provider.person = 'ada';
    for (const [change, status] of [
      [(query: URLSearchParams) => query.set('iss', 'https://other.example'), 502],
      [(query: URLSearchParams) => query.delete('iss'), 502],
      [(query: URLSearchParams) => query.set('state', 'x'.repeat(43)), 400],
      [(query: URLSearchParams) => query.append('state', query.get('state')!), 400],
    ] as const) {
      const browser = new CookieBrowser();
      const callback = await toCallback(browser);
      change(callback.searchParams);
      assert.equal((await browser.get(callback)).status, status, callback.search);
      assert.equal(await session(browser), 401);
    }
  });

  it('does not count with a changed cookie', async () => {
    provider.person = 'ada';
    const browser = new CookieBrowser();
    const callback = await toCallback(browser);
    const cookies = browser.cookies.get(pageUrl)!;
    const sealed = cookies.get('imdswatch-oidc')!;
    const at = sealed.length >> 1;
    cookies.set(
      'imdswatch-oidc',
      sealed.slice(0, at) + (sealed[at] === 'A' ? 'B' : 'A') + sealed.slice(at + 1),
    );
    assert.equal((await browser.get(callback)).status, 400);
  });

  it('can be taken by another collector behind the same load balancer', async () => {
    provider.person = 'ada';
    const browser = new CookieBrowser();
    const callback = await toCallback(browser);
    const port = await freePort();
    const second = await bench.collector({
      ...(await settingsFor(provider.issuer, port)),
      public_url: pageUrl,
    });
    const there = `http://127.0.0.1:${port}`;
    browser.cookies.set(there, browser.cookies.get(pageUrl)!);
    assert.equal((await browser.get(`${there}${callback.pathname}${callback.search}`)).status, 200);
    assert.equal((await browser.get(`${there}/api/v1/session`)).status, 200);
    await second.stop();
  });

  it('leads to no other site', async () => {
    for (const path of [
      'https://evil.example/',
      '//evil.example',
      '/\\evil.example',
      '/.//evil.example',
      '/\t/evil.example',
    ]) {
      const { text } = await signIn('ada', `?return_to=${encodeURIComponent(path)}`);
      assert.match(text, /content="0; url=\/"/, path);
    }
  });
});

it('the page learns of the provider without a sign-in, and nothing secret is logged', async () => {
  const answer = await fetch(`${pageUrl}/api/v1/sign-in-ways`);
  assert.deepEqual(await answer.json(), { oidc: { name: 'Test Login', path: '/sign-in/oidc' } });
  await signIn('nora');
  const logged = JSON.stringify(bench.logged);
  assert.doesNotMatch(logged, /eyJ[\w-]+\.|code=|imdsw_s/);
  assert.ok(!logged.includes(CLIENT_SECRET));
});

it('a provider that is away at the start is asked again at each sign-in; links work meanwhile', async () => {
  const [port, providerPort] = [await freePort(), await freePort()];
  const base = `http://127.0.0.1:${port}`;
  const late = await bench.collector(await settingsFor(`http://127.0.0.1:${providerPort}`, port));
  const refused = await fetch(`${base}/sign-in/oidc`, { redirect: 'manual' });
  assert.equal(refused.status, 503);
  const text = await refused.text();
  assert.match(text, /cannot be reached now.*sign-in-link/);
  assert.doesNotMatch(text, /ECONNREFUSED/);
  assert.ok(
    bench.logged.some(
      ({ msg, reason }) => /nobody can sign in by OpenID/.test(msg) && /ECONNREFUSED/.test(String(reason)),
    ),
  );
  assert.match(await late.signInLink(), /sign-in#imdsw_c/);
  const back = await TestProvider.start(base, providerPort);
  try {
    const browser = new CookieBrowser();
    const callback = await browser.follow(`${base}/sign-in/oidc`, CALLBACK);
    assert.equal((await browser.get(callback)).status, 200);
  } finally {
    await back.stop();
  }
});
