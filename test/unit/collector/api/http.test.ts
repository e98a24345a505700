/** Tests what all routes share: headers, methods, bodies, rate limits, files, health and metrics. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { CoalescedInsight } from '../../../../collector/api/coalesced_insight.ts';
import { storeProblem } from '../../../../collector/ingest/store_probe.ts';
import { type ApiBench, problemOf, startApi } from '../../../support/collector/api/api_bench.ts';
import { makeHost } from '../../../support/collector/api/findings.ts';

const directory = mkdtempSync(join(tmpdir(), 'imdswatch-test-'));
const page = join(directory, 'dist');
let api: ApiBench;
let ready: string | null = null;
before(async () => {
  api = await startApi({ pageDirectory: page, unready: async () => ready });
});
after(async () => {
  await api.end();
  rmSync(directory, { recursive: true });
});

/** Sends exactly these bytes, which no browser would send. Returns all that comes back. */
function raw(bytes: string): Promise<string> {
  const { hostname, port } = new URL(api.url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => socket.write(bytes));
    let answer = '';
    socket.on('data', (data) => {
      answer += data;
    });
    socket.on('close', () => resolve(answer));
    socket.on('error', reject);
    socket.setTimeout(2000, () => socket.destroy());
  });
}

test('the page: an answer if it is not built; index, assets, deep links, precompressed files', async () => {
  const missing = await api.ask('/', { as: 'nobody' });
  assert.equal(missing.status, 503);
  assert.match(await missing.text(), /not built/);

  mkdirSync(join(page, 'assets'), { recursive: true });
  writeFileSync(join(page, 'index.html'), '<!doctype html><title>page</title>');
  writeFileSync(join(page, 'assets/main-1a2b.js'), 'plain');
  writeFileSync(join(page, 'assets/main-1a2b.js.br'), 'brotli');
  writeFileSync(join(page, 'assets/main-1a2b.js.gz'), 'gzip');
  writeFileSync(join(directory, 'secret.txt'), 'outside');
  symlinkSync(join(directory, 'secret.txt'), join(page, 'link.txt'));
  for (const path of [
    '/',
    '/offenders/00ff',
    '/hosts',
    '/hosts/ip-10-0-0-1.eu-west-1.compute.internal',
    '/hosts/web.js',
    '/hosts/a%2Fb.example',
    '/sign-in',
    '/index.html',
  ]) {
    const response = await api.ask(path, { as: 'nobody' });
    assert.equal(response.status, 200, path);
    assert.equal(response.headers.get('content-type'), 'text/html; charset=utf-8');
    assert.equal(response.headers.get('cache-control'), 'no-cache');
    assert.match(await response.text(), /<title>page/);
  }
  const plain = await raw('GET /assets/main-1a2b.js HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  assert.match(plain, /immutable/i);
  assert.ok(plain.endsWith('plain') && !/content-encoding/i.test(plain));
  for (const [accept, encoding, body] of [
    ['gzip, br', 'br', 'brotli'],
    ['gzip, br;q=0', 'gzip', 'gzip'],
  ]) {
    const answer = await raw(
      `GET /assets/main-1a2b.js HTTP/1.1\r\nHost: x\r\nAccept-Encoding: ${accept}\r\nConnection: close\r\n\r\n`,
    );
    assert.ok(answer.toLowerCase().includes(`content-encoding: ${encoding}\r\n`));
    assert.ok(answer.includes('content-type: text/javascript') && answer.endsWith(body!));
  }
  await problemOf(await api.ask('/assets/main-0000.js', { as: 'nobody' }), 404);
});

test('no path leads out of the directory of the page', async () => {
  for (const path of [
    '/../secret.txt',
    '/assets/../../secret.txt',
    '/%2e%2e/secret.txt',
    '/..%2fsecret.txt',
    '/assets/..%5c..%5csecret.txt',
    '//secret.txt',
    '/link.txt',
    '/secret.txt%00.js',
    `/${join(directory, 'secret.txt')}`,
  ]) {
    const answer = await raw(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    assert.ok(answer.startsWith('HTTP/1.1 ') && !answer.includes('outside'), path);
    assert.ok(!answer.startsWith('HTTP/1.1 5'), `${path}: ${answer.slice(0, 60)}`);
  }
});

test('security headers are on every answer', async () => {
  for (const path of [
    '/',
    '/assets/main-1a2b.js',
    '/nothing.js',
    '/api/v1/overview',
    '/api/v1/nothing',
    '/healthz',
    '/metrics',
  ]) {
    for (const as of ['nobody', 'viewer'] as const) {
      const { headers } = await api.ask(path, { as });
      const policy = headers.get('content-security-policy')!;
      assert.match(policy, /default-src 'none'/);
      assert.match(policy, /frame-ancestors 'none'/);
      assert.ok(!/unsafe|https?:|\*/.test(policy), policy);
      assert.equal(headers.get('x-content-type-options'), 'nosniff');
      assert.equal(headers.get('referrer-policy'), 'no-referrer');
      assert.equal(headers.get('strict-transport-security'), null, 'not without TLS');
      assert.equal(headers.get('access-control-allow-origin'), null);
      if (path.startsWith('/api') || path === '/metrics')
        assert.equal(headers.get('cache-control'), 'no-store');
    }
  }
  const secure = await startApi({ tls: true });
  try {
    const { headers } = await secure.ask('/api/v1/overview');
    assert.match(headers.get('strict-transport-security')!, /^max-age=\d+$/);
  } finally {
    await secure.end();
  }
});

test('HEAD, OPTIONS, other methods, other paths', async () => {
  const head = await api.ask('/api/v1/offenders', { method: 'HEAD' });
  assert.equal(head.status, 200);
  assert.equal(await head.text(), '');
  const options = await api.ask('/api/v1/tokens', { method: 'OPTIONS', as: 'admin' });
  assert.equal(options.status, 204);
  assert.deepEqual(options.headers.get('allow')!.split(', ').sort(), ['GET', 'HEAD', 'OPTIONS', 'POST']);
  const wrong = await api.ask('/api/v1/overview', { method: 'DELETE', as: 'admin' });
  assert.equal(wrong.headers.get('allow'), 'GET, HEAD, OPTIONS');
  await problemOf(wrong, 405);
  await problemOf(await api.ask('/api/v1/nothing'), 404);
  await problemOf(await api.ask('/api/v1/nothing', { as: 'nobody' }), 401);
  await problemOf(await api.ask('/api', { as: 'viewer' }), 404);
  await problemOf(await api.ask('/', { method: 'POST', as: 'viewer', json: {} }), 405);
  await problemOf(await api.ask('/api/v1/nothing', { method: 'POST', as: 'viewer' }), 403);
});

test('a wrong token is refused, even with a valid cookie beside it', async () => {
  for (const authorization of ['Bearer wrong', 'Bearer', 'Basic YTpi', `Bearer ${api.tokens.viewer}x`]) {
    const response = await api.ask('/api/v1/overview', {
      as: 'nobody',
      headers: { Authorization: authorization },
    });
    assert.match(response.headers.get('www-authenticate')!, /^Bearer/);
    await problemOf(response, 401);
  }
  const proxied = { 'X-Forwarded-User': 'root' };
  await problemOf(await api.ask('/api/v1/overview', { as: 'nobody', headers: proxied }), 401);
});

test('an encoded path needs the same role as the plain one', async () => {
  for (const path of [
    '/api/v1/%74okens',
    '/api/v1/tokens/',
    '/api//v1/tokens',
    '//api/v1/tokens',
    '/API/v1/tokens',
  ]) {
    for (const as of ['nobody', 'viewer'] as const) {
      const text = await (await api.ask(path, { as })).text();
      assert.ok(!text.includes('"items"'), `${path} as ${as}: ${text}`);
    }
  }
  await problemOf(await api.ask('/api/v1/%74okens'), 403);
});

test('bodies must be bounded, have a length, and be JSON', async () => {
  const path = '/api/v1/retention';
  const put = { as: 'admin', method: 'PUT' } as const;
  const large = JSON.stringify({ filler: 'x'.repeat(70_000) });
  await problemOf(await api.ask(path, { ...put, json: large }), 413);
  const many = Array.from({ length: 2000 }, (_, number) => ({
    instance_id: `i-${number}`,
    http_tokens: 'required',
    hop_limit: 1,
  }));
  const post = { as: 'admin', method: 'POST', json: many } as const;
  assert.equal((await api.ask('/api/v1/cloud/instances', post)).status, 200, 'a larger bound there');
  await problemOf(await api.ask(path, { ...put, json: '{"raw_days":' }), 400);
  await problemOf(await api.ask(path, { ...put }), 400);
  const form = { 'Content-Type': 'application/x-www-form-urlencoded' };
  await problemOf(await api.ask(path, { ...put, json: 'raw_days=1', headers: form }), 415);
  const text = { 'Content-Type': 'text/plain' };
  await problemOf(await api.ask(path, { ...put, json: '{}', headers: text }), 415);
  const chunked = await raw(
    `PUT ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${api.tokens.admin}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n`,
  );
  assert.match(chunked, /^HTTP\/1\.1 411 /);
  const deep = `${'['.repeat(30_000)}${']'.repeat(30_000)}`;
  await problemOf(await api.ask(path, { ...put, json: deep }), 400);
});

test('invalid bytes on the socket are answered or the connection is closed, and the collector continues', async () => {
  for (const bytes of [
    'nonsense\r\n\r\n',
    'GET / HTTP/1.1\r\n\r\n',
    'GET /api/v1/overview HTTP/1.1\r\nHost: a b c\r\nConnection: close\r\n\r\n',
    `GET / HTTP/1.1\r\nHost: x\r\nA: ${'x'.repeat(40_000)}\r\n\r\n`,
    'GET /other HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
  ]) {
    assert.match(await raw(bytes), /^HTTP\/1\.1 4\d\d /, bytes.slice(0, 40));
  }
  assert.equal((await api.ask('/healthz', { as: 'nobody' })).status, 200);
});

test('too many requests are refused with a time to wait, and other clients are not affected', async () => {
  // The bucket refills so slowly that the duration of the test does not matter.
  const rate = { perSecond: 0.001, burst: 10 };
  const flooded = await startApi({}, { principal: rate, address: rate });
  try {
    const statuses = await Promise.all(
      Array.from({ length: 30 }, async () => (await flooded.ask('/api/v1/session')).status),
    );
    assert.equal(statuses.filter((status) => status === 200).length, 10);
    assert.equal(statuses.filter((status) => status === 429).length, 20);
    const refused = await flooded.ask('/api/v1/session');
    assert.ok(Number(refused.headers.get('retry-after')) >= 1);
    await problemOf(refused, 429);
    assert.equal((await flooded.ask('/api/v1/session', { as: 'admin' })).status, 200);
    assert.equal((await flooded.ask('/healthz', { as: 'nobody' })).status, 200);
    const metrics = await (await flooded.ask('/metrics', { as: 'admin' })).text();
    assert.ok(Number(/imdswatch_http_rate_limited_total (\d+)/.exec(metrics)![1]) >= 21);
  } finally {
    await flooded.end();
  }
});

test('equal questions at the same time are asked once, and later ones again', async () => {
  let asked = 0;
  const slow = async () => {
    asked += 1;
    await new Promise((resolve) => setTimeout(resolve, 20));
    return [];
  };
  // No time passes on this clock, so no answer is expensive enough to be kept.
  const insight = new CoalescedInsight({ ...api.parts.insight.fresh, hosts: slow }, () => 0);
  const question = { window: { sinceUs: 0, untilUs: 1 } };
  await Promise.all(Array.from({ length: 50 }, () => insight.hosts(question, {})));
  assert.equal(asked, 1);
  await Promise.all([insight.hosts(question, {}), insight.hosts(question, { text: 'x' })]);
  assert.equal(asked, 3);
  assert.deepEqual(insight.counters(), {
    questions: 52,
    questions_shared: 49,
    questions_remembered: 0,
    renewal_failures: 0,
    in_flight: 0,
  });
  const failing = new CoalescedInsight({
    ...api.parts.insight.fresh,
    hosts: async () => {
      throw new Error('once');
    },
  });
  await assert.rejects(failing.hosts(question, {}));
  await assert.rejects(failing.hosts(question, {}), /once/);
});

test('an expensive answer is kept, renewed in the background, and forgotten after a change', async () => {
  let now = 0;
  let asked = 0;
  let costMs = 400;
  const hosts = async () => {
    asked += 1;
    now += costMs;
    return [{ ...makeHost(asked), name: `answer ${asked}` }];
  };
  const insight = new CoalescedInsight({ ...api.parts.insight.fresh, hosts }, () => now);
  const lastDays = (days: number) => {
    const untilUs = Math.ceil(Date.now() / 1000) * 1_000_000;
    return { window: { sinceUs: untilUs - days * 86_400_000_000, untilUs } };
  };
  const name = async (days = 14) => (await insight.hosts(lastDays(days), {}))[0]!.name;
  assert.equal(await name(), 'answer 1');
  assert.equal(await name(), 'answer 1');
  assert.equal(await name(7), 'answer 2', 'another question');
  now += 1_100; // This is more than half of the 2 s for which the first answer is kept.
  assert.equal(await name(), 'answer 1', 'no one waits');
  assert.equal(asked, 3);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(await name(), 'answer 3');
  now += 2_100;
  assert.equal(await name(), 'answer 4', 'too old to be shown');
  insight.forget();
  assert.equal(await name(), 'answer 5');
  // An answer that is being worked out during a change is only for those who asked before it.
  const before = insight.hosts(lastDays(1), {});
  insight.forget();
  const after = insight.hosts(lastDays(1), {});
  assert.notEqual((await before)[0]!.name, (await after)[0]!.name);
  assert.equal(await name(1), (await after)[0]!.name);
  costMs = 10;
  insight.forget();
  assert.notEqual(await name(), await name(), 'what is cheap is asked anew');
  const { questions_remembered, renewal_failures } = insight.counters();
  assert.ok(questions_remembered! >= 3);
  assert.equal(renewal_failures, 0);
});

test('health: alive always, ready only while the store takes records', async () => {
  ready = 'The disk is full.';
  assert.equal((await problemOf(await api.ask('/readyz', { as: 'nobody' }), 503)).detail, ready);
  assert.equal((await api.ask('/healthz', { as: 'nobody' })).status, 200);
  ready = null;
  assert.equal((await api.ask('/readyz', { as: 'nobody' })).status, 200);
  const write = async () => [];
  assert.equal(await storeProblem({ write }, { failing: false }), null);
  assert.match((await storeProblem({ write }, { failing: true }))!, /data_dir/);
  const broken = async () => {
    throw new Error('no thread');
  };
  assert.match((await storeProblem({ write: broken }, { failing: false }))!, /no thread/);
});

/** Parses Prometheus' text format 0.0.4 as documented. Throws for a text that breaks it. */
function parseMetrics(text: string): Map<string, { type: string; samples: Map<string, number> }> {
  assert.ok(text.endsWith('\n'));
  const families = new Map<string, { type: string; samples: Map<string, number> }>();
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('# HELP ')) continue;
    const type = /^# TYPE ([a-z_:][a-z0-9_:]*) (counter|gauge|histogram|summary)$/i.exec(line);
    if (type !== null) {
      assert.ok(!families.has(type[1]!), `${type[1]} twice`);
      families.set(type[1]!, { type: type[2]!, samples: new Map() });
      continue;
    }
    const sample =
      /^([a-z_:][a-z0-9_:]*)(\{(?:[a-z_]\w*="(?:[^"\\\n]|\\.)*",?)*\})? (-?[0-9.e+-]+|NaN|[+-]Inf)( \d+)?$/i.exec(
        line,
      );
    assert.ok(sample !== null, line);
    const family = families.get(sample[1]!) ?? families.get(sample[1]!.replace(/_(bucket|sum|count)$/, ''));
    assert.ok(family !== undefined, `${line} without a type`);
    const key = `${sample[1]}${sample[2] ?? ''}`;
    assert.ok(!family.samples.has(key), `${key} twice`);
    family.samples.set(key, Number(sample[3]));
  }
  return families;
}

test('metrics: well formed, named by the conventions of Prometheus, with few labels', async () => {
  for (let number = 0; number < 30; number += 1) {
    await api.ask(`/api/v1/hosts/i-${number}`);
    await api.ask(`/nothing-${number}.js`, { as: 'nobody' });
    await api.ask(`/api/v1/nothing-${number}`);
  }
  await api.ask('/metrics');
  const response = await api.ask('/metrics');
  assert.match(response.headers.get('content-type')!, /^text\/plain; version=0\.0\.4/);
  const text = await response.text();
  const families = parseMetrics(text);
  for (const [name, { type, samples }] of families) {
    if (!name.startsWith('imdswatch_')) continue;
    if (type === 'counter') assert.match(name, /_total$/, name);
    if (type === 'gauge') assert.doesNotMatch(name, /_total$/, name);
    assert.ok(samples.size < 1000, name);
  }
  const value = (family: string, key: string) => families.get(family)!.samples.get(`${family}${key}`);
  assert.equal(value('imdswatch_hosts', '{state="silent"}'), 2);
  assert.equal(value('imdswatch_hosts_readiness', '{verdict="unproven"}'), 3);
  assert.equal(value('imdswatch_offenders', '{severity="credentials"}'), 5);
  assert.equal(value('imdswatch_store_used_bytes', ''), 4096);
  assert.equal(value('imdswatch_ingest_frames_total', ''), 3);
  assert.equal(value('imdswatch_ingest_connections', ''), 1);
  assert.ok(families.has('process_resident_memory_bytes'));
  const routes = new Set([...text.matchAll(/route="([^"]*)"/g)].map(([, route]) => route));
  assert.ok(routes.has('/api/v1/hosts/:id') && routes.has('page') && routes.has('none'), [...routes].join());
  assert.ok(![...routes].some((route) => /i-\d|nothing/.test(route!)), [...routes].join());
});

test('without an answer of the store the other metrics are served, and that is counted', async () => {
  const { store } = api.parts;
  const { statistics } = store;
  store.statistics = async () => {
    throw new Error('no answer');
  };
  try {
    const families = parseMetrics(await (await api.ask('/metrics')).text());
    assert.equal(families.get('imdswatch_metrics_findings_failures_total')!.samples.values().next().value, 1);
    assert.equal(families.get('imdswatch_hosts')!.samples.size, 0);
    assert.equal(families.get('imdswatch_store_used_bytes')!.samples.size, 0);
    assert.ok(families.get('imdswatch_ingest_frames_total')!.samples.size === 1);
  } finally {
    store.statistics = statistics;
  }
});

test('a failed answer is a problem document, and only the log has the cause', async () => {
  const { insight } = api.parts;
  const { overview } = insight;
  insight.overview = async () => {
    throw new Error('SELECT secret FROM nowhere');
  };
  try {
    const { detail } = await problemOf(await api.ask('/api/v1/overview'), 500);
    assert.doesNotMatch(detail, /SELECT/);
    assert.ok(JSON.stringify(api.logged).includes('SELECT secret'));
  } finally {
    insight.overview = overview;
  }
});
