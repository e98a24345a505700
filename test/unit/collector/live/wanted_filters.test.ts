/** Tests that a collector asks others for few filters, and never counts calls of the fleet for a scope. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ALL_CALLS, ALL_KEY, keyOfFilter, type LiveFilter } from '../../../../collector/live/live_filter.ts';
import { wantedFilters } from '../../../../collector/live/postgres/wanted_filters.ts';

const paths = (count: number, scope: LiveFilter['scope'] = null): LiveFilter[] =>
  Array.from({ length: count }, (_, at) => ({ ...ALL_CALLS, path: `/${at}`, scope }));
const scopeOf = (account: string) => [{ accounts: [account] }];

test('few filters are asked for as they are', () => {
  const filters = [...paths(20), ...paths(10, scopeOf('1'))];
  const { keys, keyFor } = wantedFilters(filters);
  assert.deepEqual(keys, filters.map(keyOfFilter).sort());
  for (const key of keys) assert.equal(keyFor(key), key);
  assert.deepEqual(wantedFilters([]).keys, []);
});

test('many filters become one for each scope', () => {
  const filters = [...paths(20), ...paths(11, scopeOf('1'))];
  const { keys, keyFor } = wantedFilters(filters);
  const ofScope = keyOfFilter({ ...ALL_CALLS, scope: scopeOf('1') });
  assert.deepEqual(keys, [ALL_KEY, ofScope].sort());
  for (const filter of filters)
    assert.equal(keyFor(keyOfFilter(filter)), filter.scope === null ? ALL_KEY : ofScope);
  const long = Array.from({ length: 25 }, (_, at) => ({ ...ALL_CALLS, path: `/${at}${'x'.repeat(900)}` }));
  assert.deepEqual(wantedFilters(long).keys, [ALL_KEY]);
});

test('with many scopes a feed of the fleet has its count, and one of a scope has none', () => {
  const filters = [ALL_CALLS, ...Array.from({ length: 31 }, (_, at) => paths(1, scopeOf(String(at)))).flat()];
  const { keys, keyFor } = wantedFilters(filters);
  assert.deepEqual(keys, [ALL_KEY]);
  assert.equal(keyFor(ALL_KEY), ALL_KEY);
  assert.equal(keyFor(keyOfFilter(filters[1]!)), null);
});
