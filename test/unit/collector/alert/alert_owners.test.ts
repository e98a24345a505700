/** Tests that alerts about hosts, groups and workloads go to the destinations of their owners. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ownerFilter } from '../../../../collector/admin/alert_owners.ts';
import { withOwner } from '../../../../collector/alert/alert_owner.ts';
import { newDestination } from '../../../../collector/contract/destination.ts';
import { ownerRule } from '../../../../collector/insight/owner_rules.ts';
import { ownersByRules } from '../../../../collector/insight/owners.ts';
import { benchOf, receiver, webhook } from '../../../support/collector/alert/alert_benches.ts';
import { hostOf, offenderOf } from '../../../support/collector/alert/findings.ts';
import { status } from '../../../support/collector/alert/http_receiver.ts';
import { NO_TRIAGE } from '../../../support/collector/triage.ts';

const byTeam = (...rules: string[]) => ownersByRules(rules.map(ownerRule), 'stored');
const offenderOwnedBy = (number: number, owner: string | null) =>
  offenderOf(number, { triage: { ...NO_TRIAGE, owner } });

test('a filter takes what one of its patterns matches, and what has no owner only where it says so', () => {
  const name = fc.stringMatching(/^[a-c.]{1,4}$/);
  const pattern = fc.stringMatching(/^[a-c.*]{1,4}$/);
  fc.assert(
    fc.property(fc.array(pattern, { maxLength: 3 }), fc.boolean(), name, (patterns, unowned, owner) => {
      const takes = ownerFilter({ patterns, unowned });
      const expected = patterns.some((each) =>
        new RegExp(`^${each.replaceAll('.', '\\.').replaceAll('*', '.*')}$`).test(owner),
      );
      assert.equal(takes(owner), expected);
      assert.equal(takes(null), unowned);
      assert.equal(ownerFilter(null)(owner) && ownerFilter(null)(null), true);
    }),
  );
});

test('hosts have their owner by tag or account, and groups by the accounts of their members', () => {
  const complete = withOwner(byTeam('tag:team', 'account:1111*=platform'));
  const place = { account: null, region: null, accounts: [] as string[], regions: [], tags: {} };
  const draft = (type: 'host' | 'group' | 'plan', given: object) =>
    complete({
      rule: 'host_silent',
      subject: 'x',
      state: 'firing',
      severity: 'warning',
      title: 't',
      text: 't',
      object: { type, id: 'x', name: 'x', ...place, owner: null, ...given },
      hosts: [],
    }).object!.owner;
  assert.equal(draft('host', { tags: { team: 'web' }, account: '111122223333' }), 'web');
  assert.equal(draft('host', { account: '111122223333' }), 'platform');
  assert.equal(draft('host', { account: '999922223333' }), null);
  assert.equal(draft('group', { accounts: ['111122223333'] }), 'platform');
  assert.equal(draft('group', { accounts: ['111122223333', '999922223333'] }), null);
  assert.equal(draft('plan', { accounts: ['111122223333'] }), null);
  assert.equal(draft('host', { owner: 'kept', tags: { team: 'web' } }), 'kept');
});

test('alerts are sent to the owner, and those for nobody are counted, logged and listed', async () => {
  const bench = benchOf();
  bench.owners = byTeam('tag:team');
  const [web, pay] = [await receiver(status(200)), await receiver(status(200))];
  const limited = (name: string, url: string, patterns: string[]) =>
    newDestination.parse({ ...webhook(name, url), owners: { patterns, unowned: false } });
  await bench.alerts.addDestination(limited('web', web.url, ['web']), 'joe');
  const { id } = await bench.alerts.addDestination(limited('pay', pay.url, ['pay*']), 'joe');
  await bench.alerts.evaluate();
  bench.settle();
  bench.hosts = [hostOf(1, { tags: { team: 'web' } }), hostOf(2)];
  await bench.alerts.evaluate();
  bench.pass(60);
  bench.hosts = [hostOf(1, { tags: { team: 'web' }, state: 'silent' }), hostOf(2, { state: 'silent' })];
  bench.offenders = [offenderOwnedBy(1, 'payments')];
  await bench.alerts.evaluate();
  await bench.alerts.sendDue();
  const rules = ({ received }: typeof web) =>
    received.map(({ body }) => {
      const { rule, state, object } = JSON.parse(body.toString());
      return [rule, state, object.owner];
    });
  assert.deepEqual(rules(web), [['host_silent', 'firing', 'web']]);
  assert.deepEqual(rules(pay), [['new_offender', 'firing', 'payments']]);
  const { last: _last, ...unrouted } = await bench.alerts.unrouted();
  assert.equal(unrouted.owner, null);
  assert.match(unrouted.title!, /web-2/);
  assert.equal(unrouted.count, 1);
  assert.equal(bench.alerts.counters()['unrouted'], 1);
  assert.match(bench.logged.join(''), /"alerts":1,.*alerts are for no destination/);
  assert.equal((await bench.told()).length, 3);

  bench.hosts = [hostOf(1, { tags: { team: 'payments' } }), hostOf(2)];
  bench.pass(3600);
  await bench.alerts.evaluate();
  await bench.alerts.sendDue();
  assert.deepEqual(rules(web).slice(1), [['host_silent', 'resolved', 'web']], 'the team that was alerted');
  assert.equal(pay.received.length, 1);

  const opened = await bench.alerts.changeDestination(id, { owners: null }, 'joe');
  assert.equal(opened!.owners, null);
  bench.offenders = [...bench.offenders, offenderOwnedBy(2, 'nobody knows')];
  await bench.alerts.evaluate();
  await bench.alerts.sendDue();
  assert.equal(pay.received.length, 2);
});

test('people get a summary of what their owners have, at its begin and at its end', async () => {
  const bench = benchOf();
  const [some, rest] = [await receiver(status(200)), await receiver(status(200))];
  const digest = (name: string, url: string, owners: object) =>
    newDestination.parse({ ...webhook(name, url), digest: true, owners });
  await bench.alerts.addDestination(digest('pay', some.url, { patterns: ['pay'], unowned: false }), 'joe');
  await bench.alerts.addDestination(digest('rest', rest.url, { patterns: [], unowned: true }), 'joe');
  await bench.alerts.evaluate();
  const numbers = Array.from({ length: 15 }, (_, index) => index + 1);
  bench.offenders = numbers.map((number) => offenderOwnedBy(number, number <= 12 ? 'pay' : null));
  await bench.alerts.evaluate();
  await bench.alerts.sendDue();
  const titles = ({ received }: typeof some) =>
    received.map(({ body }) => JSON.parse(body.toString()).title as string);
  assert.deepEqual(titles(some), ['12 new IMDSv1 callers']);
  assert.equal(rest.received.length, 3);
  // The rule about the end knows ids only. The owners are those of the open alerts.
  bench.offenders = [];
  bench.pass(15 * 86_400);
  await bench.alerts.evaluate();
  await bench.alerts.sendDue();
  assert.equal(some.received.length, 2);
  assert.match(titles(some)[1]!, /^12 /);
  assert.equal(rest.received.length, 6);
  assert.deepEqual(await bench.alerts.unrouted(), { count: 0, last: null, title: null, owner: null });
  assert.equal((await bench.told()).length, 30, 'own summaries are not in the list');
});
