/** Tests the measure of hops: from whatever hop limits a client's segments have where they are captured. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { PathHops } from '../../../../agent/conversation/path_hops.ts';

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
});
