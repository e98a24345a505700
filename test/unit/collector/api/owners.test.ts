/** Tests the routes of owners and of their rules. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ownerExplanation, ownerRules, ownerSummary } from '../../../../collector/contract/owner.ts';
import { type ApiBench, problemOf, startApi } from '../../../support/collector/api/api_bench.ts';
import { makeOffender } from '../../../support/collector/api/findings.ts';

let api: ApiBench;
before(async () => {
  api = await startApi();
});
after(() => api.end());

const RULES = '/api/v1/owner-rules';
const put = (json: unknown) => api.ask(RULES, { as: 'admin', method: 'PUT', json });

test('an admin replaces the rules; an outdated version and a text that is no rule are refused', async () => {
  const before = ownerRules.parse(await (await api.ask(RULES, { as: 'admin' })).json());
  assert.deepEqual([before.version, before.rules, before.setting_rules], [0, [], ['tag:team']]);
  const rules = ['namespace:pay-*=payments', 'account:1234*=data'];
  const changed = ownerRules.parse(await (await put({ rules, version: 0 })).json());
  assert.deepEqual([changed.version, changed.rules, changed.changed_by], [1, rules, 'ada']);
  assert.match((await problemOf(await put({ rules: [], version: 0 }), 409)).detail, /version 1, not 0/);
  const wrong = await problemOf(await put({ rules: ['payments'] }), 400);
  assert.deepEqual(
    wrong.errors?.map(({ field }) => field),
    ['rules'],
  );
  await problemOf(await put({ rules: Array.from({ length: 501 }, () => 'tag:team') }), 400);
  await problemOf(await put({ rules: [`path:${'x'.repeat(300)}=a`] }), 400);
  assert.deepEqual(ownerRules.parse(await (await api.ask(RULES, { as: 'admin' })).json()), changed);
});

test('only an admin sees and changes rules', async () => {
  const id = makeOffender(1).id;
  for (const path of [RULES, `${RULES}/explanations/${id}`]) await problemOf(await api.ask(path), 403);
  await problemOf(await api.ask(RULES, { method: 'PUT', json: { rules: [] } }), 403);
});

test('the rule that names an owner is explained', async () => {
  const explain = (id: string) => api.ask(`${RULES}/explanations/${id}`, { as: 'admin' });
  const explained = ownerExplanation.parse(await (await explain(makeOffender(1).id)).json());
  assert.deepEqual([explained.owner, explained.found?.rule], ['payments', 'tag:team']);
  await problemOf(await explain('ffffffffffffffff'), 404);
  await problemOf(await explain('x'), 400);
});

test('a viewer gets the sums by owner, as a page and as an export', async () => {
  const list = (await (await api.ask('/api/v1/owners')).json()) as { items: unknown[]; as_of: string };
  const [first] = list.items.map((item) => ownerSummary.parse(item));
  assert.ok(first !== undefined && first.offenders > 0);
  const csv = await (await api.ask('/api/v1/owners?format=csv')).text();
  assert.match(csv, /^id,owner,offenders,credentials,calls_v1,hosts_freed,last_v1\r?\n/);
});
