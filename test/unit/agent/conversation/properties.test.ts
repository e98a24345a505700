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
