/** Counts the hosts that one fix would free. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { countFreedHosts } from '../../../../collector/insight/offenders.ts';

const pair = (identity: string, hostId: string, callsV1: number) => ({ identity, hostId, callsV1 });

test('a host is freed by the one workload that made IMDSv1 calls on it', () => {
  const freed = countFreedHosts([
    pair('alone', 'i-1', 3),
    pair('alone', 'i-2', 1),
    pair('shared', 'i-3', 1),
    pair('other', 'i-3', 5),
    pair('other', 'i-4', 0),
    pair('only-v2', 'i-1', 0),
  ]);
  assert.deepEqual([...freed], [['alone', 2]]);
});

test('no host is counted twice, and a workload frees at most the hosts that it is on', () => {
  const anyPair = fc.record({
    identity: fc.constantFrom('a', 'b', 'c'),
    hostId: fc.constantFrom('1', '2', '3', '4'),
    callsV1: fc.nat(2),
  });
  const anyPairs = fc.uniqueArray(anyPair, { selector: ({ identity, hostId }) => identity + hostId });
  fc.assert(
    fc.property(anyPairs, (pairs) => {
      const freed = countFreedHosts(pairs);
      const called = pairs.filter(({ callsV1 }) => callsV1 > 0);
      const hosts = new Set(called.map(({ hostId }) => hostId)).size;
      assert.ok([...freed.values()].reduce((sum, count) => sum + count, 0) <= hosts);
      for (const [identity, count] of freed) {
        assert.ok(count <= called.filter((one) => one.identity === identity).length);
      }
    }),
  );
});
