/** Signing in at a provider, or with answers, that lie: nobody gets in, and everybody learns why. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { MAX_ANSWER_BYTES, providerFetch } from '../../../../../collector/access/oidc/provider_fetch.ts';
import { REFUSAL_REASONS } from '../../../../../collector/access/oidc/refusal.ts';
import type { Collector } from '../../../../../collector/main.ts';
import { CookieBrowser } from '../../../../support/collector/access/oidc/cookie_browser.ts';
import {
  HostileProvider,
  json,
  unsigned,
} from '../../../../support/collector/access/oidc/hostile_provider.ts';
import { CLIENT_ID, CLIENT_SECRET } from '../../../../support/collector/access/oidc/test_provider.ts';
import { Bench } from '../../../../support/collector/in_process.ts';
import { Person } from '../../../../support/collector/person.ts';
import { freePort } from '../../../../support/free_port.ts';

const CALLBACK = '/sign-in/oidc/callback';
const bench = new Bench();
let provider: HostileProvider;
let collector: Collector;
let pageUrl: string;

async function collectorOf(
  issuer: string,
  settings: object = {},
): Promise<{ collector: Collector; pageUrl: string }> {
  const port = await freePort();
  const secretFile = join(bench.directory(), 'secret');
  writeFileSync(secretFile, `${CLIENT_SECRET}\n`);
  const pageUrl = `http://127.0.0.1:${port}`;
  const collector = await bench.collector({
    listen: `127.0.0.1:${port}`,
    public_url: pageUrl,
    oidc_issuer: issuer,
    oidc_client_id: CLIENT_ID,
    oidc_client_secret_file: secretFile,
    oidc_admin_groups: ['imds-admins'],
    proxy_user_header: 'x-forwarded-user',
    proxy_trusted_addresses: ['127.0.0.1'],
    ...settings,
  });
  return { collector, pageUrl };
}

before(async () => {
  provider = await HostileProvider.start();
  ({ collector, pageUrl } = await collectorOf(provider.issuer));
});
afterEach(() => provider.reset());
after(async () => {
  await provider.stop();
  await bench.end();
});

const toCallback = (browser: CookieBrowser) => browser.follow(`${pageUrl}/sign-in/oidc`, CALLBACK);
const counted = (reason: string) => collector.counters()['access']![`oidc_refused_${reason}`]!;
const sessionOf = async (browser: CookieBrowser) => (await browser.get(`${pageUrl}/api/v1/session`)).status;

/** Each sign-in comes from another network, as a trusted proxy says: failed ones are limited by network. */
let signIns = 0;
async function signIn(browser = new CookieBrowser()): Promise<{ status: number; text: string }> {
  signIns += 1;
  const headers = { 'x-forwarded-for': `10.${signIns}.0.1` };
  const answer = await browser.get(await toCallback(browser), { headers });
  return { status: answer.status, text: await answer.text() };
}

/** Signs in, and checks that it is refused with a text for the person, a count, and a cause in the log without tokens. */
async function refused(reason: 'invalid_answer' | 'provider_away', cause: RegExp): Promise<void> {
  const before = counted(reason);
  const browser = new CookieBrowser();
  const { status, text } = await signIn(browser);
  assert.equal(status, reason === 'provider_away' ? 503 : 502, text);
  assert.match(text, reason === 'provider_away' ? /cannot be reached now/ : /is not valid\. The log/);
  assert.equal(await sessionOf(browser), 401);
  assert.equal(counted(reason), before + 1);
  assert.equal(browser.cookies.get(pageUrl)?.size ?? 0, 0, 'no cookie stays');
  const causes = bench.logged.filter((line) => line['reason'] === reason).map((line) => line['cause']);
  assert.match(String(causes.at(-1)), cause);
}

/** No line of the log, at any level, has a token, a code, a secret or a part of the answers. */
function nothingSecretIsLogged(): void {
  const logged = JSON.stringify(bench.logged);
  assert.doesNotMatch(logged, /eyJ|access-token|code-\d|imdsw_s|<html/);
  assert.ok(!logged.includes(CLIENT_SECRET));
  for (const token of provider.tokens) assert.ok(!logged.includes(token.slice(0, 40)));
}

describe('an ID token', () => {
  it('of the good provider signs in, so that what follows fails for its reason', async () => {
    const browser = new CookieBrowser();
    assert.equal((await signIn(browser)).status, 200);
    assert.equal(await sessionOf(browser), 200);
  });

  it('with the nonce of another sign-in is refused', async () => {
    let first: unknown;
    provider.claims = (claims) => {
      first ??= claims['nonce'];
      return { ...claims, nonce: first };
    };
    assert.equal((await signIn()).status, 200);
    await refused('invalid_answer', /nonce/);
    provider.claims = ({ nonce: _, ...claims }) => claims;
    await refused('invalid_answer', /nonce/);
  });

  const now = () => Math.floor(Date.now() / 1000);
  for (const [name, change, cause] of [
    ['of another issuer', { iss: 'https://other.example' }, /"iss"/],
    ['for another client', { aud: 'another-client' }, /"aud"/],
    ['for several clients, of which another is authorized', { aud: [CLIENT_ID, 'x'], azp: 'x' }, /azp/],
    ['that has expired', { exp: now() - 600, iat: now() - 900 }, /expir|exp/],
    ['without an end', { exp: undefined }, /exp/],
    ['without a subject', { sub: undefined }, /sub/],
  ] as const) {
    it(`${name} is refused`, async () => {
      provider.claims = (claims) => ({ ...claims, ...change });
      await refused('invalid_answer', cause);
    });
  }

  it('without a signature, or with another algorithm than the provider names, is refused', async () => {
    provider.token = (_, claims) => unsigned(claims);
    await refused('invalid_answer', /alg|algorithm/);
    provider.token = (_, claims) => provider.confused(claims);
    await refused('invalid_answer', /alg|algorithm/);
    provider.token = (header, claims) => provider.signed({ ...header, alg: 'RS384' }, claims);
    await refused('invalid_answer', /alg/);
  });

  it('that another key has signed, or that was changed afterwards, is refused', async () => {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    provider.token = (header, claims) => provider.signed(header, claims, privateKey);
    await refused('invalid_answer', /signature/);
    provider.token = (header, claims) => {
      const [head, , signature] = provider.signed(header, claims).split('.');
      const [, body] = provider.signed(header, { ...claims, groups: ['imds-admins', 'x'] }).split('.');
      return `${head}.${body}.${signature}`;
    };
    await refused('invalid_answer', /signature/);
  });

  it('is checked with the keys of now: new ones count at once, and old ones no longer', async () => {
    assert.equal((await signIn()).status, 200);
    provider.rotate();
    assert.equal((await signIn()).status, 200, 'a new key');
    provider.rotate({ keepsId: true });
    assert.equal((await signIn()).status, 200, 'a new key with the name of the old one');
    let old = '';
    provider.token = (header, claims) => {
      old = provider.signed(header, claims);
      provider.rotate();
      return old;
    };
    await refused('invalid_answer', /key/);
  });
});

describe('an answer', () => {
  it('without the cookie, or with that of a sign-in that has ended, opens no session', async () => {
    const before = counted('state');
    const browser = new CookieBrowser();
    const callback = await toCallback(browser);
    assert.equal((await new CookieBrowser().get(callback)).status, 400);
    const other = new CookieBrowser();
    await toCallback(other);
    assert.equal((await other.get(callback)).status, 400, 'the cookie of another sign-in');
    assert.equal((await browser.get(callback)).status, 200);
    assert.equal((await browser.get(callback)).status, 400, 'the provider would take the code twice');
    assert.equal(counted('state'), before + 3);
  });

  it('gives a session of its own, whatever session the browser had', async () => {
    const planted = new CookieBrowser();
    await signIn(planted);
    const attacker = planted.cookies.get(pageUrl)!.get('imdswatch')!;
    const victim = new CookieBrowser();
    victim.cookies.set(pageUrl, new Map([['imdswatch', attacker]]));
    await signIn(victim);
    const own = victim.cookies.get(pageUrl)!.get('imdswatch')!;
    assert.notEqual(own, attacker);
    const made = new CookieBrowser();
    made.cookies.set(pageUrl, new Map([['imdswatch', `imdsw_s${'A'.repeat(43)}`]]));
    await signIn(made);
    assert.notEqual(made.cookies.get(pageUrl)!.get('imdswatch'), `imdsw_s${'A'.repeat(43)}`);
    assert.equal(await sessionOf(made), 200);
  });
});

describe('a provider', () => {
  /** Answers after 5 MB that are not read, so that a collector which reads all of it is seen. */
  const flood = (response: ServerResponse, sent: { bytes: number }) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    const part = Buffer.alloc(1024 * 1024, ' ');
    const more = () => {
      while (sent.bytes < 100 * part.length && !response.destroyed) {
        sent.bytes += part.length;
        if (!response.write(part)) {
          response.once('drain', more);
          return;
        }
      }
      response.end();
    };
    more();
  };

  it('that sends 100 MB is cut off, and is said to be away', async () => {
    for (const path of ['/token', '/jwks']) {
      const sent = { bytes: 0 };
      provider.answers.set(path, (response) => flood(response, sent));
      await refused('provider_away', /more than 1 MiB/);
      assert.ok(sent.bytes < 30 * MAX_ANSWER_BYTES, `${sent.bytes} bytes`);
      provider.reset();
    }
  });

  it('that leads elsewhere is not followed', async () => {
    let visits = 0;
    const trap = createServer((_, response) => {
      visits += 1;
      response.end('{}');
    });
    await new Promise<void>((done) => trap.listen(0, '127.0.0.1', done));
    bench.atEnd(() => trap.close());
    const address = `http://127.0.0.1:${(trap.address() as AddressInfo).port}/latest/meta-data/`;
    for (const path of ['/token', '/jwks']) {
      for (const status of [302, 307]) {
        provider.answers.set(path, (response) => response.writeHead(status, { location: address }).end());
        await refused('invalid_answer', /./);
        provider.reset();
      }
    }
    const other = await HostileProvider.start();
    other.answers.set('/.well-known/openid-configuration', (response) =>
      response.writeHead(302, { location: address }).end(),
    );
    const away = await collectorOf(other.issuer);
    const answer = await fetch(`${away.pageUrl}/sign-in/oidc`, { redirect: 'manual' });
    assert.equal(answer.status, 502);
    await other.stop();
    assert.equal(visits, 0);
  });

  it('that sends HTML, broken JSON, errors or nothing lets nobody in', async () => {
    const page = '<html><body>eyJhbGciOiJub25lIn0.secret</body></html>';
    for (const path of ['/token', '/jwks']) {
      for (const [status, type, body, reason] of [
        [200, 'text/html', page, 'invalid_answer'],
        [200, 'application/json', page, 'invalid_answer'],
        [200, 'application/json', '{"id_token":eyJhbGciOiJub25lIn0', 'invalid_answer'],
        [200, 'application/json', '[]', 'invalid_answer'],
        [204, 'application/json', '', 'invalid_answer'],
        [404, 'text/html', page, 'invalid_answer'],
        [500, 'text/html', page, 'provider_away'],
      ] as const) {
        provider.answers.set(path, (response) =>
          response.writeHead(status, { 'content-type': type }).end(body),
        );
        await refused(reason, /./);
      }
      provider.reset();
    }
    assert.equal((await signIn()).status, 200);
  });

  it('that names other endpoints than its own issuer, or none, lets nobody in', async () => {
    for (const change of [
      { issuer: 'https://other.example' },
      { issuer: undefined },
      { token_endpoint: undefined },
      { jwks_uri: 'not an address' },
    ]) {
      const other = await HostileProvider.start();
      other.answers.set('/.well-known/openid-configuration', (response) =>
        json(response, { ...other.metadata(), ...change }),
      );
      const own = await collectorOf(other.issuer);
      const browser = new CookieBrowser();
      const begun = await browser.get(`${own.pageUrl}/sign-in/oidc`);
      const answer =
        begun.status === 302
          ? await browser.get(await browser.follow(begun.headers.get('location')!, CALLBACK))
          : begun;
      assert.equal(answer.status, 502, JSON.stringify(change));
      await other.stop();
    }
  });

  it('that answers slowly or without an end is given up', async () => {
    const server = createServer((request, response) => {
      if (request.url === '/never') return;
      response.writeHead(200, { 'content-type': 'application/json' });
      const timer = setInterval(() => response.write(' '), 20);
      response.on('close', () => clearInterval(timer));
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    bench.atEnd(() => server.close());
    const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    for (const path of ['/never', '/endless']) {
      const init = {
        method: 'GET',
        headers: {},
        body: undefined,
        redirect: 'manual',
        signal: AbortSignal.timeout(300),
      } as const;
      await assert.rejects(providerFetch(`${base}${path}?code=secret`, init), (error: Error) => {
        assert.match(error.message, /no answer within 10 s/);
        assert.doesNotMatch(error.message, /secret/);
        return error.name === 'ProviderAwayError';
      });
    }
    server.closeAllConnections();
  });
});

it('a provider that never answers is given up after 10 s, and other sign-ins go on', async () => {
  provider.answers.set('/token', () => {});
  const before = counted('provider_away');
  const slow = signIn();
  const link = await Person.signIn(collector);
  assert.equal((await link.ask('/session')).status, 200);
  assert.equal((await slow).status, 503);
  assert.equal(counted('provider_away'), before + 1);
});

it('signing out works while the provider is away, also for a collector that has not reached it yet', async () => {
  for (const isNew of [false, true]) {
    const another = await HostileProvider.start();
    another.answers.set('/.well-known/openid-configuration', (response) =>
      json(response, { ...another.metadata(), end_session_endpoint: `${another.issuer}/end` }),
    );
    const data_dir = bench.directory();
    let own = await collectorOf(another.issuer, { data_dir });
    const browser = new CookieBrowser();
    await browser.get(await browser.follow(`${own.pageUrl}/sign-in/oidc`, CALLBACK));
    const cookies = new Map(browser.cookies.get(own.pageUrl)!);
    await another.stop();
    if (isNew) {
      await own.collector.stop();
      own = await collectorOf(another.issuer, { data_dir });
      browser.cookies.set(own.pageUrl, new Map(cookies));
    }
    const session = `${own.pageUrl}/api/v1/session`;
    assert.equal((await browser.get(session)).status, 200);
    const answer = await browser.get(session, { method: 'DELETE', headers: { origin: own.pageUrl } });
    // The endpoint of a provider that was reached before is known, and the browser may get there.
    assert.equal(answer.status, isNew ? 204 : 200);
    const stolen = new CookieBrowser();
    stolen.cookies.set(own.pageUrl, cookies);
    assert.equal((await stolen.get(session)).status, 401);
  }
});

it('every reason is counted by name, and nothing secret was logged', () => {
  const counters = collector.counters()['access']!;
  for (const reason of REFUSAL_REASONS) assert.equal(typeof counters[`oidc_refused_${reason}`], 'number');
  nothingSecretIsLogged();
});
