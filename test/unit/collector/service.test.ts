/** The collector as a whole: agents, people and their browsers on one port, over TLS, with the real store. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import * as z from 'zod';
import { hostDetail, overview } from '../../../collector/contract/host.ts';
import { type Offender, offender, offenderDetail } from '../../../collector/contract/offender.ts';
import { type ServedCall, servedCall } from '../../../collector/contract/served_call.ts';
import { HOST, makeCall } from '../../support/collector/calls.ts';
import { acknowledged, Bench } from '../../support/collector/in_process.ts';
import { eventually, range } from '../../support/collector/stored.ts';

const bench = new Bench();
afterEach(() => bench.end());

/** A browser that trusts the collector's own certificate, and keeps its cookie. */
class Browser {
  readonly #base: URL;
  readonly #ca: Buffer;
  cookie: string | null = null;

  constructor(base: string, ca: Buffer) {
    this.#base = new URL(base);
    this.#ca = ca;
  }

  open(path: string, method = 'GET', json?: unknown): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const asked = request(new URL(path, this.#base), {
        method,
        ca: this.#ca,
        agent: false,
        headers: {
          'Sec-Fetch-Site': 'same-origin',
          ...(this.cookie !== null && { Cookie: this.cookie }),
          ...(json !== undefined && {
            'Content-Type': 'application/json',
            'Content-Length': Buffer.byteLength(JSON.stringify(json)),
          }),
        },
      });
      asked.once('response', resolve).once('error', reject);
      asked.end(json === undefined ? undefined : JSON.stringify(json));
    });
  }

  async ask<T>(path: string, method = 'GET', json?: unknown): Promise<T> {
    const response = await this.open(path, method, json);
    const text = (await response.toArray()).join('');
    assert.ok(response.statusCode! < 300, `${method} ${path}: ${response.statusCode} ${text}`);
    return (text === '' ? null : JSON.parse(text)) as T;
  }

  async signIn(secret: string): Promise<void> {
    const response = await this.open('/api/v1/session', 'POST', { secret });
    assert.equal(response.statusCode, 201);
    const [setCookie] = response.headers['set-cookie']!;
    assert.match(setCookie!, /^__Host-imdswatch=.*; Secure/);
    this.cookie = setCookie!.split(';')[0]!;
    response.resume();
  }
}

test('from an agent over TLS to the page: live, then in every answer', async () => {
  const dataDir = bench.directory();
  const collector = await bench.collector({ tls_self_signed: true, data_dir: dataDir });
  const caFile = join(dataDir, 'self_signed.crt');
  const ca = readFileSync(caFile);
  assert.match(collector.address.url, /^wss:/);
  const browser = new Browser(collector.pageUrl, ca);
  assert.equal((await browser.open('/api/v1/overview')).statusCode, 401);
  const { origin, hash } = new URL(await collector.signInLink());
  assert.equal(origin, collector.pageUrl);
  await browser.signIn(hash.slice(1));

  const feed = await browser.open('/api/v1/live');
  assert.match(feed.headers['strict-transport-security']!, /^max-age/);
  const live: ServedCall[] = [];
  let unread = '';
  feed.on('data', (data: Buffer) => {
    const events = (unread + data).split('\n\n');
    unread = events.pop()!;
    for (const event of events) {
      const json = /^event: call\ndata: (.+)$/.exec(event)?.[1];
      if (json !== undefined) live.push(servedCall.strict().parse(JSON.parse(json)));
    }
  });
  feed.on('error', () => {});

  const outbox = bench.outbox(collector.address.url, { tls: { caFile, certFile: null, keyFile: null } });
  await eventually('connected', () => collector.counters()['ingest']!['connections'] === 1);
  const time = new Date().toISOString();
  for (const number of range(0, 50)) {
    outbox.call(
      makeCall({
        time,
        'url.path': `/latest/${number}`,
        'imds.version': 1,
        'imds.category': 'credentials',
        'imds.kind': 'read',
        'imds.role': 'web',
        'http.response.status_code': 200,
        outcome: 'answered',
      }),
    );
  }
  await eventually('on the screen', () => live.length > 0);
  await eventually('delivered', () => acknowledged(outbox) === 50 && live.length === 50);

  const { items } = await browser.ask<{ items: Offender[] }>('/api/v1/offenders');
  assert.equal(items.length, 1);
  const [found] = z.array(offender.strict()).parse(items);
  assert.equal(found!.severity, 'credentials');
  assert.equal(found!.calls_v1, 50);
  assert.equal(found!.id, live[0]!.offender);
  const detail = offenderDetail.strict().parse(await browser.ask(`/api/v1/offenders/${found!.id}`));
  assert.ok(detail.advice.headline.length > 0);
  const host = hostDetail.strict().parse(await browser.ask(`/api/v1/hosts/${HOST.id}`));
  assert.equal(host.calls_v1, 50);
  const seen = overview.strict().parse(await browser.ask('/api/v1/overview'));
  assert.equal(seen.calls.v1, 50);

  const paths = new Set<string | null>();
  let cursor: string | null = null;
  do {
    const page: { items: ServedCall[]; next: string | null } = await browser.ask(
      `/api/v1/calls?limit=7&offender=${found!.id}${cursor === null ? '' : `&cursor=${cursor}`}`,
    );
    for (const call of page.items) paths.add(servedCall.strict().parse(call)['url.path']);
    cursor = page.next;
  } while (cursor !== null);
  assert.equal(paths.size, 50);
  feed.destroy();
});

test("revoking an agent's credential closes its connection at once, until it enrols again", async () => {
  const dataDir = bench.directory();
  const collector = await bench.collector({ tls_self_signed: true, data_dir: dataDir });
  const caFile = join(dataDir, 'self_signed.crt');
  const browser = new Browser(collector.pageUrl, readFileSync(caFile));
  await browser.signIn(new URL(await collector.signInLink()).hash.slice(1));
  const outbox = bench.outbox(collector.address.url, { tls: { caFile, certFile: null, keyFile: null } });
  outbox.call(makeCall());
  await eventually('delivered', () => acknowledged(outbox) === 1);
  const { items } = await browser.ask<{ items: { id: string; kind: string; host_id: string }[] }>(
    '/api/v1/tokens',
  );
  const credential = items.find(({ kind }) => kind === 'agent')!;
  assert.equal(credential.host_id, HOST.id);
  const accepted = collector.counters()['ingest']!['accepted']!;
  await browser.ask(`/api/v1/tokens/${credential.id}`, 'DELETE');
  await eventually('it came again', () => collector.counters()['ingest']!['accepted']! > accepted);
  outbox.call(makeCall());
  await eventually('delivered by a new credential', () => acknowledged(outbox) === 2);
});

test('the collector stops in order with people and agents connected', async () => {
  const collector = await bench.collector();
  const outbox = bench.outbox(collector.address.url);
  outbox.call(makeCall());
  await eventually('delivered', () => acknowledged(outbox) === 1);
  const base = collector.pageUrl;
  const signedIn = await fetch(`${base}/api/v1/session`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', 'Sec-Fetch-Site': 'same-origin' },
    body: JSON.stringify({ secret: new URL(await collector.signInLink()).hash.slice(1) }),
  });
  const cookie = signedIn.headers.get('set-cookie')!.split(';')[0]!;
  const feed = await fetch(`${base}/api/v1/live`, { headers: { Cookie: cookie } });
  const reader = feed.body!.getReader();
  await reader.read();
  const began = performance.now();
  await collector.stop();
  assert.ok(performance.now() - began < 30_000);
  while (!(await reader.read()).done);
  await assert.rejects(fetch(`${base}/healthz`));
});

test('however "every address" is spelled, the page is announced under a name that a browser can open', async () => {
  for (const listen of ['[::]:0', '[0:0:0:0:0:0:0:0]:0', '[::0]:0']) {
    const collector = await bench.collector({ listen, insecure_http: true });
    assert.equal(collector.pageUrl, `http://localhost:${collector.address.port}`, listen);
    await collector.stop();
  }
});
