/** Tests the facts that the operator states about the host, and those that the host states itself. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lookSettings } from '../../../../agent/config.ts';
import { hostFacts } from '../../../../agent/host/host_facts.ts';
import { hostFacts as shape } from '../../../../protocol/call.ts';

const given = { host_id: 'i-0123456789abcdef0', host_name: 'web-1' };

test('account, region and tags as the operator gives them', () => {
  const settings = lookSettings.parse({
    ...given,
    host_account: '123456789012',
    host_region: 'us-gov-west-1',
    host_tags: ['team=payments', 'query=a=b', 'empty=', '__proto__=x'],
  });
  const facts = hostFacts(settings);
  assert.deepEqual(
    JSON.parse(JSON.stringify(facts.tags)),
    JSON.parse('{"team":"payments","query":"a=b","empty":"","__proto__":"x"}'),
  );
  assert.equal(facts['cloud.account.id'], '123456789012');
  assert.equal(facts['cloud.region'], 'us-gov-west-1');
  shape.parse(facts);
});

test('nothing given: no empty fields', () => {
  assert.deepEqual(hostFacts(lookSettings.parse(given)), { id: given.host_id, name: given.host_name });
  const { id, name } = hostFacts({});
  assert.ok(id !== '' && name !== '');
});

test('refuses values that are no account, region or tag', () => {
  for (const [key, value] of [
    ['host_account', '12345'],
    ['host_account', 'payments'],
    ['host_region', 'EU (Frankfurt)'],
    ['host_tags', ['payments']],
    ['host_tags', ['=x']],
    ['host_tags', [`${'k'.repeat(129)}=v`]],
    ['host_tags', Array.from({ length: 51 }, (_, index) => `k${index}=v`)],
  ] as const) {
    assert.ok(!lookSettings.safeParse({ ...given, [key]: value }).success, `${key} ${value}`);
  }
});
