/** The client of the collector's API: what it asks again, what it never sends twice, and what it says. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import * as z from 'zod';
import { CollectorClient } from '../../../cli/collector_client/collector_client.ts';
import { CollectorAway } from '../../../cli/collector_client/collector_error.ts';
import { OperatorError } from '../../../common/operator_error.ts';

const SECRET = 'imdsw_pthe-secret-of-the-test';
const answer = z.object({ number: z.int() });

type Answering = (response: ServerResponse, request: IncomingMessage, count: number) => void;

async function served(t: TestContext, answering: Answering) {
  const requests: string[] = [];
  const tokens: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`);
    tokens.push(request.headers.authorization);
    request.resume().on('end', () => answering(response, request, requests.length));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  let token = SECRET;
  const client = new CollectorClient({
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    token: () => token,
    tokenFrom: '/etc/token',
    caFile: null,
  });
  t.after(() => {
    client.close();
    server.closeAllConnections();
    server.close();
  });
  return { client, requests, tokens, renew: (next: string) => (token = next) };
}

function problem(response: ServerResponse, status: number, detail: string, headers = {}): void {
  response.writeHead(status, { 'content-type': 'application/problem+json', ...headers });
  response.end(JSON.stringify({ status, detail }));
}

const ok = (response: ServerResponse, number: number) => response.end(JSON.stringify({ number }));

test('a read is asked again after a cut connection and a busy collector, with the token of that moment', async (t) => {
  const { client, requests, tokens, renew } = await served(t, (response, _, count) => {
    if (count === 1) response.destroy();
    else if (count === 2) problem(response, 503, 'The store is busy.', { 'retry-after': '0' });
    else ok(response, count);
    renew(`${SECRET}-${count}`);
  });
  assert.deepEqual(await client.get('/hosts', answer), { number: 3 });
  assert.deepEqual(requests, ['GET /api/v1/hosts', 'GET /api/v1/hosts', 'GET /api/v1/hosts']);
  assert.deepEqual(tokens, [`Bearer ${SECRET}`, `Bearer ${SECRET}-1`, `Bearer ${SECRET}-2`]);
});

test('a question in a body is asked again too, and the last failure is said', async (t) => {
  const { client, requests } = await served(t, (response) => problem(response, 503, 'The store is busy.'));
  await assert.rejects(client.ask('/enforcement/calls', {}, answer, { attempts: 2 }), (error) => {
    assert.ok(error instanceof CollectorAway);
    assert.match(error.message, /cannot answer now \(503\)\. The store is busy\./);
    return true;
  });
  assert.equal(requests.length, 2);
});

test('a change is sent once, whatever becomes of it', async (t) => {
  for (const fail of [
    (response: ServerResponse) => void response.destroy(),
    (response: ServerResponse) => problem(response, 503, 'The store is busy.', { 'retry-after': '0' }),
  ]) {
    const { client, requests } = await served(t, fail);
    await assert.rejects(client.change('POST', '/cloud/counts', [], answer), OperatorError);
    assert.equal(requests.length, 1);
  }
});

test('a collector that does not answer is given up after its time, and not asked again', async (t) => {
  const { client, requests } = await served(t, () => {});
  const beganMs = performance.now();
  await assert.rejects(client.get('/hosts', answer, { timeoutMs: 300 }), /gave no answer in 0\.3 s/);
  assert.ok(performance.now() - beganMs >= 290);
  assert.equal(requests.length, 1);
});

test('a body that never ends is given up as well', async (t) => {
  const { client } = await served(t, (response) => {
    response.writeHead(200);
    response.write('{"number":');
  });
  await assert.rejects(client.get('/hosts', answer, { timeoutMs: 300, attempts: 1 }), CollectorAway);
});

test('an export that is cut off is an error, not a shorter list', async (t) => {
  const { client } = await served(t, (response) => {
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    response.write('{"number":1}\n');
    setTimeout(() => response.destroy(), 50);
  });
  await assert.rejects(client.list('/hosts?text=a', answer), /cannot be reached/);
});

test('a list is asked for as an export with its filters', async (t) => {
  const { client, requests } = await served(t, (response) => response.end('{"number":1}\n{"number":2}\n'));
  assert.deepEqual(await client.list('/hosts?text=a', answer), [{ number: 1 }, { number: 2 }]);
  assert.deepEqual(requests, ['GET /api/v1/hosts?text=a&format=ndjson']);
});

test('what cannot be helped by asking again is said at once, with what to do, and never with the token', async (t) => {
  const cases: [Answering, number, RegExp][] = [
    [
      (response) => problem(response, 401, 'Sign in.'),
      3,
      /does not accept the token of \/etc\/token \(401\)/,
    ],
    [
      (response) => problem(response, 403, 'This needs the role admin.'),
      3,
      /GET \/hosts \(403\)\. This needs the role admin/,
    ],
    [
      (response) => problem(response, 404, 'There is nothing at /api/v1/hosts.'),
      1,
      /is too old: it has no GET \/hosts/,
    ],
    [
      (response) => problem(response, 404, 'No host "x" has ever reported.'),
      1,
      /does not have it: No host "x"/,
    ],
    [(response) => response.writeHead(404).end('<html>'), 1, /not an imdswatch collector/],
    [
      (response) => response.writeHead(302, { location: 'https://login.example' }).end(),
      1,
      /redirects to https:\/\/login\.example/,
    ],
    [(response) => response.end('<html>'), 1, /not understood \(it is no JSON\)/],
    [(response) => response.end('{"number":"x"}'), 1, /not understood \(number: /],
    [
      (response) => problem(response, 400, 'days: is wrong'),
      1,
      /refused GET \/hosts \(400\)\. days: is wrong/,
    ],
    [
      (response) => problem(response, 429, 'Too many requests.', { 'retry-after': '60' }),
      1,
      /cannot answer now \(429\)/,
    ],
  ];
  for (const [answering, code, says] of cases) {
    const { client, requests } = await served(t, answering);
    await assert.rejects(client.get('/hosts?secret=1', answer), (error) => {
      assert.ok(error instanceof OperatorError);
      assert.equal(error.exitCode, code, error.message);
      assert.match(error.message, says);
      assert.doesNotMatch(error.message, /imdsw_p|secret=1/);
      return true;
    });
    assert.equal(requests.length, 1, String(says));
  }
});

test('a thing that does not exist is null where that is an answer', async (t) => {
  const { client } = await served(t, (response) =>
    problem(response, 404, 'No instance belonged to the group.'),
  );
  assert.equal(await client.find('/groups/asg%3Aweb', answer), null);
});
