import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type HostValues,
  type OwnedIdentity,
  ownerRule,
  ruleFor,
} from '../../../../collector/insight/owner_rules.ts';

const nothing: OwnedIdentity = {
  executable: null,
  script: null,
  image: null,
  unit: null,
  k8sNamespace: null,
};
/** Returns the values of the tag on hosts that have no other tag. */
const tagged = (tag: string, ...values: (string | null)[]): HostValues => ({
  tag: (key) => (key === tag ? values : values.map(() => null)),
  accounts: [],
});
const hosts = (...values: (string | null)[]) => tagged('team', ...values);
const ownerOf = (rules: readonly ReturnType<typeof ownerRule>[], identity: OwnedIdentity, on: HostValues) =>
  ruleFor(rules, identity, on)?.owner ?? null;
const owner = (rule: string, identity: Partial<typeof nothing>, on = hosts()) =>
  ownerOf([ownerRule(rule)], { ...nothing, ...identity }, on);

test('each kind of rule looks at its own field, and * stands for any text', () => {
  assert.equal(owner('namespace:pay-*=payments', { k8sNamespace: 'pay-prod' }), 'payments');
  assert.equal(owner('namespace:pay-*=payments', { unit: 'pay-prod' }), null);
  assert.equal(owner('unit:backup.service=storage', { unit: 'backup.service' }), 'storage');
  assert.equal(owner('unit:backup.service=storage', { unit: 'backupXservice' }), null);
  assert.equal(owner('image:*/shop/*=shop', { image: 'registry.example.com/shop/web' }), 'shop');
  assert.equal(
    owner('path:/opt/shop/*=shop', { script: '/opt/shop/sync.py', executable: '/usr/bin/python3' }),
    'shop',
  );
  assert.equal(owner('path:/opt/a=b/*=shop', { executable: '/opt/a=b/run' }), 'shop');
});

test('a tag names the owner where all hosts of the workload agree', () => {
  assert.equal(owner('tag:team', {}, hosts('web', 'web')), 'web');
  assert.equal(owner('tag:team', {}, hosts('web', 'db')), null);
  assert.equal(owner('tag:team', {}, hosts('web', null)), null);
  assert.equal(owner('tag:team', {}, hosts()), null);
  assert.equal(owner('tag:team=platform', {}, hosts('web', 'db')), 'platform');
  assert.equal(owner('tag:team:w*=frontend', {}, hosts('web', 'www')), 'frontend');
  assert.equal(owner('tag:team:w*=frontend', {}, hosts('web', 'db')), null);
  const managed = tagged('aws:autoscaling:groupName', 'web-blue');
  assert.equal(owner('tag:aws:autoscaling:groupName:web-*=frontend', {}, managed), 'frontend');
  assert.equal(owner('tag:aws:autoscaling:groupName', {}, managed), 'web-blue');
  assert.equal(owner('tag:aws:autoscaling:groupName=compute', {}, managed), 'compute');
  assert.equal(owner('tag:toString', {}, hosts('web')), null);
});

test('a rule about accounts matches where all hosts of the workload are in such an account', () => {
  const inAccounts = (...accounts: string[]): HostValues => ({ ...hosts(), accounts });
  assert.equal(owner('account:1234*=data', {}, inAccounts('123456789012')), 'data');
  assert.equal(owner('account:1234*=data', {}, inAccounts('123456789012', '123400000000')), 'data');
  assert.equal(owner('account:1234*=data', {}, inAccounts('123456789012', '999999999999')), null);
  assert.equal(owner('account:*=data', {}, inAccounts()), null);
});

test('the first rule that matches counts', () => {
  const rules = ['unit:shop-*=shop', 'tag:team', 'path:*=platform'].map(ownerRule);
  const identity = { ...nothing, executable: '/usr/bin/curl' };
  assert.equal(ownerOf(rules, { ...identity, unit: 'shop-web.service' }, hosts('web')), 'shop');
  assert.equal(ownerOf(rules, identity, hosts('web')), 'web');
  assert.equal(ownerOf(rules, identity, hosts('web', 'db')), 'platform');
});

test('a text that is no rule is refused with the forms that are', () => {
  for (const text of [
    '',
    'team',
    'tag:',
    'unit:x',
    'unit:=x',
    'unit:x=',
    'user:x=y',
    `unit:x=${'o'.repeat(101)}`,
  ]) {
    assert.throws(() => ownerRule(text), { name: 'RangeError', message: /tag:KEY:PATTERN=OWNER/ }, text);
  }
});
