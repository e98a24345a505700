/** Tests how requests end, and how gaps in the capture count. */
import assert from 'node:assert/strict';
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
        clientClosed: () => {},
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
