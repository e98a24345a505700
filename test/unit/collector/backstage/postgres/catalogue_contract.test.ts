/** Tests that one collector reads the catalogue, that all use the copy, and that the last good copy stays. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pino } from 'pino';
import type { AdminStore } from '../../../../../collector/admin/admin_store.ts';
import { Lease } from '../../../../../collector/admin/lease.ts';
import { CATALOGUE_LEASE_MS, CatalogueWatch } from '../../../../../collector/backstage/catalogue_watch.ts';
import { ownerRule } from '../../../../../collector/insight/owner_rules.ts';
import { OwnerWatch } from '../../../../../collector/owner_watch.ts';
import { onEachAdminStore } from '../../../../support/collector/admin/admin_stores.ts';
import {
  CatalogueServer,
  described,
  TOKEN,
} from '../../../../support/collector/backstage/catalogue_server.ts';
import { eventually } from '../../../../support/collector/stored.ts';

const shop = (owner: string) =>
  described({ name: 'shop', owner, annotations: { 'backstage.io/kubernetes-namespace': 'shop' } });
const IN_SHOP = { executable: null, script: null, image: null, unit: null, k8sNamespace: 'shop' };
const NOWHERE = { tag: () => [], accounts: [] };

const lines: string[] = [];
const log = pino({ level: 'debug' }, { write: (line: string) => lines.push(line) });
const directory = mkdtempSync(join(tmpdir(), 'imdswatch-backstage-'));
const tokenFile = join(directory, 'token');
let server: CatalogueServer;
before(async () => {
  server = await CatalogueServer.start();
  writeFileSync(tokenFile, `${TOKEN}\n`);
});
after(async () => {
  await server.close();
  rmSync(directory, { recursive: true });
});

onEachAdminStore('the catalogue', (create) => {
  test('a copy reaches every collector, and stays when the catalogue cannot be read', async (t) => {
    const data = await create();
    server.entities = [shop('first')];
    server.behaviour = 'good';
    server.asked = 0;
    let now = 1_800_000_000_000;
    const open = async (admin: AdminStore) => {
      const watch = await CatalogueWatch.open({
        ...{ url: server.url, tokenFile, caFile: null, intervalMs: 3_600_000, admin, log },
        lease: new Lease(admin, 'backstage', { durationMs: CATALOGUE_LEASE_MS }),
        lookMs: 3_600_000,
        now: () => now,
      });
      t.after(() => watch.stop());
      return watch;
    };
    const ownerBy = (watch: { owners(): CatalogueWatch['owners'] extends () => infer T ? T : never }) =>
      watch.owners().find(IN_SHOP, NOWHERE)?.owner ?? null;

    const here = await data.open();
    const first = await open(here);
    await eventually('the first reading', () => ownerBy(first) === 'first');
    const second = await open(await data.open());
    assert.deepEqual([ownerBy(second), server.asked], ['first', 1], 'the copy is enough');
    const { read, entities, rules, failures, error } = second.served();
    assert.deepEqual(
      [read, entities, rules, failures, error],
      ['2027-01-15T08:00:00.000000Z', 1, 1, 0, null],
    );

    const rulesFirst = await OwnerWatch.open({
      ...{ admin: here, settingRules: [ownerRule('path:/x=x')], catalogue: first, log },
    });
    t.after(() => rulesFirst.stop());
    let changes = 0;
    rulesFirst.onChange(() => {
      changes += 1;
    });
    assert.equal(ownerBy(rulesFirst), 'first');
    assert.equal(rulesFirst.rules().catalogue?.entities, 1);
    server.entities = [shop('next')];
    now += 3_600_000;
    await first.read();
    assert.deepEqual([ownerBy(rulesFirst), changes], ['next', 1]);
    await rulesFirst.change({ rules: ['namespace:shop=stored'] }, { name: 'ada', sourceAddress: null });
    assert.equal(ownerBy(rulesFirst), 'stored', 'rules come before the catalogue');

    server.behaviour = 'error';
    now += 60_000;
    await first.read();
    await first.read();
    await second.look();
    for (const watch of [first, second]) {
      const served = watch.served();
      assert.deepEqual([ownerBy(watch), served.failures], ['next', 2]);
      assert.match(served.error!, /answered with status 500$/);
      assert.deepEqual(
        [served.read, served.failed],
        ['2027-01-15T09:00:00.000000Z', '2027-01-15T09:01:00.000000Z'],
      );
    }
    const counters = first.counters();
    assert.deepEqual(
      [counters['reads'], counters['reads_failed'], counters['failures'], counters['age_seconds']],
      [2, 2, 2, 60],
    );
    server.behaviour = 'good';
    await first.read();
    assert.deepEqual([first.served().failures, first.served().error], [0, null]);
    assert.ok(!lines.join('').includes(TOKEN), 'no line of the log has the token');
  });

  test('a copy of another address, and a damaged one, are not used', async (t) => {
    const admin = await (await create()).open();
    server.entities = [shop('here')];
    server.behaviour = 'good';
    const options = {
      ...{ tokenFile, caFile: null, intervalMs: 3_600_000, admin, log, lookMs: 3_600_000 },
      lease: new Lease(admin, 'backstage', { durationMs: CATALOGUE_LEASE_MS }),
    };
    const watch = await CatalogueWatch.open({ ...options, url: server.url });
    t.after(() => watch.stop());
    await eventually('the first reading', () => watch.served().entities === 1);
    const other = await CatalogueWatch.open({ ...options, url: 'http://127.0.0.1:1' });
    t.after(() => other.stop());
    await eventually('a failure', () => other.served().failures === 1);
    assert.deepEqual([other.served().read, other.served().entities], [null, 0]);
    await watch.read();
    assert.equal(watch.served().entities, 1);
    await admin.settings.put('catalogue_state', { url: 5 });
    await watch.look();
    assert.deepEqual([watch.served().entities, watch.counters()['copies_failed']], [1, 1]);
  });
});
