/** Tests that the distance of fallbacks is kept for each workload on each host, and for as long as roll-ups are. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { DAY_US } from '../../../../collector/contract/window.ts';
import { openStore } from '../../../../collector/store/sqlite/sqlite_store.ts';
import { Bench } from '../../../support/collector/in_process.ts';
import { ALL, call, host, program, stream } from '../../../support/collector/store/records.ts';

const bench = new Bench();
afterEach(() => bench.end());

const NOON_US = Date.UTC(2026, 10, 1, 12) * 1000;
const A = host('a');
const B = host('b');
const ON_BOTH = { ...ALL, hosts: [A.id, B.id] };

test('the distances of fallbacks: each once, with the latest setting, by workload, host and window', async () => {
  const store = openStore(bench.directory());
  bench.atEnd(() => store.close());
  const fallback = (timeUs: number, hops: number | null, limit: number | null) =>
    call(timeUs, { 'imds.fallback': 'token_unanswered', 'imds.hops': hops, 'imds.token_hop_limit': limit });
  const onA = stream(A, [program('app')]);
  await store.write([
    onA(
      fallback(NOON_US + 5, 1, 1),
      fallback(NOON_US + 9, 1, 2),
      fallback(NOON_US + 7, 1, 3),
      fallback(NOON_US + 8, 2, null),
      fallback(NOON_US, 33, 1), // more than one host can have
      fallback(NOON_US, null, 1),
      call(NOON_US, { 'imds.fallback': 'token_refused', 'imds.hops': 5 }),
      call(NOON_US, { 'imds.hops': 6 }),
      call(NOON_US, { 'imds.version': 2, 'imds.kind': 'token', 'imds.category': 'token', 'imds.hops': 7 }),
    ),
    stream(B, [program('app')])(fallback(NOON_US, 3, 1)),
  ]);
  await store.write([onA(fallback(NOON_US + 10, 2, 2), fallback(NOON_US + 1, 1, 4))]);
  const facts = (rows: Awaited<ReturnType<typeof store.measuredHops>>) =>
    rows.map(({ hostId, hops, tokenHopLimit, lastUs }) => [hostId, hops, tokenHopLimit, lastUs - NOON_US]);
  const all = await store.measuredHops(ON_BOTH);
  assert.deepEqual(facts(all), [
    [A.id, 1, 2, 9],
    [A.id, 2, 2, 10],
    [B.id, 3, 1, 0],
  ]);
  assert.equal(new Set(all.map(({ identity }) => identity)).size, 1, 'one workload');
  const since = { ...ON_BOTH, window: { sinceUs: NOON_US + 10, untilUs: NOON_US + 20 } };
  assert.deepEqual(facts(await store.measuredHops(since)), [[A.id, 2, 2, 10]]);
  assert.equal((await store.measuredHops({ ...ON_BOTH, hosts: [B.id] })).length, 1);
  assert.equal((await store.measuredHops({ ...ON_BOTH, identities: ['0000000000000000'] })).length, 0);
  await store.retain({ rawDays: 1, rollupDays: 3, maxBytes: 1e12 }, NOON_US + 10 * DAY_US);
  assert.deepEqual(await store.measuredHops(ON_BOTH), []);
});
