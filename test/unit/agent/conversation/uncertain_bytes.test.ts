/** Tests bytes of which the service may have read another copy. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ACK, type Segment, URG } from '../../../../agent/conversation/segment.ts';
import {
  conversation,
  firstRequest,
  forged,
  inserted,
  shifted,
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

describe('uncertain bytes', () => {
  const copiesOf = (first: string, second: string, replied: string) => {
    const script = conversation(second, replied);
    const at = firstRequest(script);
    return inserted(script.segments, at, forged(script.segments[at]!, { payload: Buffer.from(first) }));
  };

  it('in two copies that differ are IMDSv2 only by the verdict of the service, and a loss', () => {
    for (const [first, second] of [
      [V2, V1],
      [V1, V2],
    ] as const) {
      for (const [replied, version] of [
        [answer(404), 1],
        [V1_ANSWER, 1],
        [answer(200, '', { 'X-Aws-Ec2-Metadata-Token-Ttl-Seconds': '9' }), 2],
      ] as const) {
        const { calls, counters } = heardIn(copiesOf(first, second, replied));
        assert.deepEqual(calls, [[version, 'answered']]);
        assert.equal(counters['conflicting_segments'], 1);
      }
    }
  });

  it('are found in copies that are out of order, overlapping or cut anywhere', () => {
    const script = conversation(V1, answer(404));
    const at = firstRequest(script);
    const model = script.segments[at]!;
    for (const [from, to] of [
      [20, V2.length],
      [20, 90],
      [60, 80],
    ] as const) {
      const early = forged(model, {
        seq: shifted(model.seq, from),
        payload: Buffer.from(V2.slice(from, to)),
      });
      for (const segments of [
        inserted(script.segments, at, early),
        inserted(script.segments, at + 1, early),
      ]) {
        const { calls, counters } = heardIn(segments);
        const differs = V1.slice(from, to) !== V2.slice(from, to);
        assert.equal(counters['conflicting_segments'], differs ? 1 : 0, `${from}-${to}`);
        assert.deepEqual(calls, ANSWERED_V1);
      }
    }
  });

  it('are found in two early copies, one inside the other', () => {
    const script = conversation(V2, answer(404));
    const at = firstRequest(script);
    const model = script.segments[at]!;
    const early = (text: string, from: number, to: number) =>
      forged(model, { seq: shifted(model.seq, from), payload: Buffer.from(text.slice(from, to)) });
    const { counters } = heardIn(inserted(script.segments, at, early(V2, 10, 100), early(V1, 20, 95)));
    assert.equal(counters['conflicting_segments'], 1);
  });

  it('are neither copies that agree nor keep-alive probes', () => {
    const script = conversation(V1, answer(404));
    const data = script.segments.filter(({ payload }) => payload.length > 0);
    const last = data[0]!;
    const probe = forged(last, { seq: shifted(last.seq, V1.length - 1), payload: Buffer.from('\0') });
    const { calls, counters } = heardIn([...script.segments, ...data, ...data, probe]);
    assert.deepEqual(calls, ANSWERED_V1);
    assert.equal(counters['conflicting_segments'], 0);
    assert.equal(counters['unverified_copies'], 0);
  });

  it('include a copy of bytes that are no longer remembered, which is a loss', () => {
    const long = V1.replace('\r\n\r\n', `\r\nX-A: ${'a'.repeat(7_000)}\r\nX-B: ${'b'.repeat(7_000)}\r\n\r\n`);
    const script = new Script().say({ from: 'client', text: long, cuts: Array(10).fill(1_400) });
    const { counters } = heardIn([...script.segments, script.segments[3]!]);
    assert.equal(counters['unverified_copies'], 1);
  });

  it('include an answer of which two copies differ, which is a loss', () => {
    const script = conversation(V2, answer(404));
    const at = script.segments.length - 2;
    const decoy = forged(script.segments[at]!, { payload: Buffer.from(answer(200)) });
    assert.equal(heardIn(inserted(script.segments, at, decoy)).counters['conflicting_segments'], 1);
  });

  it('include urgent data in a request: IMDSv1 unless the service decides otherwise, and a loss', () => {
    const script = conversation(V2, answer(404));
    const at = firstRequest(script);
    const segments = script.segments.map((segment, n) =>
      n === at ? { ...segment, flags: ACK | URG } : segment,
    );
    const { calls, counters } = heardIn(segments);
    assert.deepEqual(calls, ANSWERED_V1);
    assert.equal(counters['urgent_segments'], 1);
  });
});
