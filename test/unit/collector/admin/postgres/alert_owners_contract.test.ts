/** Tests on every kind of database that alerts go to the destinations of their owner, and that none is lost without a count. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { AdminStore } from '../../../../../collector/admin/admin_store.ts';
import type { RecordedAlert } from '../../../../../collector/admin/alert_records.ts';
import type { DestinationRow } from '../../../../../collector/admin/destination_row.ts';
import type { Alert, AlertObject } from '../../../../../collector/contract/alert.ts';
import type { DestinationOwners } from '../../../../../collector/contract/destination.ts';
import { onEachAdminStore } from '../../../../support/collector/admin/admin_stores.ts';
import { alertOf } from '../../../../support/collector/alert/alert_values.ts';

function objectOf(owner: string | null): AlertObject {
  const place = { account: null, region: null, accounts: [], regions: [], tags: {} };
  return { type: 'host', id: 'i-1', name: 'web-1', ...place, owner };
}

function alertOfOwner(subject: string, owner: string | null, given: Partial<Alert> = {}): Alert {
  return alertOf({ subject, object: objectOf(owner), ...given });
}

type AlertRows = AdminStore['alerts'];
type Given = Partial<Pick<DestinationRow, 'enabled' | 'digest' | 'sendResolved' | 'rules'>>;
async function add(alerts: AlertRows, name: string, owners: DestinationOwners | null, given: Given = {}) {
  const config = { kind: 'http' as const, preset: 'webhook', values: { url: 'https://example.com/' } };
  const switches = { enabled: true, digest: false, sendResolved: true };
  const rules = ['host_silent' as const];
  await alerts.addDestination({ id: name, name, ...switches, rules, config, createdUs: 5, owners, ...given });
}

async function sentTo(alerts: AlertRows, name: string): Promise<string[]> {
  return (await alerts.due(name, 9, 999)).map(({ alert }) => alert.subject);
}

const owner = fc.constantFrom(null, 'pay', 'payments', 'web', 'core.a');
const limits = fc.option(
  fc.record({
    patterns: fc.uniqueArray(fc.constantFrom('pay', 'pay*', '*s', 'web', '*', 'core?a'), { maxLength: 2 }),
    unowned: fc.boolean(),
  }),
  { nil: null },
);
/** The same filter as a regular expression. */
function takes(owners: DestinationOwners | null, name: string | null): boolean {
  if (owners === null || name === null) return owners?.unowned ?? true;
  const source = owners.patterns.map((each) => each.replace(/[.?]/g, '\\$&').replaceAll('*', '.*'));
  return new RegExp(`^(?:${source.join('|') || '(?!)'})$`).test(name);
}

onEachAdminStore('owners of alerts', (create) => {
  test('each alert goes to every destination of its owner, or is counted', async () => {
    const { alerts } = await (await create()).open();
    let unrouted = 0;
    const sets = fc.array(limits, { minLength: 1, maxLength: 3 });
    const owned = fc.array(owner, { minLength: 1, maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(sets, owned, async (destinations, owners) => {
        const names = destinations.map((_, index) => `d${index}`);
        for (const [index, each] of destinations.entries()) await add(alerts, names[index]!, each);
        const recorded = owners.map((each, index): RecordedAlert => {
          return { alert: alertOfOwner(`${index}`, each), audience: 'all' };
        });
        const lost = owners.filter((each) => !destinations.some((given) => takes(given, each))).length;
        unrouted += lost;
        assert.deepEqual(await alerts.record(recorded, [], 1, null), { overflowed: 0, unrouted: lost });
        for (const [index, each] of destinations.entries()) {
          const expected = owners.flatMap((name, at) => (takes(each, name) ? [`${at}`] : []));
          assert.deepEqual(await sentTo(alerts, names[index]!), expected);
        }
        assert.equal((await alerts.unrouted()).count, unrouted);
        for (const name of names) await alerts.removeDestination(name);
      }),
      { numRuns: 25 },
    );
    assert.ok(unrouted > 0);
  });

  test('what reaches nobody is counted with its owner, unless no destination wants such alerts', async () => {
    const { alerts } = await (await create()).open();
    const pay = { patterns: ['pay'], unowned: false };
    await add(alerts, 'pay', pay, { sendResolved: false });
    await add(alerts, 'off', null, { enabled: false });
    await add(alerts, 'other rule', { patterns: ['web'], unowned: true }, { rules: ['coverage_lost'] });
    const all = (alert: Alert): RecordedAlert => ({ alert, audience: 'all' });
    assert.deepEqual(await alerts.unrouted(), { count: 0, last: null, title: null, owner: null });
    const over = { state: 'resolved', started: null, ended: '2026-03-02T00:00:00.000001Z' } as const;
    const { unrouted } = await alerts.record(
      [
        all(alertOfOwner('paid', 'pay')),
        all(alertOfOwner('lost', 'web', { title: 'lost' })),
        all(alertOfOwner('nobody', null, { title: 'nobody' })),
        // The destinations that want this rule do not want its end, and nobody wants the other rule.
        all(alertOfOwner('over', 'web', over)),
        all(alertOfOwner('unwanted', 'web', { rule: 'group_ready' })),
      ],
      [],
      1,
      null,
    );
    assert.equal(unrouted, 2);
    const last = '2026-03-02T00:00:00.000001Z';
    assert.deepEqual(await alerts.unrouted(), { count: 2, last, title: 'nobody', owner: null });
    assert.deepEqual(await sentTo(alerts, 'pay'), ['paid']);
    assert.equal((await alerts.recent(9)).length, 5, 'the list has them all');
    await alerts.record([all(alertOfOwner('again', 'web', { title: 'again' }))], [], 2, null);
    assert.deepEqual(await alerts.unrouted(), { count: 3, last, title: 'again', owner: 'web' });
    const [row] = (await alerts.destinations()).filter(({ id }) => id === 'pay');
    assert.deepEqual(row!.owners, pay);
    await alerts.changeDestination({ ...row!, owners: null });
    await alerts.record([all(alertOfOwner('third', 'web'))], [], 3, null);
    assert.deepEqual(await sentTo(alerts, 'pay'), ['paid', 'third']);
    assert.equal((await alerts.unrouted()).count, 3);
  });

  test('the end of an alert goes to whoever got its begin, although the owner has changed', async () => {
    const { alerts } = await (await create()).open();
    await add(alerts, 'pay', { patterns: ['pay'], unowned: false });
    await add(alerts, 'rest', { patterns: ['web'], unowned: true });
    await alerts.record([{ alert: alertOfOwner('one', 'pay'), audience: 'all' }], [], 1, null);
    await alerts.record([{ alert: alertOfOwner('two', 'pay'), audience: 'all' }], [], 1, null);
    const ended = '2026-03-03T00:00:00.000000Z';
    const over = { state: 'resolved', started: null, ended, time: ended } as const;
    const ends = [alertOfOwner('one', 'web', over), alertOf({ subject: 'two', ...over })];
    const recorded = ends.map((alert): RecordedAlert => ({ alert, audience: 'all' }));
    assert.equal((await alerts.record(recorded, [], 2, null)).unrouted, 0);
    assert.deepEqual(await sentTo(alerts, 'pay'), ['one', 'two', 'one', 'two']);
    assert.deepEqual(await sentTo(alerts, 'rest'), []);
    assert.deepEqual(
      (await alerts.recent(2)).map(({ object }) => object?.owner),
      ['pay', 'pay'],
    );
  });

  test('a summary for one destination replaces the alerts that it stands for, there alone', async () => {
    const { alerts } = await (await create()).open();
    const pay = { patterns: ['pay'], unowned: false };
    await add(alerts, 'people', pay, { digest: true });
    await add(alerts, 'machine', pay);
    await add(alerts, 'all', null, { digest: true });
    await add(alerts, 'each', null);
    const [one, two, web] = [alertOfOwner('1', 'pay'), alertOfOwner('2', 'pay'), alertOfOwner('3', 'web')];
    const each = [one, two, web].map((alert): RecordedAlert => ({ alert, audience: 'each' }));
    const summary = (subject: string) => alertOf({ subject, ends: false });
    const own = { audience: 'own' as const, destination: 'people', covers: [one.id, two.id] };
    await alerts.record(
      [...each, { alert: summary('pay sum'), ...own }, { alert: summary('sum'), audience: 'digest' }],
      [],
      1,
      null,
    );
    assert.deepEqual(await sentTo(alerts, 'people'), ['pay sum']);
    assert.deepEqual(await sentTo(alerts, 'machine'), ['1', '2']);
    assert.deepEqual(await sentTo(alerts, 'all'), ['sum']);
    assert.deepEqual(await sentTo(alerts, 'each'), ['1', '2', '3']);
    const listed = async (digest: boolean) =>
      (await alerts.recent(9, { digest })).map(({ subject }) => subject);
    assert.deepEqual(await listed(true), ['sum']);
    assert.deepEqual(await listed(false), ['3', '2', '1']);
  });
});
