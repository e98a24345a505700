/**
 * Tests that segments which a receiver ignores change nothing, and that those which it may have accepted
 * count as a loss.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ACK, FIN, RST, type Segment, SYN } from '../../../../agent/conversation/segment.ts';
import {
  conversation,
  firstRequest,
  forged,
  inserted,
  reset,
  shifted,
  syn,
  timestamps,
  V1,
  V1_ANSWER,
  V2,
} from '../../../support/agent/conversation/attacker.ts';
import { answer, play, Script } from '../../../support/agent/conversation/script.ts';

/** Returns the version and the outcome of every call. */
function heardIn(segments: Segment[], tickUs = 6_000_000) {
  const { all, counters } = play(segments, { tickUs });
  return { calls: all.map(({ exchange, verdict }) => [verdict.version, exchange.outcome]), counters };
}
const ANSWERED_V1 = [[1, 'answered']];

describe('resets', () => {
  it('are ignored if they do not match the expected byte', () => {
    for (const by of [-900_000, -1, 1, 500, 60_000, 900_000]) {
      const script = conversation();
      const at = firstRequest(script);
      const model = script.segments[at]!;
      const { calls, counters } = heardIn(
        inserted(script.segments, at, reset(model, shifted(model.seq, by))),
      );
      assert.deepEqual(calls, ANSWERED_V1, `${by}`);
      assert.equal(counters['refused_resets'], 1);
    }
  });

  it('of the service are ignored if they do not match the byte that the client expects', () => {
    const script = conversation();
    const model = script.segments.at(-2)!;
    const at = script.segments.length - 2;
    const segments = inserted(script.segments, at, reset(model, shifted(model.seq, 77)));
    const { calls, counters } = heardIn(segments);
    assert.deepEqual([calls, counters['refused_resets']], [ANSWERED_V1, 1]);
  });

  for (const waitUs of [1_000, 800_000]) {
    it(`that fit but never arrived are a loss, and later calls are still seen (${waitUs} us)`, () => {
      const first = conversation();
      const model = first.segments[firstRequest(first)]!;
      const killer = reset(model, shifted(model.seq, model.payload.length));
      const whole = conversation().wait(waitUs).say({ from: 'client', text: V1 });
      whole.say({ from: 'server', text: V1_ANSWER });
      const rest = whole.segments.slice(first.segments.length);
      const { calls, counters } = heardInSteps([...first.segments, killer], rest);
      assert.deepEqual(calls, [
        [1, 'answered'],
        [1, 'answered'],
      ]);
      assert.equal(counters['segments_after_end'], 1);
    });
  }

  it('that arrive end the connection, and late copies of its segments are no loss', () => {
    const script = conversation().reset('client');
    const copies = script.segments.filter(({ payload }) => payload.length > 0);
    const { calls, counters } = heardInSteps(script.segments, copies);
    assert.deepEqual(calls, ANSWERED_V1);
    assert.equal(counters['resets'], 1);
    assert.equal(counters['segments_after_end'], 0);
    assert.equal(counters['conflicting_segments'], 0);
  });

  it('of a client that has ended make a late answer no loss', () => {
    const whole = new Script().say({ from: 'client', text: V1 }).reset('client');
    const ended = whole.segments.length;
    whole.say({ from: 'server', text: V1_ANSWER });
    const { calls, counters } = heardInSteps(whole.segments.slice(0, ended), [whole.segments[ended]!]);
    assert.deepEqual(calls, [[1, 'reset']]);
    assert.equal(counters['segments_after_end'], 0);
    assert.equal(counters['unjudged_answers'], 0);
  });
});

/** Plays the first segments, waits one second, and plays the others. */
function heardInSteps(first: Segment[], then: Segment[]) {
  const calm = first.at(-1)!;
  const ticks = Array.from({ length: 4 }, (_, n): Segment => {
    return { ...calm, timeUs: calm.timeUs + n * 250_000, sourcePort: 9, destinationPort: 9 };
  });
  const { all, counters } = play([...first, ...ticks, ...then], { tickUs: 6_000_000, ticksBetween: true });
  return { calls: all.map(({ exchange, verdict }) => [verdict.version, exchange.outcome]), counters };
}

describe('a SYN on a living connection', () => {
  for (const by of [0x50000000, 100, -100]) {
    it(`is ignored unless the service answers it (${by})`, () => {
      for (const at of [3, 4, 6]) {
        const script = conversation();
        const model = script.segments[0]!;
        const { calls, counters } = heardIn(
          inserted(script.segments, at, syn(model, shifted(model.seq, by))),
        );
        assert.deepEqual(calls, ANSWERED_V1, `at ${at}`);
        assert.equal(counters['ignored_syns'], 1);
      }
    });
  }

  it('opens a new one with its data if the service answers it', () => {
    const old = conversation();
    const next = conversation(V2, answer(404), { clientIsn: 77_777_777, serverIsn: 5_000_000 });
    const [hello, agreed] = next.segments;
    const data = next.segments[3]!;
    const quick = { ...hello!, payload: data.payload };
    const accepted = { ...agreed!, ack: shifted(data.seq, data.payload.length) };
    const { calls } = heardIn([...old.segments, quick, accepted, ...next.segments.slice(4)]);
    assert.deepEqual(calls, [
      [1, 'answered'],
      [2, 'answered'],
    ]);
  });

  it('before an answer of the service counts if the answer acknowledges it', () => {
    const script = conversation();
    const model = script.segments[0]!;
    const { calls } = heardIn(inserted(script.segments, 1, syn(model, shifted(model.seq, 0x50000000))));
    assert.deepEqual(calls, ANSWERED_V1);
  });
});

describe('segments that no receiver accepts', () => {
  const decoys: [string, Partial<Segment>][] = [
    ['without an acknowledgement', { flags: 0 }],
    ['with SYN and FIN', { flags: SYN | FIN | ACK }],
    ['signed', { flags: ACK, options: Buffer.from([1, 1, 19, 18, ...Array(16).fill(7)]) }],
  ];
  for (const [name, changes] of decoys) {
    it(`${name} are ignored and counted`, () => {
      const script = conversation(V1, answer(404));
      const at = firstRequest(script);
      const decoy = forged(script.segments[at]!, { payload: Buffer.from(V2), ...changes });
      const { calls, counters } = heardIn(inserted(script.segments, at, decoy));
      assert.deepEqual(calls, ANSWERED_V1);
      assert.equal(counters['refused_segments'], 1);
      assert.equal(counters['conflicting_segments'], 0);
    });
  }

  it('with an old timestamp are ignored, but not after 24 days', () => {
    for (const [waitUs, isOld] of [
      [0, true],
      [25 * 86_400_000_000, false],
    ] as const) {
      const script = conversation(V1, answer(404));
      const segments = script.segments.map((segment, n) => ({ ...segment, options: timestamps(5_000 + n) }));
      const at = firstRequest(script);
      const decoy = forged(segments[at]!, {
        payload: Buffer.from(V2),
        options: timestamps(1_000),
        timeUs: segments[at]!.timeUs + waitUs,
      });
      const { counters } = heardIn(inserted(segments, at, decoy));
      assert.equal(counters['old_timestamps'], isOld ? 1 : 0);
      assert.equal(counters['conflicting_segments'], isOld ? 0 : 1);
    }
  });

  it('far outside of the window are a loss if the service accepted them', () => {
    for (const isTaken of [false, true]) {
      const script = conversation();
      const model = script.segments[firstRequest(script)]!;
      const far = forged(model, { seq: shifted(model.seq, 1_000_000_000), payload: Buffer.from(V1) });
      const ack = isTaken ? shifted(far.seq, far.payload.length) : shifted(model.seq, V1.length);
      const reply = forged(script.segments[1]!, { ack });
      const { counters } = heardIn([...script.segments, far, reply]);
      assert.equal(counters['out_of_window_segments'], 1);
      assert.equal(counters['contradicted_connections'], isTaken ? 1 : 0);
    }
  });
});

describe('bytes that the service acknowledged and the capture missed', () => {
  it('are a gap, even if a reset ends the connection at once', () => {
    const script = conversation().lose('client', V1).reset('client');
    const { counters } = heardIn(script.segments, 500_000);
    assert.equal(counters['gaps_in_heads'], 1);
  });

  it('far outside of the window show that we follow another connection than the service', () => {
    const script = conversation();
    const model = script.segments.at(-2)!;
    const far = forged(model, { ack: shifted(model.ack, 1_000_000_000) });
    const rest = conversation().say({ from: 'client', text: V1 }).say({ from: 'server', text: V1_ANSWER });
    const { calls, counters } = heardIn([
      ...script.segments,
      far,
      ...rest.segments.slice(script.segments.length),
    ]);
    assert.equal(counters['contradicted_connections'], 1);
    assert.deepEqual(calls, [...ANSWERED_V1, ...ANSWERED_V1]);
  });
});

describe('a FIN that never arrived', () => {
  it('hides no later call, and is a loss', () => {
    for (const waits of [false, true]) {
      const first = conversation();
      const count = first.segments.length;
      const decoy = first.fin('client').segments.at(-1)!;
      const rest = conversation().say({ from: 'client', text: V1 }).say({ from: 'server', text: V1_ANSWER });
      const then = rest.segments.slice(count);
      const start = [...first.segments.slice(0, count), decoy];
      const { calls, counters } = waits ? heardInSteps(start, then) : heardIn([...start, ...then]);
      assert.deepEqual(calls, [...ANSWERED_V1, ...ANSWERED_V1]);
      assert.equal(counters['segments_after_end'], 1);
    }
  });

  it('and a reset without a handshake open and end nothing', () => {
    const script = conversation();
    const model = script.segments[0]!;
    const { calls } = heardIn(inserted(script.segments, 1, forged(model, { flags: RST, seq: 5 })));
    assert.deepEqual(calls, ANSWERED_V1);
  });
});
