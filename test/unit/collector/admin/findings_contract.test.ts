/** Tests what alerts, triage and plans promise on every kind of database. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Audience } from '../../../../collector/admin/alert_records.ts';
import { StaleStateError } from '../../../../collector/admin/alert_subjects.ts';
import type { AlertRows } from '../../../../collector/admin/alerts.ts';
import type { Alert } from '../../../../collector/contract/alert.ts';
import { onEachAdminStore } from '../../../support/collector/admin/admin_stores.ts';
import { alertOf } from '../../../support/collector/alert/alert_values.ts';
import { PLACE } from '../../../support/enforce/plans.ts';
import { PLAN_ID, planReport, stepReport } from '../../../support/enforce/reports.ts';

const NOW = Date.parse('2026-03-02T00:00:00Z');
const at = (minute: number) => new Date(Date.parse('2026-03-01T00:00:00Z') + minute * 60_000).toISOString();
const ADA = { name: 'ada', sourceAddress: '192.0.2.7' };
const OTHER_PLAN = 'p-0123456789ac';

const recorded = (subject: string, given: Partial<Alert> = {}, audience: Audience = 'all') => ({
  alert: alertOf({ subject, ...given }),
  audience,
});

function destination(name: string, given: Partial<Parameters<AlertRows['addDestination']>[0]> = {}) {
  const config = { kind: 'http' as const, preset: 'webhook', values: { url: 'https://example.com/' } };
  return {
    id: `id of ${name}`,
    name,
    enabled: true,
    rules: ['host_silent' as const],
    digest: false,
    sendResolved: true,
    config,
    createdUs: 5,
    ...given,
  };
}

onEachAdminStore('alerts, triage and plans', (create) => {
  test('alerts wait for the destinations that want their rule, and are sent in their order', async () => {
    const { alerts } = await (await create()).open();
    for (const row of [destination('b'), destination('Z'), destination('off', { enabled: false })]) {
      await alerts.addDestination(row);
    }
    await alerts.addDestination(destination('other', { rules: ['coverage_lost'] }));
    assert.deepEqual(
      (await alerts.destinations()).map(({ name, enabled }) => [name, enabled]),
      [
        ['Z', true],
        ['b', true],
        ['off', false],
        ['other', true],
      ],
      'in the order of bytes',
    );
    const given = [recorded('one'), recorded('two')];
    assert.deepEqual(await alerts.record(given, [], 1_000, null), { overflowed: 0, unrouted: 0 });
    const waiting = Object.fromEntries((await alerts.destinations()).map((row) => [row.name, row.waiting]));
    assert.deepEqual(waiting, { Z: 2, b: 2, off: 0, other: 0 });
    assert.deepEqual(await alerts.due('id of b', 999, 9), []);
    const due = await alerts.due('id of b', 1_000, 9);
    assert.deepEqual(
      due.map(({ alert }) => alert),
      given.map(({ alert }) => alert),
    );
    await alerts.postpone('id of b', due[0]!.number, 3, 5_000);
    const later = await alerts.due('id of b', 5_000, 9);
    assert.deepEqual(
      later.map(({ alert, attempts, queuedUs }) => [alert.subject, attempts, queuedUs]),
      [
        ['two', 0, 1_000],
        ['one', 3, 1_000],
      ],
    );
    await alerts.unqueue('id of b', due[1]!.number);
    assert.equal((await alerts.due('id of b', 5_000, 9)).length, 1);
    await alerts.noteError('id of b', 'it failed');
    assert.equal((await alerts.destinations())[1]!.lastError, 'it failed');
    await alerts.noteDelivered('id of b', 9);
    const [, noted] = await alerts.destinations();
    assert.deepEqual([noted!.lastError, noted!.lastDeliveredUs], [null, 9]);
    assert.equal(await alerts.removeDestination('id of b'), true);
    assert.equal(await alerts.removeDestination('id of b'), false);
    assert.deepEqual(await alerts.due('id of b', 9_000, 9), []);
    assert.deepEqual(
      (await alerts.recent(1)).map(({ subject }) => subject),
      ['two'],
    );
  });

  test('people get the summary, machines each of its alerts, and some no alerts about the end', async () => {
    const { alerts } = await (await create()).open();
    await alerts.addDestination(destination('people', { digest: true }));
    await alerts.addDestination(destination('machine', { sendResolved: false }));
    const over = { state: 'resolved', started: null, ended: '2026-03-02T00:00:00.000001Z' } as const;
    await alerts.record(
      [
        recorded('one', {}, 'each'),
        recorded('two', {}, 'each'),
        recorded('summary', { ends: false }, 'digest'),
        recorded('three'),
        recorded('four', over),
      ],
      [],
      1,
      null,
    );
    const sentTo = async (name: string) =>
      (await alerts.due(`id of ${name}`, 9, 9)).map(({ alert }) => alert.subject);
    assert.deepEqual(await sentTo('people'), ['summary', 'three', 'four']);
    assert.deepEqual(await sentTo('machine'), ['one', 'two', 'three']);
    const listed = async (digest: boolean) =>
      (await alerts.recent(9, { digest })).map(({ subject }) => subject);
    assert.deepEqual(await listed(true), ['four', 'three', 'summary']);
    assert.deepEqual(await listed(false), ['four', 'three', 'two', 'one']);
  });

  test('what resolves an alert knows what it was about, since when, and how severe it was', async () => {
    const { alerts } = await (await create()).open();
    const object: Alert['object'] = {
      ...{
        type: 'host' as const,
        id: 'i-1',
        name: 'web-1',
        account: '1',
        region: null,
        accounts: ['1'],
        regions: [],
      },
      ...{ tags: { team: 'a' }, owner: null },
    };
    const hosts = [{ id: 'i-1', name: 'web-1' }];
    const first = recorded('i-1', { object, hosts, severity: 'critical' });
    await alerts.record([first], [], 1, null);
    const again = recorded('i-1', { time: '2026-03-03T00:00:00.000000Z', object, hosts });
    await alerts.record([again, recorded('i-2')], [], 2, null);
    const started = first.alert.time;
    assert.deepEqual(
      await alerts.open(),
      [recorded('i-2', { id: (await alerts.recent(1))[0]!.id }).alert, { ...again.alert, started }].toSorted(
        (left, right) => left.dedup_key.localeCompare(right.dedup_key),
      ),
    );
    const ended = '2026-03-04T00:00:00.000000Z';
    const over = { state: 'resolved', started: null, ended, time: ended } as const;
    await alerts.record([recorded('i-1', over), recorded('i-9', over)], [], 3, null);
    const [unknown, known] = await alerts.recent(2);
    assert.deepEqual(
      [known!.started, known!.ended, known!.object, known!.hosts, known!.severity],
      [started, ended, object, hosts, 'warning'],
    );
    assert.equal(known!.title, 'Over: "i-1"');
    assert.deepEqual([unknown!.started, unknown!.object, unknown!.title], [null, null, '"i-9"']);
    assert.deepEqual(
      (await alerts.open()).map(({ subject }) => subject),
      ['i-2'],
    );
  });

  test('beyond 10,000 alerts that wait for one destination the oldest are left out', async () => {
    const { alerts } = await (await create()).open();
    await alerts.addDestination(destination('a'));
    const given = Array.from({ length: 10_003 }, (_, number) => recorded(`number ${number}`));
    assert.deepEqual(await alerts.record(given, [], 1, null), { overflowed: 3, unrouted: 0 });
    const [first] = await alerts.due('id of a', 1, 1);
    assert.equal(first!.alert.subject, 'number 3');
  });

  test('states of subjects are replaced and deleted, from the state of before alone', async () => {
    const { alerts } = await (await create()).open();
    const state = { told: 5, text: 'ü\0', list: [null, true] };
    const change = (id: string, before: unknown, next: unknown) => ({
      kind: 'host',
      id,
      before,
      state: next,
    });
    const record = (...changes: ReturnType<typeof change>[]) =>
      alerts.record([recorded('x')], changes, 1, null).then(() => 'stored');
    const found = async () =>
      Object.fromEntries((await alerts.subjects(['host'])).map(({ id, state: known }) => [id, known]));
    assert.equal(await record(change('h', null, state), change('i', null, 1)), 'stored');
    await alerts.record([], [{ kind: 'group', id: 'h', before: null, state: 2 }], 1, null);
    assert.deepEqual(await found(), { h: state, i: 1 });
    await assert.rejects(record(change('j', null, 1), change('h', null, 2)), StaleStateError);
    await assert.rejects(record(change('h', { ...state, told: 4 }, 2)), StaleStateError);
    await assert.rejects(record(change('k', 1, 2)), StaleStateError);
    await assert.rejects(record(change('k', 1, null)), StaleStateError);
    assert.deepEqual(await found(), { h: state, i: 1 });
    assert.equal((await alerts.recent(9)).length, 1, 'nor are its alerts stored');
    await record(change('h', { ...state, missing: undefined }, { told: 6 }), change('i', 1, null));
    assert.deepEqual(await found(), { h: { told: 6 } });
    assert.deepEqual(await alerts.subjects(['group', 'plan']), [{ kind: 'group', id: 'h', state: 2 }]);
  });

  test('thousands of states are changed at once', async () => {
    const { alerts } = await (await create()).open();
    const changes = (before: number | null, state: number | null) =>
      Array.from({ length: 3_000 }, (_, at) => ({ kind: 'host', id: `host-${at}`, before, state }));
    await alerts.record([], changes(null, 1), 1, null);
    await alerts.record([], changes(1, 2), 1, null);
    const found = await alerts.subjects(['host']);
    assert.deepEqual([found.length, found.every(({ state }) => state === 2)], [3_000, true]);
    const [late, ...rest] = changes(2, null);
    await assert.rejects(alerts.record([], [...rest, { ...late!, before: 1 }], 1, null), StaleStateError);
    await alerts.record([], changes(2, null), 1, null);
    assert.deepEqual(await alerts.subjects(['host']), []);
  });

  test('changes of a triage by several people at once are all kept', async () => {
    const data = await create();
    const [here, there] = [await data.open(), await data.open()];
    const subject = { workload: 'w', title: '/opt/bad', joined: [] };
    await Promise.all([
      here.triage.change(subject, { state: 'in_progress' }, ADA, NOW),
      there.triage.change(subject, { owner: 'payments' }, ADA, NOW),
      here.triage.change(subject, { ticket: 'OPS-7' }, ADA, NOW),
      there.triage.change(subject, { notes: 'none\0' }, ADA, NOW),
    ]);
    const [record, ...others] = await here.triage.all();
    assert.deepEqual(others, []);
    const { state, owner, ticket, setBy, setUs } = record!;
    assert.deepEqual(
      [state, owner, ticket, setBy, setUs],
      ['in_progress', 'payments', 'OPS-7', 'ada', NOW * 1000],
    );
    assert.match(record!.notes!, /^none[\0\ufffd]$/);
    assert.equal((await there.auditLog.newest({ limit: 9 })).length, 4);
    await here.triage.change({ ...subject, workload: 'v', joined: ['w'] }, { state: 'fixed' }, ADA, NOW + 1);
    assert.deepEqual(
      (await there.triage.all()).map(({ workload, owner: kept }) => [workload, kept]),
      [['v', 'payments']],
    );
  });

  test('a plan is shown as it was reported, by wave and group', async () => {
    const { plans } = await (await create()).open();
    const refusal = { host: 'i-1', caller_id: 'c', caller: '/opt/a', at: at(5) };
    const steps = [
      stepReport(1, { group: 'asg:b', state: 'rolled_back', since: at(6), refusal }),
      stepReport(2, {
        group: 'asg:b',
        wave: 1,
        role: 'canary',
        state: 'held',
        since: at(7),
        refusal,
        reason: 'Because.',
      }),
      stepReport(3, { group: 'asg:B', wave: 1, state: 'soaking', since: at(8), soak_percent: 20 }),
    ];
    const result = await plans.report(PLAN_ID, planReport(steps), 'command:ada', NOW);
    assert.deepEqual([result.steps, result.sequence_before, result.changes.length], [3, null, 3]);
    const found = (await plans.one(PLAN_ID))!;
    assert.deepEqual(
      found.waves.map(({ wave, group, step_count, first_position }) => [
        wave,
        group,
        step_count,
        first_position,
      ]),
      [
        [1, 'asg:B', 1, 2],
        [1, 'asg:b', 2, 0],
      ],
    );
    assert.deepEqual(found.refusals, [
      { ...refusal, at: '2026-03-01T00:05:00.000000Z', rolled_back: 1, held: 1 },
    ]);
    assert.deepEqual([found.states.held, found.states.soaking, found.states.planned], [1, 1, 0]);
    const all = { states: null, group: null, wave: null, after: null, limit: 10 };
    const ids = async (question: Partial<Parameters<typeof plans.steps>[1]>) =>
      (await plans.steps(PLAN_ID, { ...all, ...question })).map(({ id }) => id).join(' ');
    assert.equal(await ids({}), 's3 s1 s2');
    assert.equal(await ids({ limit: 2 }), 's3 s1');
    assert.equal(await ids({ after: { wave: 1, group: 'asg:b', position: 0 } }), 's2');
    assert.equal(await ids({ states: ['held', 'soaking'] }), 's3 s2');
    assert.equal(await ids({ states: [] }), '');
    assert.equal(await ids({ group: 'asg:b', wave: 1, states: ['held'] }), 's2');
    assert.equal(await ids({ wave: 2 }), '');
    const held = await plans.stepsSince(PLAN_ID, 'held', Date.parse(at(6)) * 1000);
    assert.deepEqual(
      held.map(({ atUs, wasUndone, step }) => [atUs, wasUndone, step.reason]),
      [[Date.parse(at(7)) * 1000, false, 'Because.']],
    );
    assert.equal((await plans.stepsSince(PLAN_ID, 'undone', 0))[0]!.wasUndone, true);
    await assert.rejects(() => plans.report(PLAN_ID, planReport(steps, { sequence: 0 }), 'a', NOW), {
      exitCode: 2,
    });
  });

  test('reports in several processes at once have numbers in the order in which they are seen', async () => {
    const data = await create();
    const [here, there] = [await data.open(), await data.open()];
    let seen = 0;
    let going = true;
    const order: number[] = [];
    const look = async () => {
      for (const { change } of await there.plans.changedSince(seen)) order.push(change);
      seen = order.at(-1) ?? 0;
    };
    const watch = async () => {
      while (going) {
        await look();
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    };
    const watching = watch();
    const id = (number: number) => `p-${number.toString(16).padStart(12, '0')}`;
    await Promise.all(
      Array.from({ length: 30 }, (_, number) =>
        (number % 2 === 0 ? here : there).plans.report(id(number), planReport([stepReport(1)]), 'a', NOW),
      ),
    );
    going = false;
    await watching;
    await look();
    assert.deepEqual(
      order,
      Array.from({ length: 30 }, (_, index) => index + 1),
      'none is missed',
    );
    assert.equal(await here.plans.hasChangedSince(id(0), 30), false);
  });

  test('plans under way, unattended plans and confirmed hosts', async () => {
    const { plans } = await (await create()).open();
    const instance = { type: 'instance' as const, ...PLACE, id: 'i-1', name: null };
    const place = { type: 'account_default' as const, ...PLACE, id: null };
    const account = { ...place, name: null };
    const steps = [
      stepReport(1, { target: instance, state: 'soaking', since: at(1) }),
      stepReport(2, { target: account, state: 'sent', since: at(1), verdict: null }),
    ];
    await plans.report(PLAN_ID, planReport(steps), 'a', NOW);
    const target = { type: 'instance' as const, ...PLACE, id: 'i-1' };
    assert.deepEqual(await plans.underWayFor(target, OTHER_PLAN, NOW), [PLAN_ID]);
    assert.deepEqual(await plans.underWayFor(place, OTHER_PLAN, NOW), [PLAN_ID], 'a target without an id');
    assert.deepEqual(await plans.underWayFor({ ...target, id: null }, OTHER_PLAN, NOW), []);
    assert.deepEqual(await plans.underWayFor(target, PLAN_ID, NOW), []);
    assert.deepEqual(await plans.underWayFor(target, OTHER_PLAN, NOW + 90_001), []);
    assert.deepEqual(
      (await plans.unattended(NOW + 90_001)).map(({ id }) => id),
      [PLAN_ID],
    );
    const none = await plans.confirmedVersion();
    const confirmed = (minute: number, state: 'confirmed' | 'rolled_back' | 'drifted') =>
      plans.report(
        PLAN_ID,
        planReport([stepReport(1, { target: instance, state, since: at(minute) }), steps[1]!], {
          sequence: 2,
        }),
        'a',
        NOW,
      );
    await confirmed(10, 'confirmed');
    assert.notEqual(await plans.confirmedVersion(), none);
    await confirmed(9, 'rolled_back');
    const us = (minute: number) => Date.parse(at(minute)) * 1000;
    const host = { hostId: 'i-1', plan: PLAN_ID, step: 's1', confirmedUs: us(10), driftedUs: null };
    assert.deepEqual(await plans.confirmedHosts(), [host], 'the roll-back was earlier');
    await confirmed(11, 'drifted');
    assert.deepEqual(await plans.confirmedHosts(), [{ ...host, driftedUs: us(11) }]);
    await confirmed(12, 'rolled_back');
    assert.deepEqual(await plans.confirmedHosts(), []);
  });
});
