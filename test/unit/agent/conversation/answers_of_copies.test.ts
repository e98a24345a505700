/**
 * Tests connections whose answers are seen under translated addresses only. A bridge whose packets pass the
 * host's rules (bridge-nf-call-iptables) shows the client's packets with the destination already rewritten to
 * the endpoint, and the answers with the address that the client called. The host's own interface shows both
 * sides, with the host's address.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Segment, SYN } from '../../../../agent/conversation/segment.ts';
import {
  conversation,
  forged,
  fromClient,
  half,
  READ,
  reset,
  shifted,
  translated,
  V1,
  V1_ANSWER,
  V2,
  V2_ANSWER,
} from '../../../support/agent/conversation/attacker.ts';
import { answer, play, request, type Script } from '../../../support/agent/conversation/script.ts';

const INNER = '10.98.7.11';
const OUTER = '10.9.9.9';
const LOSSES = [
  'gaps_in_heads',
  'one_sided_connections',
  'false_copies',
  'conflicting_segments',
  'segments_after_end',
  'contradicted_connections',
  'unseen_requests',
  'unjudged_answers',
];

/** Returns the capture: the bridge shows the segments of `inner`, and behind each the interface shows `outer`. */
function captured(inner: Segment[], outer = translated(inner, INNER, OUTER)): Segment[] {
  return inner.flatMap((segment, n) => (fromClient(segment) ? [segment, outer[n]!] : [outer[n]!]));
}

function outcome(segments: Segment[]) {
  const { all, counters } = play(segments, { tickUs: 12_000_000 });
  return {
    calls: all.map(({ verdict, exchange }) => [verdict.version, exchange.outcome]).sort(),
    lost: LOSSES.filter((name) => (counters[name] ?? 0) > 0),
    counters,
  };
}

/** Returns a connection of two requests that both sides close. */
function closed(asked: string, replied: string): Segment[] {
  return asTwice(conversation(asked, replied, { clientAddress: INNER }), asked, replied)
    .fin('server')
    .fin('client').segments;
}

function asTwice(script: Script, asked: string, replied: string): Script {
  return script.say({ from: 'client', text: asked }).say({ from: 'server', text: replied });
}

describe('a connection whose answers are seen on its translated copy', () => {
  for (const [version, asked, replied] of [
    [1, V1, V1_ANSWER],
    [2, V2, V2_ANSWER],
  ] as const) {
    it(`is answered, once, and nothing is lost (IMDSv${version})`, () => {
      const { calls, lost, counters } = outcome(captured(closed(asked, replied)));
      assert.deepEqual(calls, [
        [version, 'answered'],
        [version, 'answered'],
      ]);
      assert.deepEqual(lost, []);
      assert.ok((counters['answers_of_copies'] ?? 0) > 0);
      assert.equal(counters['open_connections'], 0);
    });
  }

  it('is over when both have closed it, the client first', () => {
    const script = conversation(V2, V2_ANSWER, { clientAddress: INNER }).fin('client').fin('server');
    const inner = script.segments;
    const model = inner.findLast(fromClient)!;
    const end = inner.at(-1)!;
    inner.push(forged(model, { seq: end.ack, ack: shifted(end.seq, 1), timeUs: end.timeUs + 10 }));
    const { calls, lost, counters } = outcome(captured(inner));
    assert.deepEqual([calls, lost], [[[2, 'answered']], []]);
    assert.equal(counters['open_connections'], 0);
  });

  it('ends with the reset that the copy shows', () => {
    const script = conversation(V2, V2_ANSWER, { clientAddress: INNER });
    const { calls, lost, counters } = outcome(captured(script.reset('server').segments));
    assert.deepEqual([calls, lost], [[[2, 'answered']], []]);
    assert.equal(counters['open_connections'], 0);
  });

  it('takes no answers from a copy while its own are seen', () => {
    const inner = closed(V2, V2_ANSWER);
    const outer = translated(inner, INNER, OUTER);
    const { counters } = outcome(
      inner.flatMap((segment, n) => (fromClient(segment) ? [segment, outer[n]!] : [outer[n]!, segment])),
    );
    assert.equal(counters['answers_of_copies'], 0);
  });

  it('is a loss if the copy was never seen to send the bytes that are answered', () => {
    const inner = closed(V2, V2_ANSWER);
    const outer = translated(inner, INNER, OUTER);
    const hidden = (segment: Segment) => fromClient(segment) && segment.payload.length > 0;
    const segments = captured(inner, outer).filter(
      (segment) => segment.sourceAddress !== OUTER || !hidden(segment),
    );
    const { lost, counters } = outcome(segments);
    assert.equal(counters['answers_of_copies'], 0);
    assert.ok(lost.length > 0);
  });

  it('is a loss if the copy has another handshake than the client acknowledged', () => {
    const inner = closed(V2, V2_ANSWER);
    const other = conversation(V1, answer(404), { clientAddress: OUTER, serverIsn: 123_456 }).segments;
    const { calls, lost, counters } = outcome([...half(inner, true), ...other]);
    assert.equal(counters['answers_of_copies'], 0);
    assert.ok(lost.length > 0);
    assert.ok(calls.some(([version]) => version === 1));
  });

  it('is a loss, and the copy a connection of its own, if the copy sends other bytes', () => {
    const inner = conversation(V2, V2_ANSWER, { clientAddress: INNER }).fin('server').fin('client').segments;
    const other = conversation(V1, V1_ANSWER, { clientAddress: OUTER }).fin('server').fin('client').segments;
    const { calls, lost } = outcome(captured(inner, other));
    assert.ok(calls.some(([version]) => version === 1));
    assert.ok(lost.includes('gaps_in_heads') && lost.includes('false_copies'), lost.join());
  });

  it('is a loss if the service acknowledges more than the client was seen to send', () => {
    const inner = closed(V2, V2_ANSWER);
    const more = request(READ, {}).length;
    const last = inner.findLastIndex((segment) => !fromClient(segment) && (segment.flags & SYN) === 0);
    inner[last] = { ...inner[last]!, ack: shifted(inner[last]!.ack, more) };
    assert.ok(outcome(captured(inner)).lost.length > 0);
  });

  it('is not ended by a reset beside the expected byte', () => {
    const inner = closed(V2, V2_ANSWER);
    const outer = translated(inner, INNER, OUTER);
    const model = outer.find((segment) => !fromClient(segment))!;
    const segments = captured(inner, outer);
    const { calls, lost } = outcome([
      ...segments.slice(0, 8),
      { ...reset(model, shifted(model.seq, 5_000)), timeUs: segments[8]!.timeUs },
      ...segments.slice(8),
    ]);
    assert.deepEqual([calls.length, lost], [2, []]);
  });

  it('is over when its client uses the port again', () => {
    const one = captured(conversation(V2, V2_ANSWER, { clientAddress: INNER }).segments);
    const again = { clientAddress: INNER, clientIsn: 77_000, serverIsn: 5_000_000 };
    const startUs = one.at(-1)!.timeUs + 1_000;
    const two = captured(conversation(V1, V1_ANSWER, { ...again, startUs }).segments);
    const { calls, counters } = outcome([...one, ...two]);
    assert.deepEqual(calls, [
      [1, 'answered'],
      [2, 'answered'],
    ]);
    assert.equal(counters['ignored_syns'], 0);
  });
});
