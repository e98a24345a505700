/** Tests what entities of the catalogue say about owners. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { mapEntities, ownerName } from '../../../../collector/backstage/entity_mapping.ts';
import { type CatalogueEntity, catalogueOwners } from '../../../../collector/insight/catalogue_owners.ts';
import type { HostValues, OwnedIdentity } from '../../../../collector/insight/owner_rules.ts';
import { described } from '../../../support/collector/backstage/catalogue_server.ts';

const NOTHING: OwnedIdentity = {
  ...{ executable: null, script: null, image: null, unit: null, k8sNamespace: null },
};
const on = (...accounts: string[]): HostValues => ({ tag: () => ['web'], accounts });
const ownerOf = (
  entities: readonly CatalogueEntity[],
  identity: Partial<OwnedIdentity>,
  values: HostValues = on(),
) => catalogueOwners(entities).owners.find({ ...NOTHING, ...identity }, values);

test('an owner has the name of the group, with what differs from the usual', () => {
  const cases: [string, string, string | null][] = [
    ['payments', 'default', 'payments'],
    ['group:default/payments', 'other', 'payments'],
    ['Group:payments', 'default', 'payments'],
    ['payments', 'ext', 'ext/payments'],
    ['ext/payments', 'default', 'ext/payments'],
    ['user:default/jane', 'default', 'user:jane'],
    ['', 'default', null],
    ['a=b', 'default', null],
    ['two words', 'default', null],
    ['x'.repeat(101), 'default', null],
  ];
  for (const [ref, namespace, owner] of cases) assert.equal(ownerName(ref, namespace), owner, ref);
});

test('annotations become rules, and what cannot be used is counted and shown', () => {
  const { entities, counts } = mapEntities([
    described({
      name: 'Shop',
      owner: 'shop',
      annotations: {
        'backstage.io/kubernetes-namespace': 'shop',
        'amazonaws.com/account-id': '123456789012',
        'imdswatch/owner-rules': 'unit:web-*.service, path:/opt/shop/run\ntag:app:shop',
      },
    }),
    described({ name: 'bad', owner: 'b', annotations: { 'imdswatch/owner-rules': 'path:*,what,unit:a=b' } }),
    described({ name: 'bare', owner: 'c' }),
    described({ name: 'nobody', annotations: { 'backstage.io/kubernetes-namespace': 'x' } }),
    { kind: 'Component' },
    null,
  ]);
  assert.deepEqual(entities, [
    {
      entity: 'component:default/shop',
      owner: 'shop',
      rules: [
        ...[
          'unit:web-*.service',
          'path:/opt/shop/run',
          'tag:app:shop',
          'namespace:shop',
          'account:123456789012',
        ],
      ],
    },
  ]);
  assert.deepEqual(counts, {
    ...{ used: 1, without_owner: 1, without_rule: 2, unreadable: 2, rules_invalid: 3 },
    invalid: ['path:*', 'what', 'unit:a=b'].map((rule) => ({ entity: 'component:default/bad', rule })),
  });
});

test('rules beyond the limits are counted', () => {
  const many = (prefix: string, count: number) =>
    Array.from({ length: count }, (_, number) => `${prefix}${number}`).join(',');
  const rules = (text: string) => ({ 'imdswatch/owner-rules': text });
  const one = mapEntities([described({ name: 'a', owner: 'o', annotations: rules(many('unit:', 60)) })]);
  assert.deepEqual([one.entities[0]?.rules.length, one.counts.rules_invalid], [50, 10]);
  const patterns = Array.from({ length: 30 }, (_, number) =>
    described({ name: `n${number}`, owner: 'o', annotations: rules(many(`unit:${number}*`, 40)) }),
  );
  assert.equal(mapEntities(patterns).counts.rules_invalid, 200);
});

test('what is nearest to the program counts, and a workload of two teams belongs to neither', () => {
  const entities: CatalogueEntity[] = [
    {
      entity: 'system:default/all',
      owner: 'platform',
      rules: ['account:111111111111', 'account:222222222222'],
    },
    { entity: 'component:default/a', owner: 'a', rules: ['namespace:shop', 'unit:web-*'] },
    { entity: 'component:default/b', owner: 'b', rules: ['namespace:shop', 'path:/opt/b', 'unit:*-1'] },
    { entity: 'component:default/c', owner: 'A', rules: ['unit:*-2'] },
  ];
  const { ambiguous, rules } = catalogueOwners(entities);
  assert.deepEqual(ambiguous, [
    { rule: 'namespace:shop', owners: ['a', 'b'], entities: ['component:default/a', 'component:default/b'] },
  ]);
  assert.equal(rules, 6);
  assert.equal(ownerOf(entities, { k8sNamespace: 'shop' }), null);
  assert.deepEqual(ownerOf(entities, { k8sNamespace: 'shop' }, on('111111111111', '222222222222')), {
    ...{ owner: 'platform', rule: 'account:111111111111=platform', source: 'catalogue' },
    entity: 'system:default/all',
  });
  assert.equal(ownerOf(entities, {}, on('111111111111', '333333333333')), null);
  assert.equal(ownerOf(entities, { executable: '/opt/b', unit: 'web-9' })?.owner, 'b');
  assert.equal(ownerOf(entities, { unit: 'web-1' }), null, 'two patterns with two owners');
  assert.equal(ownerOf(entities, { unit: 'web-2' })?.owner, 'a', 'names differ in case only');
});

test('a namespace has an owner exactly if all entities that name it agree, in whatever order', () => {
  const entity = fc.record({
    name: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
    owner: fc.constantFrom('x', 'y', 'group:default/x', 'Y'),
    namespace: fc.constantFrom('n1', 'n2', 'n3'),
  });
  const entities = fc.uniqueArray(entity, { selector: ({ name }) => name });
  fc.assert(
    fc.property(entities, fc.nat(), (all, shift) => {
      const at = all.length === 0 ? 0 : shift % all.length;
      const turned = [...all.slice(at), ...all.slice(0, at)];
      const mapped = mapEntities(
        turned.map(({ name, owner, namespace }) =>
          described({ name, owner, annotations: { 'backstage.io/kubernetes-namespace': namespace } }),
        ),
      );
      for (const namespace of ['n1', 'n2', 'n3']) {
        const owners = new Set(
          all
            .filter((each) => each.namespace === namespace)
            .map(({ owner }) => owner.replace('group:default/', '').toLowerCase()),
        );
        const found = ownerOf(mapped.entities, { k8sNamespace: namespace })?.owner.toLowerCase() ?? null;
        assert.equal(found, owners.size === 1 ? [...owners][0] : null);
      }
    }),
  );
});

test('whatever the catalogue holds, mapping ends with rules that can be read', () => {
  const text = fc.oneof(
    fc.string(),
    fc.constantFrom('unit:a', 'tag:x', 'path:/a=b', '*', 'namespace:*', ','),
  );
  const odd = fc.record({
    kind: fc.constantFrom('Component', 'System', 'Resource', 'User'),
    metadata: fc.record({
      name: fc.string(),
      annotations: fc.dictionary(
        fc.constantFrom('imdswatch/owner-rules', 'backstage.io/kubernetes-namespace', '__proto__'),
        fc.array(text).map((parts) => parts.join(',')),
      ),
    }),
    spec: fc.record({ owner: fc.oneof(fc.string(), fc.constantFrom('team', 'user:a/b')) }),
  });
  fc.assert(
    fc.property(fc.array(fc.oneof(odd, fc.anything())), (values) => {
      const { entities, counts } = mapEntities(values);
      catalogueOwners(entities).owners.find({ ...NOTHING, unit: 'a' }, on('1'));
      assert.equal(counts.used, entities.length);
      assert.ok(
        counts.used + counts.without_owner + counts.without_rule + counts.unreadable <= values.length,
      );
    }),
  );
});

test('10,000 entities are found by their text', () => {
  const entities = Array.from({ length: 10_000 }, (_, number) => ({
    entity: `component:default/c${number}`,
    owner: `team-${number % 100}`,
    rules: [`namespace:n${number}`],
  }));
  const { owners } = catalogueOwners(entities);
  const identities = Array.from({ length: 10_000 }, (_, at) => ({ ...NOTHING, k8sNamespace: `n${at}` }));
  // One after the other would be 100 million comparisons.
  assert.ok(identities.every((each, at) => owners.find(each, on())?.owner === `team-${at % 100}`));
});
