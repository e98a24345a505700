/**
 * Tests that the same streams give the same exchanges, however they are cut, ordered, repeated and
 * overlapped.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ACK, type Segment } from '../../../../agent/conversation/segment.ts';
import {
  answer,
  essence,
  play,
  request,
  Script,
  type ScriptOptions,
  START_US,
  TTL_ANSWER,
  type Turn,
} from '../../../support/agent/conversation/script.ts';

const header = fc.constantFrom<Record<string, string>>(
  {},
  { 'X-aws-ec2-metadata-token': 'AQ==' },
  { 'x-aws-ec2-metadata-token': '' },
  { 'X-aws-ec2-metadata-token-ttl-seconds': '60' },
  { 'User-Agent': 'x-aws-ec2-metadata-token: no' },
);
const path = fc.constantFrom(
  '/latest/meta-data/instance-id',
  '/latest/api/token',
  '//latest/meta-data/iam/security-credentials/role',
  '/latest/user-data?x-aws-ec2-metadata-token=1',
);
const cuts = fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 12 });

const requestTurn = fc.record({
  method: fc.constantFrom('GET', 'PUT', 'HEAD', 'POST'),
  path,
  header,
  body: fc.nat(50),
});
const body = fc.string({ maxLength: 60, unit: fc.constantFrom('a', '\r', '\n', ' ', 'H', '0') });
const answerTurn = fc.record({
  status: fc.constantFrom(200, 204, 304, 401, 404),
  ttl: fc.boolean(),
  chunked: fc.boolean(),
  interim: fc.boolean(),
  body,
});

function answerText(
  turn: { status: number; ttl: boolean; chunked: boolean; interim: boolean; body: string },
  method: string,
) {
  const headers = turn.ttl ? TTL_ANSWER : {};
  const interim = turn.interim ? 'HTTP/1.1 100 Continue\r\n\r\n' : '';
  const bodiless = method === 'HEAD' || turn.status === 204 || turn.status === 304;
  if (!turn.chunked || bodiless) {
    const text = answer(turn.status, bodiless ? '' : turn.body, headers);
    return interim + text;
  }
  const chunks = turn.body === '' ? '' : `${turn.body.length.toString(16)}\r\n${turn.body}\r\n`;
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${interim}HTTP/1.1 ${turn.status} X\r\nTransfer-Encoding: chunked\r\n${lines.join('')}\r\n${chunks}0\r\n\r\n`;
}

const conversation = fc
  .array(fc.tuple(requestTurn, answerTurn, cuts, cuts), { minLength: 1, maxLength: 5 })
  .chain((pairs) =>
    fc.record({
      pairs: fc.constant(pairs),
      pipelined: fc.boolean(),
      clientIsn: fc.oneof(fc.nat(0xffffffff), fc.integer({ min: 0xffffff00, max: 0xffffffff })),
      serverIsn: fc.oneof(fc.nat(0xffffffff), fc.integer({ min: 0xffffff00, max: 0xffffffff })),
    }),
  );

type Plan = typeof conversation extends fc.Arbitrary<infer T> ? T : never;

function build(plan: Plan, cutThem: boolean, options: ScriptOptions = {}): Segment[] {
  const script = new Script({ ...options, clientIsn: plan.clientIsn, serverIsn: plan.serverIsn, stepUs: 0 });
  const turns: [Turn, Turn][] = plan.pairs.map(([ask, reply, askCuts, replyCuts]) => {
    const headers = ask.body > 0 ? { ...ask.header, 'Content-Length': String(ask.body) } : ask.header;
    return [
      {
        from: 'client',
        text: request(`${ask.method} ${ask.path}`, headers, 'b'.repeat(ask.body)),
        cuts: cutThem ? askCuts : [],
      },
      { from: 'server', text: answerText(reply, ask.method), cuts: cutThem ? replyCuts : [] },
    ];
  });
  if (plan.pipelined) {
    for (const [ask] of turns) script.say(ask);
    for (const [, reply] of turns) script.say(reply);
  } else {
    for (const [ask, reply] of turns) script.say(ask).say(reply);
  }
  return script.fin('client').fin('server').segments;
}

/** Returns segments that overlap their neighbours, like retransmissions with other boundaries. */
function overlaps(segments: Segment[], picks: number[]): Segment[] {
  const made: Segment[] = [];
  for (const pick of picks) {
    const index = pick % segments.length;
    const first = segments[index]!;
    const second = segments
      .slice(index + 1)
      .find((s) => s.sourcePort === first.sourcePort && s.seq === (first.seq + first.payload.length) >>> 0);
    if (first.payload.length < 2 || second === undefined || second.payload.length < 2) continue;
    const tail = first.payload.subarray(first.payload.length >> 1);
    const headOf = second.payload.subarray(0, second.payload.length >> 1);
    made.push({
      ...second,
      flags: ACK,
      seq: (second.seq - tail.length) >>> 0,
      payload: Buffer.concat([tail, headOf]),
    });
  }
  return made;
}

describe('any segmentation, order and duplication of the same streams', () => {
  it('gives the same exchanges', () => {
    fc.assert(
      fc.property(
        conversation,
        fc.array(fc.nat(), { maxLength: 6 }),
        fc.array(fc.nat(), { maxLength: 6 }),
        fc.infiniteStream(fc.nat()),
        (plan, doubled, overlapped, order) => {
          const expected = play(build(plan, false)).all;
          assert.equal(expected.length, plan.pairs.length);
          const cut = build(plan, true);
          const all = [...cut, ...doubled.map((i) => cut[i % cut.length]!), ...overlaps(cut, overlapped)];
          const shuffled = all
            .map((segment) => ({ segment, key: order.next().value as number }))
            .sort((a, b) => a.key - b.key)
            .map(({ segment }) => segment);
          const heard = play(shuffled, { tickUs: 3_000_000 }).all;
          assert.deepEqual(essence(heard), essence(expected));
        },
      ),
      { numRuns: 1_500 },
    );
  });

  it('reports each exchange before the connection ends, if segments are in order', () => {
    fc.assert(
      fc.property(conversation, (plan) => {
        const { live, all, counters } = play(build(plan, true));
        assert.equal(live.length, plan.pairs.length);
        assert.equal(all.length, plan.pairs.length);
        assert.equal(counters['out_of_order_segments'], 0);
        assert.equal(counters['pending_bytes'], 0);
      }),
      { numRuns: 500 },
    );
  });

  it('never gives a wrong version to a whole request, if the capture began in the middle', () => {
    fc.assert(
      fc.property(conversation, fc.nat(30), (plan, dropped) => {
        const segments = build(plan, true).slice(dropped);
        const expected = plan.pairs.map(([ask]) => ask);
        for (const { exchange, verdict } of play(segments, { tickUs: 3_000_000 }).all) {
          if (!exchange.request.isWhole) continue;
          const possible = expected.filter(
            (ask) =>
              ask.method === exchange.request.method && ask.path.split('?')[0] === exchange.request.path,
          );
          const versions = possible.map((ask) =>
            'X-aws-ec2-metadata-token' in ask.header ||
            'x-aws-ec2-metadata-token' in ask.header ||
            (ask.method === 'PUT' && ask.path === '/latest/api/token')
              ? 2
              : 1,
          );
          assert.ok((versions as number[]).includes(verdict.version), JSON.stringify(exchange.request));
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('bad input', () => {
  const bytes = fc.uint8Array({ maxLength: 3_000 });

  it('never throws, and needs bounded memory', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            fromClient: fc.boolean(),
            port: fc.integer({ min: 1, max: 4 }),
            seq: fc.oneof(fc.nat(0xffffffff), fc.nat(5_000)),
            ack: fc.oneof(fc.nat(0xffffffff), fc.nat(5_000)),
            flags: fc.nat(0x3f),
            payload: bytes,
            cut: fc.nat(20),
            step: fc.nat(300_000),
          }),
          { maxLength: 60 },
        ),
        (plan) => {
          let timeUs = START_US;
          const segments = plan.map(({ fromClient, port, seq, ack, flags, payload, cut, step }): Segment => {
            timeUs += step;
            const [model] = new Script({ clientPort: port }).segments;
            const { sourceAddress, sourcePort, destinationAddress, destinationPort } = model!;
            const forward = { sourceAddress, sourcePort, destinationAddress, destinationPort };
            const backward = {
              sourceAddress: destinationAddress,
              sourcePort: destinationPort,
              destinationAddress: sourceAddress,
              destinationPort: sourcePort,
            };
            return {
              ...(fromClient ? forward : backward),
              timeUs,
              seq,
              ack,
              flags,
              window: 1,
              options: new Uint8Array(0),
              payload,
              payloadCutBytes: cut,
            };
          });
          const limits = {
            maxConnections: 3,
            maxHalfOpen: 2,
            maxPendingBytes: 6_000,
            maxPendingBytesTotal: 9_000,
          };
          const { counters, opened, closed } = play(segments, { tickUs: 70_000_000, limits });
          assert.equal(counters['pending_bytes'], 0);
          assert.equal(opened, closed);
        },
      ),
      { numRuns: 1_000 },
    );
  });

  it('with 10,000 half-open connections is bounded and counted', () => {
    const segments = Array.from({ length: 10_000 }, (_, i) => {
      const script = new Script({
        clientPort: 1 + (i % 60_000),
        clientAddress: `10.0.${i >> 8}.${i & 255}`,
        clientIsn: i,
      });
      return script.segments[0]!;
    });
    const { counters, opened, closed } = play(segments, { limits: { maxHalfOpen: 4_000 } });
    assert.equal(counters['half_open_evicted'], 6_000);
    assert.equal(opened, closed);
  });

  it('with 10,000 silent connections evicts none that waits for its answer', () => {
    const speaking = new Script({ clientPort: 60_000 }).say({
      from: 'client',
      text: request('GET /latest/user-data'),
    });
    const silent = Array.from({ length: 10_000 }, (_, n) =>
      new Script({ clientPort: 20_000 + n, clientIsn: 7 * n, end: 'open' }).segments.slice(0, 2 + (n % 2)),
    ).flat();
    const rest = new Script({ clientPort: 60_000 })
      .say({ from: 'client', text: request('GET /latest/user-data') })
      .say({ from: 'server', text: answer(200) })
      .fin('server')
      .fin('client').segments;
    const { live, counters } = play([
      ...speaking.segments,
      ...silent,
      ...rest.slice(speaking.segments.length),
    ]);
    assert.deepEqual(
      live.map(({ exchange }) => exchange.outcome),
      ['answered'],
    );
    assert.equal(counters['connections_evicted'], 0);
    assert.equal(counters['connections'], 10_001);
    assert.equal(counters['half_open_connections'], 0, 'dropped at the end');
  });

  it('that is garbage is counted and gives no call', () => {
    const script = new Script().say({
      from: 'client',
      text: Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xff, 0xfe]),
    });
    for (let i = 0; i < 50; i++) script.say({ from: 'client', text: '\x00\xff'.repeat(500) });
    const { all, counters } = play(script.segments);
    assert.equal(all.length, 0);
    assert.equal(counters['malformed_requests'], 1);
    assert.ok(counters['opaque_bytes']! > 40_000);
  });

  it('with an endless line or an endless head is cut', () => {
    const line = new Script().say({
      from: 'client',
      text: `GET /${'a'.repeat(20_000)} HTTP/1.1\r\nX-aws-ec2-metadata-token: x\r\n\r\n`,
      cuts: Array(15).fill(1_400),
    });
    const cut = play(line.segments);
    assert.equal(cut.all.length, 1);
    assert.equal(cut.all[0]!.verdict.version, 2);
    assert.ok(cut.all[0]!.exchange.request.path!.length < 8_193);
    assert.equal(cut.counters['cut_lines'], 1);
    const head = new Script().say({ from: 'client', text: 'GET / HTTP/1.1\r\n' });
    for (let i = 0; i < 800; i++)
      head.say({ from: 'client', text: 'X-Padding: zzzzzzzzzzzzzzz\r\n'.repeat(50) });
    const endless = play(head.segments);
    assert.equal(endless.counters['malformed_requests'], 1);
  });

  it('with bytes that are not UTF-8 becomes text', () => {
    const script = new Script().say({
      from: 'client',
      text: Buffer.concat([
        Buffer.from('GET /latest/\xff\xfe\x1b[31m HTTP/1.1\r\nUser-Agent: \xff\x00x', 'latin1'),
        Buffer.from('\r\n\r\n'),
      ]),
    });
    const { all } = play(script.segments);
    assert.equal(all[0]!.exchange.request.path, '/latest/%FF%FE%1B[31m');
    assert.equal(all[0]!.exchange.request.userAgent, '\ufffd\u0000x');
  });
});
