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
        [1, 'POST', 204, 'metadata', null],
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

describe('the end of a request', () => {
  it('is unanswered if the client closes and no answer comes', () => {
    const script = new Script().say({ from: 'client', text: request(READ) }).fin('client');
    const { all, live } = play(script.segments, { tickUs: 6_000_000 });
    assert.equal(live.length, 0);
    assert.deepEqual(
      all.map(({ exchange }) => exchange.outcome),
      ['unanswered'],
    );
  });

  it('is answered for a client that has closed its side', () => {
    const script = new Script()
      .say({ from: 'client', text: request(READ) })
      .fin('client')
      .wait(3_000_000)
      .say({ from: 'server', text: answer(200, 'x') })
      .fin('server');
    assert.deepEqual(
      play(script.segments).live.map(({ exchange }) => exchange.outcome),
      ['answered'],
    );
  });

  it('is reset if the connection is', () => {
    const script = new Script().say({ from: 'client', text: request(READ) }).reset('server');
    const { all } = play(script.segments, { tickUs: 500_000 });
    assert.deepEqual(
      all.map(({ exchange }) => exchange.outcome),
      ['reset'],
    );
  });

  it('is truncated if the head never ends', () => {
    const script = new Script().say({ from: 'client', text: `${READ} HTTP/1.1\r\nX-A: b\r\n` }).fin('client');
    const { all } = play(script.segments, { tickUs: 6_000_000 });
    assert.deepEqual(
      all.map(({ exchange, verdict }) => [exchange.outcome, verdict.version]),
      [['truncated', 1]],
    );
  });

  it('is not changed by a late answer, which is no second call', () => {
    const script = new Script().say({ from: 'client', text: request(READ) }).wait(70_000_000);
    const before = script.segments.length;
    script.say({ from: 'server', text: answer(200, 'x') });
    const heard: string[] = [];
    const tracker = new Tracker<null>(
      {
        connectionOpened: () => null,
        requestSeen: () => {},
        exchangeCompleted: (_tuple, _context, exchange) => heard.push(exchange.outcome),
        connectionClosed: () => {},
      },
      (address) => address === IMDS_IPV4,
    );
    for (const segment of script.segments.slice(0, before)) tracker.handleSegment(segment);
    tracker.tick(START_US + 65_000_000);
    assert.deepEqual(heard, ['unanswered']);
    for (const segment of script.segments.slice(before)) tracker.handleSegment(segment);
    tracker.finish();
    assert.deepEqual(heard, ['unanswered']);
    assert.equal(tracker.counters()['late_answers'], 1);
  });

  it('is answered by an early answer to an endless head', () => {
    const script = new Script()
      .say({ from: 'client', text: `${READ} HTTP/1.1\r\n${'X-Pad: y\r\n'.repeat(100)}` })
      .say({ from: 'server', text: answer(431) });
    const { live, all } = play(script.segments);
    assert.deepEqual(
      live.map(({ exchange }) => [exchange.outcome, exchange.response?.status]),
      [['answered', 431]],
    );
    assert.equal(all.length, 1);
  });

  it('belongs to another connection when the port is used again', () => {
    const one = new Script().say({ from: 'client', text: request(READ) });
    const two = new Script({ clientIsn: 77_777_777, startUs: one.segments.at(-1)!.timeUs + 100 })
      .say({ from: 'client', text: request(READ, TOKEN) })
      .say({ from: 'server', text: answer(200, 'x', TTL_ANSWER) });
    const { all, opened, closed } = play([...one.segments, ...two.segments]);
    assert.deepEqual(
      all.map(({ exchange, verdict }) => [verdict.version, exchange.outcome]),
      [
        [1, 'unanswered'],
        [2, 'answered'],
      ],
    );
    assert.equal(opened, 2);
    assert.equal(closed, 2);
  });
});

describe('an answer that never reaches its client', () => {
  it('does not count: it was captured on the host and dropped on the last hop to a container', () => {
    const token = request('PUT /latest/api/token', { 'X-aws-ec2-metadata-token-ttl-seconds': '60' });
    const script = new Script().say({ from: 'client', text: token });
    const asked = script.segments.length;
    script.say({ from: 'server', text: answer(200, 'tokentoken', TTL_ANSWER) });
    const [reply] = script.segments.splice(asked); // and not the acknowledgement behind it
    script.segments.push(reply!, { ...reply!, timeUs: reply!.timeUs + 300_000 });
    const closed = new Script().say({ from: 'client', text: token }).fin('client').segments.at(-1)!;
    script.segments.push({ ...closed, timeUs: reply!.timeUs + 1_000_000 });
    const { live, all, counters } = play(script.segments, { tickUs: 6_000_000 });
    assert.equal(live.length, 0);
    assert.deepEqual(
      all.map(({ exchange, verdict }) => [verdict.kind, exchange.outcome, exchange.response]),
      [['token', 'unanswered', null]],
    );
    assert.equal(counters['undelivered_answers'], 1);
  });

  it('counts if the client is silent at once (a capture of one direction)', () => {
    const script = new Script().say({ from: 'client', text: request(READ) });
    const asked = script.segments.length;
    script.say({ from: 'server', text: answer(200, 'x') });
    script.segments.splice(asked + 1);
    const { all } = play(script.segments, { tickUs: 6_000_000 });
    assert.deepEqual(
      all.map(({ exchange }) => exchange.outcome),
      ['answered'],
    );
  });
});

describe('bytes that were not seen', () => {
  it('before the capture began hide no later exchange', () => {
    const script = new Script({ syn: false })
      .say({ from: 'server', text: 'rest of a body' })
      .say({ from: 'client', text: request(READ) })
      .say({ from: 'server', text: answer(200, 'x') });
    const { all } = play(script.segments, { tickUs: 2_000_000 });
    assert.deepEqual(
      all.map(({ exchange, verdict }) => [verdict.version, exchange.outcome]),
      [[1, 'answered']],
    );
  });

  it('of a request leave the verdict to the service', () => {
    for (const [headers, version] of [
      [{}, 1],
      [TTL_ANSWER, 2],
    ] as const) {
      const script = new Script()
        .lose('client', request(READ))
        .say({ from: 'server', text: answer(200, 'x', headers) })
        .fin('client')
        .fin('server');
      const { all } = play(script.segments, { tickUs: 3_000_000 });
      assert.deepEqual(
        all.map(({ exchange, verdict }) => [verdict.version, exchange.outcome, exchange.request.method]),
        [[version, 'truncated', null]],
      );
    }
  });

  it('of a request with an error as its answer are counted, and no version is guessed', () => {
    const script = new Script()
      .lose('client', request(READ))
      .say({ from: 'server', text: answer(401, 'x') })
      .fin('client');
    const { all, counters } = play(script.segments, { tickUs: 3_000_000 });
    assert.equal(all.length, 0);
    assert.equal(counters['unjudged_answers'], 1);
  });

  it('inside a head leave the verdict to the service', () => {
    const head = request(READ, { ...TOKEN, 'User-Agent': 'x' });
    const script = new Script()
      .say({ from: 'client', text: head.slice(0, 60) })
      .lose('client', head.slice(60, 160))
      .say({ from: 'client', text: head.slice(160) })
      .say({ from: 'server', text: answer(200, 'x', TTL_ANSWER) })
      .fin('client')
      .fin('server');
    const { all } = play(script.segments, { tickUs: 3_000_000 });
    assert.equal(all.length, 1);
    assert.equal(all[0]!.verdict.version, 2);
    assert.equal(all[0]!.exchange.request.isWhole, false);
  });

  it('inside a body lose no call', () => {
    const script = new Script()
      .say({ from: 'client', text: request(READ) })
      .say({ from: 'server', text: `HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n${'x'.repeat(100)}` })
      .lose('server', 'x'.repeat(800))
      .say({ from: 'server', text: 'x'.repeat(100) })
      .say({ from: 'client', text: request(READ, TOKEN) })
      .say({ from: 'server', text: answer(200, 'x', TTL_ANSWER) });
    const { all, counters } = play(script.segments, { tickUs: 3_000_000 });
    assert.deepEqual(
      all.map(({ exchange, verdict }) => [verdict.version, exchange.outcome, exchange.response?.status]),
      [
        [1, 'answered', 200],
        [2, 'answered', 200],
      ],
    );
    assert.equal(counters['gap_bytes'], 800);
  });
});

describe('copies', () => {
  it('of a SYN behind address translation are the same connection', () => {
    const one = new Script({ clientAddress: '172.17.0.2' })
      .say({ from: 'client', text: request(READ) })
      .say({ from: 'server', text: answer(200, 'x') })
      .fin('client')
      .fin('server');
    const two = one.segments.map((segment) => ({
      ...segment,
      sourceAddress: segment.sourceAddress.replace('172.17.0.2', '10.9.9.9'),
      destinationAddress: segment.destinationAddress.replace('172.17.0.2', '10.9.9.9'),
    }));
    const { all, opened, counters } = play(one.segments.flatMap((segment, i) => [segment, two[i]!]));
    assert.equal(all.length, 1);
    assert.equal(opened, 1);
    assert.equal(counters['translated_copies'], two.length);
  });
});
