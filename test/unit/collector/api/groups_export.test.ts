/** Groups as an export: the lists of a group are cells, as those of other rows. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type ApiBench, startApi } from '../../../support/collector/api/api_bench.ts';

let api: ApiBench;
before(async () => {
  api = await startApi();
});
after(() => api.end());

test('groups as CSV and NDJSON, filtered by verdict and name', async () => {
  const csv = await (await api.ask('/api/v1/groups?by=tag:team&format=csv')).text();
  const [head, row] = csv.split('\r\n');
  assert.match(head!, /^id,by,value,/);
  assert.match(row!, /^"tag:team=a\/b",tag:team,a\/b,/);
  const lines = await (await api.ask('/api/v1/groups?by=tag:team&format=ndjson')).text();
  assert.equal(JSON.parse(lines.trim()).verdict, 'unproven');
  const count = async (query: string) => {
    const answer = await (await api.ask(`/api/v1/groups?by=tag:team&${query}`)).json();
    return (answer as { items: unknown[] }).items.length;
  };
  assert.deepEqual([await count('text=A/B'), await count('text=x')], [1, 0]);
  assert.deepEqual([await count('verdict=unproven'), await count('verdict=ready')], [1, 0]);
});
