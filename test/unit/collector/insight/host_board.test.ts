/** Pages of hosts, compared with slices of the sorted list. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { verdict } from '../../../../collector/contract/host.ts';
import {
  HOST_SORT_KEYS,
  type HostPlace,
  type HostSort,
  orderOf,
  pageOfHosts,
} from '../../../../collector/insight/host_board.ts';
import type { HostSummary } from '../../../../collector/insight/hosts.ts';

const time = fc.constantFrom(1, 2, 3);
const maybe = fc.option(time, { nil: null });
const hosts: fc.Arbitrary<HostSummary[]> = fc.uniqueArray(
  fc.record({
    id: fc.nat(99).map((number) => `i-${number}`),
    name: fc.constantFrom('a', 'b', 'B'),
    profile: fc.constant(0),
    firstUs: time,
    lastUs: time,
    receivedUs: maybe,
    isSilent: fc.boolean(),
    verdict: fc.constantFrom(...verdict.options),
    startSeen: fc.boolean(),
    coveragePercent: fc.constantFrom(0, 50, 100),
    gapCount: fc.nat(2),
    callsV1: fc.nat(2),
    offenderCount: fc.nat(2),
    lastV1Us: maybe,
  }),
  { selector: ({ id }) => id, maxLength: 30 },
);
const sort = fc.constantFrom<HostSort | undefined>(
  undefined,
  ...HOST_SORT_KEYS,
  ...HOST_SORT_KEYS.map((key) => `-${key}` as const),
);

test('the pages of a list are the slices of the sorted list', () => {
  fc.assert(
    fc.property(hosts, sort, fc.integer({ min: 1, max: 8 }), (all, by, limit) => {
      const order = orderOf(by);
      const sorted = all.toSorted(order);
      const found: HostSummary[] = [];
      let place: HostPlace | null = null;
      do {
        const page = pageOfHosts(all, order, limit, place);
        assert.deepEqual(page.hosts, sorted.slice(found.length, found.length + limit));
        found.push(...page.hosts);
        place = page.next;
      } while (place !== null);
      assert.deepEqual(found, sorted);
    }),
  );
});

test('a page goes on after the last host, wherever it is by then, and where it was if it is gone', () => {
  fc.assert(
    fc.property(hosts, fc.nat(), (all, chosen) => {
      if (all.length < 3) return;
      const order = orderOf('name');
      const sorted = all.toSorted(order);
      const given = 1 + (chosen % (all.length - 1));
      const place = { after: sorted[given - 1]!.id, given };
      const [first] = sorted;
      const moved = all.filter((host) => host !== first || host.id === place.after);
      assert.deepEqual(pageOfHosts(moved, order, 3, place).hosts, sorted.slice(given, given + 3));
      const without = all.filter(({ id }) => id !== place.after);
      const rest = without.toSorted(order).slice(given, given + 3);
      assert.deepEqual(pageOfHosts(without, order, 3, place).hosts, rest);
    }),
  );
});
