/** Tests the files of the page over real HTTP, and the security headers of every answer. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type ApiBench, problemOf, startApi } from '../../../support/collector/api/api_bench.ts';
import { rawRequest } from '../../../support/collector/api/raw_request.ts';

const directory = mkdtempSync(join(tmpdir(), 'imdswatch-test-'));
const page = join(directory, 'dist');
let api: ApiBench;
before(async () => {
  api = await startApi({ pageDirectory: page });
});
after(async () => {
  await api.end();
  rmSync(directory, { recursive: true });
});

function raw(bytes: string): Promise<string> {
  return rawRequest(api.url, bytes);
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
    '/groups/asg%3Aweb-1.example',
    '/sign-in',
    '/index.html',
  ]) {
    const response = await api.ask(path, { as: 'nobody' });
    assert.equal(response.status, 200, path);
    assert.equal(response.headers.get('content-type'), 'text/html; charset=utf-8');
    assert.equal(response.headers.get('cache-control'), 'no-cache');
    assert.equal(response.headers.get('vary'), 'Accept-Encoding');
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
