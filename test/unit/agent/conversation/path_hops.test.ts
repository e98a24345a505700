/** Tests the measure of hops: from whatever hop limits a client's segments have where they are captured. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { PathHops } from '../../../../agent/conversation/path_hops.ts';
import { Tracker } from '../../../../agent/conversation/tracker.ts';
import { IMDS_IPV4 } from '../../../../protocol/endpoints.ts';
import { fromClient, translated } from '../../../support/agent/conversation/attacker.ts';
import { answer, request, Script } from '../../../support/agent/conversation/script.ts';

describe('the way of a client', () => {
  it('is the number of routers, at any place and in any order of capture', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(64, 128, 255),
        fc.integer({ min: 0, max: 12 }),
        fc.array(fc.integer({ min: 0, max: 12 }), { maxLength: 20 }),
        (initial, routers, seenAt) => {
          const path = new PathHops();
          for (const at of [...seenAt.filter((one) => one <= routers), routers]) {
            path.addClientSegment(initial - at);
          }
          assert.equal(path.hops, routers);
        },
      ),
    );
  });
  it('is not known without a segment, or where a rule has rewritten the hop limit', () => {
    assert.equal(new PathHops().hops, null);
    for (const limits of [[1], [30], [64, 20], [200]]) {
      const path = new PathHops();
      for (const limit of limits) path.addClientSegment(limit);
      assert.equal(path.hops, null, `${limits}`);
    }
  });
  it('shows the setting by the latest answer, before any router lowered it', () => {
    const path = new PathHops();
    assert.equal(path.answerHopLimit, null);
    path.addServerBytes(100, 64);
    path.addServerBytes(200, 1);
    path.addServerBytes(200, 2);
    path.addServerBytes(200, 1);
    path.addServerBytes(100, 64);
    assert.equal(path.answerHopLimit, 2);
    path.addServerBytes(4_294_967_290, 9);
    assert.equal(path.answerHopLimit, 2, 'an older answer across the end of the numbers');
  });
  it('is the way back where that is longer', () => {
    const path = new PathHops();
    for (const limit of [64, 63]) path.addClientSegment(limit);
    for (const limit of [253, 255, 254]) path.addServerBytes(100, limit);
    assert.equal(path.hops, 2);
    path.addServerBytes(200, 64);
    assert.equal(path.hops, 2, 'other bytes have a hop limit of their own');
    path.addServerBytes(200, 1);
    assert.equal(path.hops, null, 'a rule has rewritten it');
  });
  it('is measured on translated copies: the bridge shows 64, and the interface 63 and the answer that was dropped', () => {
    const inner = '172.17.0.2';
    const script = new Script({ clientAddress: inner, clientIsn: 7_000_000 });
    script.say({ from: 'client', text: request('PUT /latest/api/token') });
    script.send('server', answer(200, 'token')).wait(100_000).closeWithoutReading(false);
    const outer = translated(script.segments, inner, '10.9.9.9');
    const heard: (number | null | undefined)[] = [];
    const tracker = new Tracker<null>(
      {
        connectionOpened: () => null,
        requestSeen: () => {},
        clientClosed: (_context, _timeUs, answerHopLimit) => heard.push(answerHopLimit),
        exchangeCompleted: (_tuple, _context, { hops }) => heard.push(hops),
        connectionClosed: () => {},
      },
      (address) => address === IMDS_IPV4,
    );
    for (const [at, segment] of script.segments.entries()) {
      const isDropped = !fromClient(segment) && segment.payload.length > 0;
      const copy = { ...outer[at]!, hopLimit: fromClient(segment) ? 63 : isDropped ? 1 : 64 };
      const seen = fromClient(segment)
        ? [segment, copy]
        : isDropped
          ? [copy]
          : [copy, { ...segment, hopLimit: 63 }];
      for (const each of seen) tracker.handleSegment(each);
    }
    tracker.finish();
    assert.deepEqual(heard, [1, 1], 'the setting, and one router');
  });
});
