/** Tests requests, their versions and their pairing with answers. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { Tracker } from '../../../../agent/conversation/tracker.ts';
import { IMDS_IPV4 } from '../../../../protocol/endpoints.ts';
import {
  answer,
  play,
  request,
  Script,
  START_US,
  TTL_ANSWER,
} from '../../../support/agent/conversation/script.ts';

const READ = 'GET /latest/meta-data/instance-id';
const TOKEN = { 'X-aws-ec2-metadata-token': 'AQAEAFakeFakeFakeFakeFakeFakeFakeFakeFakeFakeFakeFake==' };

describe('one request and its answer', () => {
  it('is reported as soon as the head of the answer is complete', () => {
    const script = new Script({ stepUs: 1_000 })
      .say({ from: 'client', text: request(READ, { 'User-Agent': 'curl/7.88.1' }) })
      .say({ from: 'server', text: 'HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\ni-0123' });
    const { live } = play(script.segments);
    assert.equal(live.length, 1);
    const { exchange, verdict } = live[0]!;
    assert.equal(verdict.version, 1);
    assert.equal(verdict.serverVersion, 1);
    assert.equal(exchange.outcome, 'answered');
    assert.equal(exchange.response?.status, 200);
    assert.equal(exchange.request.path, '/latest/meta-data/instance-id');
    assert.equal(exchange.request.userAgent, 'curl/7.88.1');
    assert.equal(exchange.responseUs! - exchange.startUs, 2_000);
  });

  it('keeps no token and no other header value', () => {
    const secret = 'AQAEAsecretsecretsecretsecretsecret==';
    const script = new Script()
      .say({
        from: 'client',
        text: request(`GET /latest/${secret}/x?a=${secret}&X-aws-ec2-metadata-token=plain1&ttl=5`, {
          'X-aws-ec2-metadata-token': secret,
          'User-Agent': `tool ${secret}`,
          Cookie: 'cookie-secret',
        }),
      })
      .say({
        from: 'server',
        text: answer(200, 'body-secret', { ...TTL_ANSWER, 'X-Other': 'other-secret' }),
      });
    const text = JSON.stringify(play(script.segments));
    for (const word of ['secretsecret', 'cookie-secret', 'body-secret', 'other-secret', 'plain1']) {
      assert.equal(text.includes(word), false, word);
    }
    assert.equal(text.includes('ttl=5'), true);
  });
});

describe('the version', () => {
  const versionOf = (text: string) => {
    const heard = play(new Script().say({ from: 'client', text }).segments).all;
    assert.equal(heard.length, 1, text);
    return heard[0]!.verdict.version;
  };

  it('is 2 with the exact header in any case and with any value', () => {
    for (const name of ['X-aws-ec2-metadata-token', 'x-aws-ec2-metadata-token', 'X-AWS-EC2-METADATA-TOKEN']) {
      for (const separator of [': ', ':', ':\t ']) {
        assert.equal(versionOf(`${READ} HTTP/1.1\r\nHost: a\r\n${name}${separator}AQ==\r\n\r\n`), 2);
      }
      assert.equal(versionOf(`${READ} HTTP/1.1\r\n${name}:\r\n\r\n`), 2);
      assert.equal(versionOf(`${READ} HTTP/1.1\n${name}: x\n\n`), 2);
    }
  });

  it('is 1 if the name only occurs in another place', () => {
    const name = 'x-aws-ec2-metadata-token';
    for (const text of [
      request(`GET /latest/${name}/x?${name}=abc`),
      request(READ, { [`${name}-ttl-seconds`]: '21600' }),
      request(READ, { [`my-${name}`]: 'x' }),
      request(READ, { 'X-Note': `${name}: x` }),
      request(READ, { 'User-Agent': name }),
      `${READ} HTTP/1.1\r\nX-Note: a\r\n ${name}: folded\r\n\r\n`,
      `${READ} HTTP/1.1\r\n${name} : space before the colon\r\n\r\n`,
      request('POST /latest/meta-data/', { 'Content-Length': '30' }, `${name}: in the body\r\n`.padEnd(30)),
    ]) {
      assert.equal(versionOf(text), 1, text);
    }
  });

  it('is 2 for a token request and 1 for a GET of its path', () => {
    assert.equal(
      versionOf(request('PUT /latest/api/token', { 'X-aws-ec2-metadata-token-ttl-seconds': '60' })),
      2,
    );
    assert.equal(versionOf(request('PUT //latest/api/token/')), 2);
    assert.equal(versionOf(request('GET /latest/api/token')), 1);
  });

  it('is right for 447 requests of real clients', () => {
    const lines = readFileSync(
      new URL('../../../support/fixtures/client-requests.jsonl', import.meta.url),
      'utf8',
    ).trim();
    let requests = 0;
    for (const line of lines.split('\n')) {
      const row = JSON.parse(line) as {
        client: string;
        method: string;
        path: string;
        raw: string;
        segments: number[];
        has_token: boolean;
        status: number | null;
      };
      const script = new Script().say({
        from: 'client',
        text: Buffer.from(row.raw, 'base64'),
        cuts: row.segments,
      });
      if (row.status) script.say({ from: 'server', text: answer(row.status, 'x') });
      const { all } = play(script.segments);
      assert.equal(all.length, 1, row.client);
      const { exchange, verdict } = all[0]!;
      const target =
        exchange.request.path! + (exchange.request.query === null ? '' : `?${exchange.request.query}`);
      assert.equal(exchange.request.method, row.method, row.client);
      assert.equal(target, row.path.replace(/^http:\/\/[^/]*/, ''), row.client);
      assert.equal(verdict.version, row.has_token || row.method === 'PUT' ? 2 : 1, row.client);
      assert.equal(exchange.outcome, row.status ? 'answered' : 'unanswered', row.client);
      assert.equal(exchange.response?.status ?? 0, row.status ?? 0, row.client);
      requests++;
    }
    assert.equal(requests, 447);
  });
});

describe('many requests on one connection', () => {
  it('each get their own verdict and their own answer', () => {
    const script = new Script()
      .say({
        from: 'client',
        text:
          request('PUT /latest/api/token', { 'X-aws-ec2-metadata-token-ttl-seconds': '60' }) +
          request(READ, TOKEN) +
          request(`HEAD /latest/user-data`) +
          request(
            'POST /latest/meta-data/x',
            { 'Content-Length': '40' },
            'GET /fake HTTP/1.1\r\n\r\n'.padEnd(40),
          ) +
          request(
            'PUT /latest/x',
            { 'Transfer-Encoding': 'chunked' },
            '5;x=y\r\nGET /\r\n0\r\nTrailer: x\r\n\r\n',
          ) +
          request('GET /latest/meta-data/iam/security-credentials/my%2Drole'),
      })
      .say({
        from: 'server',
        text:
          answer(200, 'tokentoken', TTL_ANSWER) +
          'HTTP/1.1 100 Continue\r\n\r\n' +
          'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Aws-Ec2-Metadata-Token-Ttl-Seconds: 9\r\n\r\n' +
          'a\r\nHTTP/1.1 5\r\n0\r\n\r\n' +
          'HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n' +
          'HTTP/1.1 204 No\r\n\r\n' +
          'HTTP/1.1 304 No\r\nContent-Length: 7\r\n\r\n' +
          'HTTP/1.0 401 No\r\n\r\nuntil close',
      });
    const { live, counters } = play(script.segments);
    assert.deepEqual(
      live.map(({ exchange, verdict }) => [
        verdict.version,
        exchange.request.method,
        exchange.response?.status,
        verdict.category,
        verdict.role,
      ]),
      [
        [2, 'PUT', 200, 'token', null],
        [2, 'GET', 200, 'metadata', null],
        [1, 'HEAD', 200, 'user-data', null],
        [1, 'POST', 204, 'other', null],
        [1, 'PUT', 304, 'other', null],
        [1, 'GET', 401, 'credentials', 'my-role'],
      ],
    );
    assert.equal(counters['interim_answers'], 1);
    assert.equal(counters['answers_without_request'], 0);
  });
});

describe('a connection that is silent at first', () => {
  it('is still known after minutes, but a SYN without an answer is not', () => {
    const first = new Script();
    const opened: boolean[] = [];
    let closed = 0;
    const calls: string[] = [];
    const tracker = new Tracker<null>(
      {
        connectionOpened: (_, atSyn) => {
          opened.push(atSyn);
          return null;
        },
        requestSeen: () => {},
        clientClosed: () => {},
        exchangeCompleted: (_, __, { outcome }) => calls.push(outcome),
        connectionClosed: () => closed++,
      },
      (address) => address === IMDS_IPV4,
    );
    first
      .wait(300_000_000)
      .say({ from: 'client', text: request(READ) })
      .say({ from: 'server', text: answer(200) });
    for (const segment of first.segments.slice(0, 3)) tracker.handleSegment(segment);
    for (const segment of new Script({ clientPort: 50_000, clientIsn: 5 }).segments.slice(0, 1))
      tracker.handleSegment(segment);
    for (let s = 0; s < 300; s++) tracker.tick(START_US + s * 1_000_000);
    assert.equal(closed, 1);
    assert.equal(tracker.counters()['half_open_expired'], 1);
    for (const segment of first.segments.slice(3)) tracker.handleSegment(segment);
    assert.deepEqual(calls, ['answered']);
    assert.deepEqual(opened, [true, true], 'not joined midway');
  });
});
