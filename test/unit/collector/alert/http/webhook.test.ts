import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import { ALERT, kept, SECRET, sendTo } from '../../../../support/collector/alert/channel_bench.ts';
import { httpReceiver, status } from '../../../../support/collector/alert/http_receiver.ts';

test('webhook: the alert as JSON with its version, signed, and the same key at every attempt', async () => {
  const receiver = kept(await httpReceiver(status(204)));
  for (let attempt = 0; attempt < 2; attempt++) {
    assert.deepEqual(
      await sendTo({ kind: 'http', preset: 'webhook', values: { url: receiver.url, secret: SECRET } }),
      { ok: true },
    );
  }
  const [first, second] = receiver.received;
  assert.equal(first!.method, 'POST');
  assert.equal(first!.path, '/hook/T0PSECRETPATH?key=T0PSECRETKEY');
  assert.match(first!.headers['content-type']!, /^application\/json/);
  assert.deepEqual(JSON.parse(first!.body.toString()), { version: 2, ...ALERT });
  const expected = createHmac('sha256', SECRET).update(first!.body).digest('hex');
  assert.equal(first!.headers['x-imdswatch-signature'], `sha256=${expected}`);
  assert.equal(first!.headers['idempotency-key'], `"${ALERT.id}"`);
  assert.equal(second!.headers['idempotency-key'], `"${ALERT.id}"`);
});

test('webhook: without a secret there is no signature; a user in the URL becomes Authorization', async () => {
  const receiver = kept(await httpReceiver(status(200)));
  const url = receiver.url.replace('http://', 'http://joe:p%40ss@');
  assert.deepEqual(await sendTo({ kind: 'http', preset: 'webhook', values: { url } }), { ok: true });
  const { headers } = receiver.received[0]!;
  assert.equal(headers['x-imdswatch-signature'], undefined);
  assert.equal(headers.authorization, `Basic ${Buffer.from('joe:p@ss').toString('base64')}`);
});

test('webhook: anything but 2xx is a failure, and a redirect is not followed', async () => {
  const elsewhere = kept(await httpReceiver(status(200)));
  for (const code of [199 + 1, 301, 302, 307, 308, 400, 404, 500, 503]) {
    const receiver = kept(await httpReceiver(status(code, { location: elsewhere.url })));
    const result = await sendTo({ kind: 'http', preset: 'webhook', values: { url: receiver.url } });
    assert.equal(result.ok, code === 200, String(code));
    if (!result.ok) assert.match(result.error, new RegExp(`HTTP ${code}`));
  }
  assert.equal(elsewhere.received.length, 0);
});

test('webhook: a server that never answers fails in time, and one that never ends its answer does not delay', async () => {
  const hanging = kept(await httpReceiver(() => undefined));
  const began = performance.now();
  const result = await sendTo(
    { kind: 'http', preset: 'webhook', values: { url: hanging.url } },
    { timeoutMs: 200 },
  );
  assert.deepEqual(result, {
    ok: false,
    error: 'no answer within 0.2 s',
    next: 'again',
    retryAfterMs: null,
  });
  assert.ok(performance.now() - began < 30_000);
  const endless = kept(await httpReceiver((response) => void response.writeHead(200).write('…')));
  assert.deepEqual(await sendTo({ kind: 'http', preset: 'webhook', values: { url: endless.url } }), {
    ok: true,
  });
});

test('an error names no part of a URL but its host', async () => {
  const receiver = await httpReceiver(status(200));
  await receiver.close();
  const refused = await sendTo({ kind: 'http', preset: 'slack', values: { url: receiver.url } });
  assert.equal(refused.ok, false);
  assert.match(JSON.stringify(refused), /ECONNREFUSED/);
  const resolve = async (host: string) => {
    throw new Error(`cannot resolve ${host}, wanted for ${receiver.url} and for T0PSECRETPATH`);
  };
  const unresolved = await sendTo(
    { kind: 'http', preset: 'slack', values: { url: 'http://hooks.example.com/hook/T0PSECRETPATH' } },
    {
      resolve: async () => {
        throw new Error('failed: http://hooks.example.com/hook/T0PSECRETPATH');
      },
    },
  );
  assert.doesNotMatch(JSON.stringify(unresolved), /T0PSECRET/);
  const other = await sendTo(
    { kind: 'http', preset: 'webhook', values: { url: receiver.url.replace('127.0.0.1', 'localhost') } },
    { resolve },
  );
  assert.doesNotMatch(JSON.stringify(other), /T0PSECRETPATH\?/);
});
