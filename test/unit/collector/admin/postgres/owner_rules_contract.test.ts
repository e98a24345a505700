/** Tests that owner rules are changed, audited, and followed by every collector of a store. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pino } from 'pino';
import type { AdminStore } from '../../../../../collector/admin/admin_store.ts';
import { ownerRule } from '../../../../../collector/insight/owner_rules.ts';
import { OwnerWatch } from '../../../../../collector/owner_watch.ts';
import { onEachAdminStore } from '../../../../support/collector/admin/admin_stores.ts';

const ADA = { name: 'ada', sourceAddress: '192.0.2.7' };
const NOBODY = { executable: null, script: null, image: null, unit: null, k8sNamespace: 'pay' };
const NOWHERE = { tag: () => [], accounts: [] };
const log = pino({ level: 'silent' });

onEachAdminStore('owner rules', (create) => {
  test('a change reaches other collectors of the store, and is in the audit log', async (t) => {
    const data = await create();
    const [here, there] = [await data.open(), await data.open()];
    const open = async (admin: AdminStore, ...rules: string[]) => {
      const watch = await OwnerWatch.open({ admin, settingRules: rules.map(ownerRule), log });
      t.after(() => watch.stop());
      return watch;
    };
    const first = await open(here);
    const second = await open(there, 'tag:team', 'namespace:*=rest');
    let changes = 0;
    second.onChange(() => {
      changes += 1;
    });
    assert.deepEqual(first.rules(), {
      ...{ version: 0, rules: [], changed: null, changed_by: null, unreadable: [], setting_rules: [] },
      catalogue: null,
    });
    assert.deepEqual(second.owners().tagKeys, ['team']);
    const owner = (watch: OwnerWatch) => watch.owners().find(NOBODY, NOWHERE);
    assert.deepEqual(owner(second), { owner: 'rest', rule: 'namespace:*=rest', source: 'setting' });

    await first.change({ rules: ['namespace:pay=payments', 'tag:aws:cloud'], version: 0 }, ADA);
    assert.equal(owner(first)?.owner, 'payments');
    await second.look();
    await second.look();
    assert.deepEqual(owner(second), { owner: 'payments', rule: 'namespace:pay=payments', source: 'stored' });
    assert.equal(changes, 1, 'only a change counts as one');
    assert.deepEqual(second.owners().tagKeys, ['aws:cloud', 'team']);
    const { version, rules, changed_by, setting_rules } = second.rules();
    assert.deepEqual(
      [version, rules, changed_by, setting_rules],
      [1, ['namespace:pay=payments', 'tag:aws:cloud'], 'ada', ['tag:team', 'namespace:*=rest']],
    );

    await assert.rejects(second.change({ rules: [], version: 0 }, ADA), /have version 1, not 0/);
    await assert.rejects(second.change({ rules: ['team'], version: 1 }, ADA), /"team" is no owner rule/);
    assert.deepEqual(second.rules().rules, rules, 'a refused change changes nothing');
    await second.change({ rules: ['tag:aws:cloud'] }, ADA);
    const entries = await here.auditLog.newest({ limit: 9 });
    assert.deepEqual(
      entries.map(({ actor, action, subject, detail, source_address }) => [
        ...[actor, action, subject, detail, source_address],
      ]),
      [
        ['ada', 'owner_rules.set', 'owner_rules', '1 rule; removed namespace:pay=payments', '192.0.2.7'],
        [
          ...['ada', 'owner_rules.set', 'owner_rules'],
          ...['2 rules; added namespace:pay=payments, tag:aws:cloud', '192.0.2.7'],
        ],
      ],
    );
  });

  test('a rule of a later release names nobody, and is shown and counted', async (t) => {
    const admin = await (await create()).open();
    const rules = ['cluster:blue=blue', 'namespace:pay=payments'];
    await admin.ownerRules.change({ rules }, ADA, 5);
    const watch = await OwnerWatch.open({ admin, settingRules: [], log });
    t.after(() => watch.stop());
    assert.equal(watch.owners().find(NOBODY, NOWHERE)?.owner, 'payments');
    assert.deepEqual(watch.rules().unreadable, ['cluster:blue=blue']);
    assert.deepEqual([watch.counters()['rules'], watch.counters()['rules_unreadable']], [2, 1]);
  });

  test('rules that cannot be read stay as they were known, and the failure is counted', async (t) => {
    const admin = await (await create()).open();
    await admin.ownerRules.change({ rules: ['namespace:pay=payments'] }, ADA, 5);
    const watch = await OwnerWatch.open({ admin, settingRules: [], log });
    t.after(() => watch.stop());
    await admin.settings.put('owner_rules', { version: 'damaged' });
    await watch.look();
    assert.equal(watch.owners().find(NOBODY, NOWHERE)?.owner, 'payments');
    assert.equal(watch.counters()['reads_failed'], 1);
  });
});
