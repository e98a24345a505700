/**
 * Tests flows that are seen twice, flows that only resemble another one, and conversations with one visible
 * side.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Delivery } from '../../../../agent/conversation/delivery.ts';
import type { Exchange } from '../../../../agent/conversation/exchange.ts';
import { GAP_WAIT_US } from '../../../../agent/conversation/limits.ts';
import { RST, type Segment } from '../../../../agent/conversation/segment.ts';
import { lossesOf } from '../../../../protocol/losses.ts';
import {
  conversation,
  half,
  translated,
  V1,
  V1_ANSWER,
  V2,
  V2_ANSWER,
} from '../../../support/agent/conversation/attacker.ts';
import { answer, play, Script, type ScriptOptions } from '../../../support/agent/conversation/script.ts';

const INNER = '172.17.0.2';
const OUTER = '10.9.9.9';

function versionsIn(segments: Segment[]) {
  const { all, counters } = play(segments, { tickUs: 3_000_000 });
  return {
    calls: all.map(({ verdict, exchange }) => [verdict.version, exchange.outcome]).sort(),
    counters,
  };
}

/** Returns each segment of one flow, followed by the same segment of the other flow. */
function alternating(one: Segment[], other: Segment[]): Segment[] {
  const length = Math.max(one.length, other.length);
  return Array.from({ length }, (_, n) => [one[n], other[n]])
    .flat()
    .filter((segment): segment is Segment => segment !== undefined);
}

describe('a translated copy', () => {
  const original = () =>
    conversation(V1, V1_ANSWER, { clientAddress: INNER }).fin('client').fin('server').segments;

  it('is no second call, even if its segments are captured before those of the original', () => {
    const inner = original();
    const outer = translated(inner, INNER, OUTER);
    const both = inner.flatMap((segment, n) =>
      segment.sourceAddress === INNER ? [segment, outer[n]!] : [outer[n]!, segment],
    );
    const { calls, counters } = versionsIn(both);
    assert.deepEqual(calls, [[1, 'answered']]);
    assert.equal(counters['translated_copies'], inner.length);
    assert.equal(counters['false_copies'], 0);
    assert.equal(counters['conflicting_segments'], 0);
  });

  it('is no second call if the host lowers the segment size of forwarded packets', () => {
    const inner = original();
    // These options are the segment size, SACK permitted and padding.
    const sized = (size: number) => Uint8Array.of(2, 4, size >> 8, size & 255, 4, 2, 1, 1);
    inner[0] = { ...inner[0]!, options: sized(8_961) };
    const outer = translated(inner, INNER, OUTER);
    outer[0] = { ...outer[0]!, options: sized(1_360) };
    const { calls, counters } = versionsIn(alternating(inner, outer));
    assert.deepEqual(calls, [[1, 'answered']]);
    assert.equal(counters['translated_copies'], inner.length);
    assert.equal(counters['false_copies'], 0);
  });

  it('is a connection of its own if its handshake differs, even with the same SYN', () => {
    const own = conversation(V1, answer(404), { clientAddress: OUTER, serverIsn: 123_456 }).segments;
    const v2 = conversation(V2, V2_ANSWER, { clientAddress: INNER }).segments;
    const { calls, counters } = versionsIn(alternating(v2, own));
    assert.deepEqual(calls, [
      [1, 'answered'],
      [2, 'answered'],
    ]);
    assert.equal(counters['false_copies'], 1);
  });

  it('is a connection of its own if its client sends other bytes, or continues alone', () => {
    const own = conversation(V1, answer(404), { clientAddress: OUTER }).segments;
    const v2 = conversation(V2, V2_ANSWER, { clientAddress: INNER }).fin('client').fin('server').segments;
    for (const segments of [
      alternating(v2, own),
      [...v2.slice(0, 3), ...own],
      [...v2.slice(0, 1), ...own.slice(0, 1), ...v2.slice(1), ...own.slice(1)],
    ]) {
      const { calls, counters } = versionsIn(segments);
      assert.deepEqual(calls.filter(([version]) => version === 1).length, 1);
      assert.equal(counters['false_copies'], 1);
    }
  });

  it('is a connection of its own if the one that it resembles is over', () => {
    const v2 = conversation(V2, V2_ANSWER, { clientAddress: INNER }).fin('client').fin('server').segments;
    const own = conversation(V1, answer(404), { clientAddress: OUTER }).segments;
    const { calls, counters } = versionsIn([...v2, ...own]);
    assert.deepEqual(calls, [
      [1, 'answered'],
      [2, 'answered'],
    ]);
    assert.equal(counters['false_copies'], 1);
  });

  it('is still a copy in any interleaving of the captures that show both', () => {
    const inner = conversation(V1, V1_ANSWER, { clientAddress: INNER }).fin('client').fin('server').segments;
    const outer = translated(inner, INNER, OUTER);
    fc.assert(
      fc.property(
        fc.array(fc.boolean(), { minLength: 40, maxLength: 40 }),
        fc.boolean(),
        (picks, ticksBetween) => {
          const [first, second] = [[...inner], [...outer]];
          const mixed: Segment[] = [first.shift()!];
          for (const pick of picks) {
            const next = (pick ? first.shift() : second.shift()) ?? first.shift() ?? second.shift();
            if (next !== undefined) mixed.push(next);
          }
          const { all, counters } = play(mixed, { ticksBetween });
          assert.equal(all.length, 1);
          assert.deepEqual([counters['false_copies'], lossesOf({ conversation: counters })], [0, {}]);
        },
      ),
    );
  });

  it('is still a copy if the capture that shows it is read after the connection has ended', () => {
    const inner = conversation(V1, V1_ANSWER, { clientAddress: INNER }).fin('client').fin('server').segments;
    const { all, counters } = play([...inner, ...translated(inner, INNER, OUTER)]);
    assert.equal(all.length, 1);
    assert.deepEqual([counters['false_copies'], counters['remembered_bytes']], [0, 0]);
  });

  it('is a connection of its own after that end, if the service is not seen to have the same handshake', () => {
    const inner = conversation(V1, V1_ANSWER, { clientAddress: INNER }).fin('client').fin('server').segments;
    const again = translated(inner, INNER, OUTER);
    const isFromClient = ({ destinationPort }: Segment) => destinationPort === 80;
    for (const other of [
      again.filter(isFromClient),
      again.map((each) =>
        isFromClient(each) ? { ...each, ack: each.ack + 9 } : { ...each, seq: each.seq + 9 },
      ),
    ]) {
      assert.equal(play([...inner, ...other]).all.length, 2);
    }
  });

  it('of a long-lived connection is still a copy', () => {
    const calls = 20;
    const inner = new Script({ clientAddress: INNER });
    for (let n = 0; n < calls; n++) {
      inner.say({ from: 'client', text: V1 }).say({ from: 'server', text: V1_ANSWER }).wait(120_000_000);
    }
    const outer = translated(inner.segments, INNER, OUTER);
    const { all, counters } = play(alternating(inner.segments, outer), { ticksBetween: true });
    assert.equal(all.length, calls);
    assert.equal(counters['false_copies'], 0);
  });
});

describe('a translated copy of a connection that is older than the watch', () => {
  /** Returns requests and answers without a handshake, `gapUs` apart; the client closes at the end if `ends`. */
  const older = (calls: number, gapUs: number, ends: boolean, options: ScriptOptions = {}) => {
    const script = new Script({ clientAddress: INNER, syn: false, ...options });
    for (let n = 0; n < calls; n++) {
      if (n > 0) script.wait(gapUs);
      script.say({ from: 'client', text: V1 }).say({ from: 'server', text: V1_ANSWER });
    }
    return ends ? script.fin('client').fin('server').segments : script.segments;
  };
  const outcomes = (segments: Segment[], ticksBetween = true) => {
    const { all, counters } = play(segments, { tickUs: 3_000_000, ticksBetween });
    return { all: all.map(({ exchange }) => exchange.outcome), counters };
  };

  for (const ends of [true, false]) {
    for (const gapUs of [10, 400_000, 120_000_000]) {
      it(`is no second call with requests ${gapUs} µs apart, ${ends ? 'closed' : 'left open'}`, () => {
        const inner = older(3, gapUs, ends);
        const outer = translated(inner, INNER, OUTER);
        for (const order of [
          alternating(inner, outer),
          inner.flatMap((each, n) => (each.sourceAddress === INNER ? [each, outer[n]!] : [outer[n]!, each])),
        ]) {
          for (const ticksBetween of [true, false]) {
            const { all, counters } = outcomes(order, ticksBetween);
            assert.deepEqual(all, ['answered', 'answered', 'answered']);
            assert.equal(counters['false_copies'], 0);
          }
        }
      });
    }
  }

  it('is no second call in any interleaving of the captures that show both', () => {
    const inner = older(2, 10, true);
    const outer = translated(inner, INNER, OUTER);
    fc.assert(
      fc.property(fc.array(fc.boolean(), { minLength: 30, maxLength: 30 }), (picks) => {
        const [first, second] = [[...inner], [...outer]];
        const mixed: Segment[] = [first.shift()!];
        for (const pick of picks) {
          const next = (pick ? first.shift() : second.shift()) ?? first.shift() ?? second.shift();
          if (next !== undefined) mixed.push(next);
        }
        assert.deepEqual(outcomes(mixed, false).all, ['answered', 'answered']);
      }),
    );
  });

  it('is no second call if an answer is the first that is seen of both', () => {
    const inner = older(2, 400_000, true).slice(1);
    const { all } = outcomes(alternating(inner, translated(inner, INNER, OUTER)));
    assert.equal(all.filter((outcome) => outcome === 'answered').length, 1);
  });

  it('is a connection of its own if the service did not answer the same in both', () => {
    const real = translated(older(1, 10, true), INNER, OUTER);
    const decoy = older(1, 10, true);
    const request = decoy.findIndex(({ payload }) => payload.length > 0);
    const refusal: Segment = { ...decoy[request + 2]!, flags: RST, payload: new Uint8Array(0) };
    const other = older(1, 10, true).map((each) =>
      each.sourceAddress !== INNER && each.payload.length > 0
        ? { ...each, payload: Buffer.from(answer(401, 'y'), 'latin1') }
        : each,
    );
    for (const [name, forged] of [
      ['a reset', [decoy[request]!, refusal]],
      ['silence', [decoy[request]!]],
      ['another answer', other],
    ] as const) {
      for (const segments of [[...forged, ...real], alternating([...forged], real)]) {
        const { all } = play(segments, { tickUs: 3_000_000, ticksBetween: true });
        const own = all.filter(
          ({ exchange }) => exchange.outcome === 'answered' && exchange.response?.status === 200,
        );
        assert.equal(own.length, 1, name);
      }
    }
  });
});

describe('answers on the loopback', () => {
  const looped = (segments: Segment[]) => segments.map((each) => ({ ...each, device: 'looped' as const }));
  const isAnswer = ({ sourcePort }: Segment) => sourcePort === 80;

  it('to a client that sent nothing to the endpoint are those of a redirect: no call, and no loss', () => {
    const { all, counters } = play(looped(conversation(V1, V1_ANSWER).segments).filter(isAnswer));
    assert.deepEqual(all, []);
    assert.deepEqual(lossesOf({ conversation: counters }), {});
    assert.ok(counters['redirected_answers']! > 0);
  });

  it('do not hide a call whose packets are seen', () => {
    const { segments } = conversation(V1, V1_ANSWER);
    const forged = looped(conversation(V2, V2_ANSWER).segments).filter(isAnswer);
    assert.equal(play([...forged, ...segments]).all.length, 1);
    assert.equal(play([...segments.slice(0, 4), ...forged, ...segments.slice(4)]).all.length, 1);
    assert.equal(play(looped(segments)).all.length, 1, 'a service on the loopback itself');
  });
});

describe('a conversation of which one side is seen', () => {
  for (const [name, isClient] of [
    ['the client', true],
    ['the service', false],
  ] as const) {
    it(`${name}: is reported within eleven seconds, and is a loss`, () => {
      for (const [asked, replied] of [
        [V1, V1_ANSWER],
        [V2, answer(404)],
      ] as const) {
        const segments = half(conversation(asked, replied).segments, isClient);
        const { all, counters } = playUntil(segments, 11_000_000);
        const losses =
          (counters['one_sided_connections'] ?? 0) +
          (counters['gaps_in_heads'] ?? 0) +
          (counters['unjudged_answers'] ?? 0);
        assert.ok(losses > 0);
        if (isClient) assert.equal(all, 1);
      }
    });
  }

  it('is not assumed while an answer takes long', () => {
    const { counters } = playUntil(new Script().say({ from: 'client', text: V1 }).segments, 20_000_000);
    assert.equal(counters['one_sided_connections'], 0);
  });
});

/** Plays segments and lets time pass. Returns the calls that were reported by then, without an end. */
function playUntil(segments: Segment[], us: number) {
  const last = segments.at(-1)!;
  const ticks = Array.from({ length: us / 250_000 }, (_, n): Segment => {
    return { ...last, timeUs: last.timeUs + n * 250_000, sourcePort: 9, destinationPort: 9 };
  });
  const { live, counters } = play([...segments, ...ticks], { ticksBetween: true });
  return { all: live.length, counters };
}

describe('bounds', () => {
  it('count the memory that segments of one byte or none really need', () => {
    const script = new Script().say({ from: 'client', text: 'GET / HTTP/1.1\r\n' });
    const model = script.segments.at(-2)!;
    const tiny = Array.from({ length: 50_000 }, (_, n): Segment => {
      const seq = (model.seq + 100_000 + 2 * n) >>> 0;
      return { ...model, seq, payload: new Uint8Array(n % 2), payloadCutBytes: 1 };
    });
    const limits = { maxPendingBytes: 20_000, maxPendingBytesTotal: 40_000 };
    const { counters } = play([...script.segments, ...tiny], { limits });
    assert.ok(counters['pending_bytes_bound']! > 100, `${counters['pending_bytes_bound']}`);
  });

  it('limit the requests with gaps that wait for answers', () => {
    const script = new Script({ stepUs: GAP_WAIT_US });
    for (let n = 0; n < 50; n++)
      script.say({ from: 'client', text: 'GET / HTTP/1.1\r\n' }).lose('client', 'xx');
    const { live, all, counters } = play(script.segments, {
      limits: { maxPendingRequests: 8 },
      ticksBetween: true,
    });
    assert.equal(counters['surplus_requests'], 42);
    assert.equal(live.length, 41, 'eight requests wait, and the last hole is found at the end');
    assert.equal(all.length, 50);
    assert.ok(all.every(({ exchange }) => exchange.outcome === 'truncated'));
  });

  it('limit the answers without an acknowledgement, and the surplus does not count as answered', () => {
    const emitted: Exchange[] = [];
    const delivery = new Delivery({ exchangeCompleted: (exchange) => emitted.push(exchange) });
    const { exchange } = play(conversation().segments).all[0]!;
    for (let n = 0; n < 1_000; n++) delivery.addAnswer(exchange, exchange.responseUs!, 1_000 + n);
    assert.equal(emitted.length, 1_000 - 256);
    assert.ok(emitted.every(({ outcome }) => outcome === 'truncated'));
  });

  it('count no remembered bytes after connections end', () => {
    const many = Array.from(
      { length: 200 },
      (_, n) =>
        conversation(V1, V1_ANSWER, { clientPort: 20_000 + n })
          .fin('client')
          .fin('server').segments,
    );
    assert.equal(play(many.flat()).counters['remembered_bytes'], 0);
    const open = play(conversation().segments.slice(0, -1)).counters;
    assert.equal(open['remembered_bytes'], 0, 'after the end');
  });
});
