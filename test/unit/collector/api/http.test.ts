/** Tests what all routes share: methods, tokens, bodies, rate limits, health and errors. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { storeProblem } from '../../../../collector/ingest/store_probe.ts';
import { DatabaseUnavailableError } from '../../../../collector/store/postgres/database_errors.ts';
import { type ApiBench, problemOf, startApi } from '../../../support/collector/api/api_bench.ts';
import { rawRequest } from '../../../support/collector/api/raw_request.ts';

let api: ApiBench;
let ready: string | null = null;
before(async () => {
  api = await startApi({ unready: async () => ready });
});
after(() => api.end());

function raw(bytes: string): Promise<string> {
  return rawRequest(api.url, bytes);
}

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

test('a failed answer is a problem document, and only the log has the cause', async () => {
  const { insight } = api.parts.views.of(null);
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

test('without its database the collector says so, and answers health checks and the page all the same', async () => {
  const { access } = api.parts;
  const { identifyUser } = access;
  const away = new DatabaseUnavailableError([{ place: 'db1:5432', reason: 'refused' }], null);
  access.identifyUser = () => Promise.reject(away);
  try {
    const answer = await api.ask('/api/v1/overview');
    assert.equal(answer.headers.get('retry-after'), '5');
    const { detail } = await problemOf(answer, 503);
    assert.match(detail, /database .* cannot be used now/);
    assert.doesNotMatch(detail, /db1/);
    assert.equal((await api.ask('/healthz')).status, 200);
    assert.doesNotMatch(await (await api.ask('/')).text(), /database/);
  } finally {
    access.identifyUser = identifyUser;
  }
  assert.equal((await api.ask('/api/v1/overview')).status, 200);
});
