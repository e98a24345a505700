import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { coverOf, type HeldHost } from '../../../../collector/insight/cover.ts';

const host = (callers: string[], watched = true, groups: string[] = []): HeldHost => ({
  callers,
  watched,
  groups,
});

test('a workload alone on many hosts comes before one on as many hosts that it shares', () => {
  const hosts = [
    ...Array.from({ length: 5 }, () => host(['alone'])),
    ...Array.from({ length: 8 }, () => host(['shared', 'other', 'third'])),
  ];
  const { steps } = coverOf(hosts, { limit: 4 });
  assert.deepEqual(
    steps.map(({ workload, frees, freed }) => [workload, frees, freed]),
    [
      ['alone', 5, 5],
      ['other', 0, 5],
      ['shared', 0, 5],
      ['third', 8, 13],
    ],
  );
});

test('hosts that all have two callers are freed too: no workload frees one by itself', () => {
  const hosts = [host(['a', 'b']), host(['a', 'b']), host(['a', 'c']), host(['d', 'e'])];
  const { steps } = coverOf(hosts, { limit: 3 });
  assert.deepEqual(
    steps.map(({ workload, hosts, freed }) => [workload, hosts, freed]),
    [
      ['a', 3, 0],
      ['b', 2, 2],
      ['c', 1, 3],
    ],
  );
});

test('fixed workloads hold nothing, and barred ones hold their hosts whatever is fixed', () => {
  const hosts = [host(['fixed']), host(['fixed', 'a']), host(['barred', 'a']), host(['b'], false)];
  const cover = coverOf(hosts, { limit: 9, fixed: new Set(['fixed']), barred: new Set(['barred']) });
  assert.deepEqual([cover.waiting, cover.barredHosts], [1, 1]);
  assert.deepEqual(
    cover.steps.map(({ workload, freed, freedWatched }) => [workload, freed, freedWatched]),
    [
      ['a', 1, 1],
      ['b', 2, 1],
    ],
  );
});

test('a group that something else stands in the way of is held, and never freed', () => {
  const hosts = [host(['a'], true, ['web', 'all']), host(['a'], true, ['web'])];
  const cover = coverOf(hosts, { limit: 9, barredGroups: new Set(['web', 'elsewhere']) });
  assert.deepEqual([cover.groups, cover.barredGroups, cover.steps[0]!.freedGroups], [2, 1, 1]);
});

test('a group is free with its last host', () => {
  const hosts = [host(['a'], true, ['web']), host(['b'], true, ['web', 'all']), host(['a'], true, ['all'])];
  const cover = coverOf(hosts, { limit: 9 });
  assert.equal(cover.groups, 2);
  assert.deepEqual(
    cover.steps.map(({ workload, freedGroups }) => [workload, freedGroups]),
    [
      ['a', 0],
      ['b', 2],
    ],
  );
});

const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
const anyHost = fc.record({
  callers: fc.uniqueArray(fc.constantFrom(...names), { minLength: 1, maxLength: 8 }),
  watched: fc.boolean(),
  groups: fc.uniqueArray(fc.constantFrom('web', 'db', 'job')),
});
const anyHosts = fc.array(anyHost, { maxLength: 30 });
const anyOptions = fc.record({
  limit: fc.integer({ min: 0, max: 9 }),
  fixed: fc.uniqueArray(fc.constantFrom(...names), { maxLength: 2 }).map((ids) => new Set(ids)),
  barred: fc.uniqueArray(fc.constantFrom(...names), { maxLength: 2 }).map((ids) => new Set(ids)),
});

test('the numbers of every step are those of a recount, and no workload is listed twice', () => {
  fc.assert(
    fc.property(anyHosts, anyOptions, (hosts, { limit, fixed, barred: given }) => {
      const barred = new Set([...given].filter((id) => !fixed.has(id)));
      const cover = coverOf(hosts, { limit, fixed, barred });
      assert.ok(cover.steps.length <= limit);
      assert.equal(new Set(cover.steps.map(({ workload }) => workload)).size, cover.steps.length);
      const isFree = (done: Set<string>) => (each: HeldHost) => each.callers.every((id) => done.has(id));
      const waiting = hosts.filter(isFree(fixed));
      const held = hosts.filter((each) => !waiting.includes(each));
      assert.equal(cover.waiting, waiting.length);
      const done = new Set(fixed);
      for (const step of cover.steps) {
        assert.ok(!barred.has(step.workload) && !fixed.has(step.workload));
        const before = held.filter(isFree(done)).length;
        done.add(step.workload);
        const free = held.filter(isFree(done));
        assert.equal(step.freed, free.length);
        assert.equal(step.frees, free.length - before);
        assert.equal(step.freedWatched, free.filter(({ watched }) => watched).length);
        assert.equal(step.hosts, held.filter(({ callers }) => callers.includes(step.workload)).length);
        const groups = new Set(held.flatMap((each) => each.groups));
        const left = new Set(held.filter((each) => !isFree(done)(each)).flatMap((each) => each.groups));
        assert.equal(step.freedGroups, groups.size - left.size);
      }
    }),
  );
});

test('without a limit every host is freed but those that a barred workload holds', () => {
  fc.assert(
    fc.property(anyHosts, anyOptions, (hosts, { barred }) => {
      const cover = coverOf(hosts, { limit: Number.POSITIVE_INFINITY, barred });
      assert.equal(cover.steps.at(-1)?.freed ?? 0, hosts.length - cover.barredHosts);
    }),
  );
});

test('the order of hosts and callers does not change the answer', () => {
  const shuffled = anyHosts.chain((hosts) =>
    fc.tuple(fc.constant(hosts), fc.shuffledSubarray(hosts, { minLength: hosts.length })),
  );
  fc.assert(
    fc.property(shuffled, fc.integer({ min: 0, max: 8 }), ([hosts, others], limit) => {
      const turned = others.map((each) => ({ ...each, callers: each.callers.toReversed() }));
      assert.deepEqual(coverOf(turned, { limit }), coverOf(hosts, { limit }));
    }),
    { numRuns: 1_000 },
  );
});

test('where each host has one caller, no other choice of as many workloads frees more hosts', () => {
  const single = fc.array(
    anyHost.map((each) => ({ ...each, callers: each.callers.slice(0, 1) })),
    { maxLength: 30 },
  );
  fc.assert(
    fc.property(single, fc.integer({ min: 1, max: 8 }), (hosts, limit) => {
      const counts = names.map((name) => hosts.filter(({ callers }) => callers[0] === name).length);
      const best = counts.toSorted((a, b) => b - a).slice(0, limit);
      const { steps } = coverOf(hosts, { limit });
      assert.equal(
        steps.at(-1)?.freed ?? 0,
        best.reduce((sum, each) => sum + each, 0),
      );
    }),
  );
});
