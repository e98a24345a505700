/** Tests which resources of the cloud belong to a scope: nothing of accounts and teams that it does not show. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ViewScope } from '../../../../collector/contract/host_scope.ts';
import { keepResources } from '../../../../collector/store/scoped_resources.ts';
import type { HostProfile } from '../../../../collector/store/store.ts';

const resource = (kind: string, account: string, id: string, region = 'eu-west-1') =>
  ({ facts: { kind, account, region, id }, suppliedUs: 1 }) as never;
const RESOURCES = [
  resource('complete_read', '1', 'inventory'),
  resource('complete_read', '2', 'inventory'),
  resource('account_defaults', '2', 'defaults'),
  resource('scaling_group', '1', 'web'),
  resource('scaling_group', '1', 'web', 'us-east-1'),
  resource('scaling_group', '1', 'bank'),
  resource('scaling_group', '2', 'web'),
  resource('launch_template', '1', 'lt-1'),
  resource('launch_template', '1', 'lt-2'),
  resource('launch_configuration', '1', 'lc'),
  resource('image', '1', 'ami-1'),
  resource('image', '1', 'ami-2'),
];
const OWN: HostProfile = {
  ...{ 'cloud.account.id': '1', 'cloud.region': 'eu-west-1', 'image.id': 'ami-1' },
  tags: { team: 'a', 'aws:autoscaling:groupName': 'web', 'aws:ec2launchtemplate:id': 'lt-1' },
};
const PROFILES = new Map([[1, { facts: OWN, firstUs: 1 }]]);

const kept = (scope: ViewScope, profiles = PROFILES) =>
  keepResources(RESOURCES, profiles, scope).map(
    ({ facts: { account, region, id } }) => `${account} ${region} ${id}`,
  );

test('a scope of tags has what its instances name', () => {
  const expected = ['1 eu-west-1 inventory', '1 eu-west-1 web', '1 eu-west-1 lt-1', '1 eu-west-1 ami-1'];
  assert.deepEqual(kept([{ tags: { team: ['a'] } }]), expected);
  assert.deepEqual(kept([{ accounts: ['1', '2'], tags: { team: ['a'] } }]), expected);
  assert.deepEqual(kept([{ tags: { team: ['a'] } }], new Map()), []);
});

test('a scope of whole accounts has all of these accounts', () => {
  const ofFirst = RESOURCES.length - 3;
  assert.equal(kept([{ accounts: ['1'] }]).length, ofFirst);
  assert.ok(kept([{ accounts: ['1'] }]).every((each) => each.startsWith('1 ')));
  assert.equal(kept([{ accounts: ['1', '2'] }]).length, RESOURCES.length);
  assert.deepEqual(kept([{ accounts: ['3'] }], new Map()), []);
});
