/** Tests the rows of plans: reports that build on each other, bounds, and hosts whose change was confirmed. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ADMIN, openAdmin } from '../../../../collector/admin/admin_schema.ts';
import { PLANS_STEP } from '../../../../collector/admin/plans_schema.ts';
import { SqliteAdminStore } from '../../../../collector/admin/sqlite/sqlite_admin_store.ts';
import { openForWriting } from '../../../../collector/store/sqlite/database.ts';
import { instanceId } from '../../../support/enforce/plans.ts';
import { PLAN_ID, planReport, stepReport } from '../../../support/enforce/reports.ts';

const directory = mkdtempSync(join(tmpdir(), 'imdswatch-plans-'));
after(() => rmSync(directory, { recursive: true }));
let stores = 0;
const NOW = Date.parse('2026-03-01T01:00:00Z');
const at = (minute: number) => `2026-03-01T00:${String(minute).padStart(2, '0')}:00.000Z`;

function newStore(): SqliteAdminStore {
  stores += 1;
  const database = openAdmin(join(directory, String(stores)));
  after(() => database.close());
  return new SqliteAdminStore(database);
}

test('a database of an earlier release gets the tables, and keeps what it has', async () => {
  const dataDir = join(directory, 'earlier');
  const before = ADMIN.migrations.slice(0, ADMIN.migrations.indexOf(PLANS_STEP));
  const earlier = openForWriting(dataDir, { ...ADMIN, migrations: before });
  earlier.exec(`INSERT INTO settings (key, value) VALUES ('kept', '1')`);
  earlier.close();
  const database = openAdmin(dataDir);
  const admin = new SqliteAdminStore(database);
  assert.equal(await admin.settings.get('kept'), 1);
  assert.deepEqual(await admin.plans.all(), []);
  database.close();
});

test('reports build on each other, and an older one is refused', async () => {
  const { plans } = newStore();
  const all = [1, 2, 3].map((number) => stepReport(number));
  assert.equal(
    (await plans.report(PLAN_ID, planReport(all.slice(0, 2), { step_count: 3 }), 'a', NOW)).steps,
    2,
  );
  assert.equal((await plans.report(PLAN_ID, planReport(all.slice(2), { step_count: 3 }), 'a', NOW)).steps, 3);
  const sent = stepReport(2, { state: 'sent', since: at(5) });
  const result = await plans.report(
    PLAN_ID,
    planReport([sent], { step_count: 3, sequence: 9 }),
    'b',
    NOW + 1,
  );
  assert.deepEqual(result, {
    steps: 3,
    sequence_before: 1,
    changes: [{ step: 's2', before: 'planned', after: 'sent' }],
    phase: null,
  });
  const old = planReport([stepReport(2)], { step_count: 3, sequence: 8 });
  await assert.rejects(() => plans.report(PLAN_ID, old, 'a', NOW), /covers 8 events .*, and 9 are known/);
  const other = planReport([], { step_count: 4, sequence: 9 });
  await assert.rejects(() => plans.report(PLAN_ID, other, 'a', NOW), /has 3 steps, not 4/);
  const beyond = planReport([stepReport(4)], { step_count: 3, sequence: 9 });
  await assert.rejects(() => plans.report(PLAN_ID, beyond, 'a', NOW), /beyond the 3 steps/);
  const renamed = planReport([{ ...stepReport(2), id: 's7' }], { step_count: 3, sequence: 9 });
  await assert.rejects(() => plans.report(PLAN_ID, renamed, 'a', NOW), /is s2, not s7/);

  const found = (await plans.one(PLAN_ID))!;
  assert.deepEqual([found.reported_by, found.reported], ['b', '2026-03-01T01:00:00.001000Z']);
  assert.deepEqual([found.states.planned, found.states.sent], [2, 1]);
  assert.deepEqual(
    found.waves.map(({ wave, role, step_count, first_position }) => [wave, role, step_count, first_position]),
    [
      [1, 'canary', 1, 0],
      [2, 'wave', 2, 1],
    ],
  );
  const { waves: _waves, wave_count: waves, refusals: _refusals, ...head } = found;
  assert.equal(waves, 2);
  assert.deepEqual(await plans.all(), [head]);
});

test('a plan is under way for a target while its process reports, until the step is at its end', async () => {
  const { plans } = newStore();
  const { type, account, region, id } = stepReport(1).target;
  const target = { type, account, region, id };
  const soaking = stepReport(1, { state: 'soaking', since: at(5) });
  const carried = { phase: 'running', is_carried_out: true } as const;
  await plans.report(PLAN_ID, planReport([soaking], { ...carried, sequence: 9 }), 'a', NOW);
  const other = 'p-ffffffffffff';
  assert.deepEqual(await plans.underWayFor(target, other, NOW + 60_000), [PLAN_ID]);
  assert.deepEqual(await plans.underWayFor(target, PLAN_ID, NOW), [], 'a plan does not stand in its own way');
  for (const elsewhere of [{ id: 'i-other' }, { account: '999999999999' }, { region: 'us-east-1' }]) {
    assert.deepEqual(await plans.underWayFor({ ...target, ...elsewhere }, other, NOW), []);
  }
  assert.deepEqual(await plans.underWayFor(target, other, NOW + 120_000), [], 'its process is silent');
  const ended = stepReport(1, { state: 'confirmed', since: at(6) });
  await plans.report(PLAN_ID, planReport([ended], { ...carried, sequence: 10 }), 'a', NOW);
  assert.deepEqual(await plans.underWayFor(target, other, NOW), []);
  await plans.report(
    PLAN_ID,
    planReport([soaking], { ...carried, is_carried_out: false, sequence: 11 }),
    'a',
    NOW,
  );
  assert.deepEqual(await plans.underWayFor(target, other, NOW), [], 'no process carries it out');
});

test('steps are listed by wave and group, page by page', async () => {
  const { plans } = newStore();
  const steps = Array.from({ length: 7 }, (_, index) =>
    stepReport(index + 1, { wave: index % 2, group: index % 3 === 0 ? 'asg:b' : 'asg:a' }),
  );
  await plans.report(PLAN_ID, planReport(steps), 'a', NOW);
  const question = { states: null, group: null, wave: null };
  const pages: string[] = [];
  let last: { wave: number; group: string; position: number } | null = null;
  for (;;) {
    const page = await plans.steps(PLAN_ID, { ...question, after: last, limit: 2 });
    if (page.length === 0) break;
    pages.push(...page.map(({ wave, group, id }) => `${wave} ${group} ${id}`));
    last = page.at(-1)!;
  }
  assert.deepEqual(pages, [...pages].sort());
  assert.equal(pages.length, 7);
  const only = await plans.steps(PLAN_ID, { ...question, group: 'asg:b', wave: 1, after: null, limit: 10 });
  assert.deepEqual(
    only.map(({ id }) => id),
    ['s4'],
  );
  const none = await plans.steps(PLAN_ID, { ...question, states: ['held'], after: null, limit: 10 });
  assert.deepEqual(none, []);
});

test('refused calls are named once, with what followed from them; secrets in reasons are masked', async () => {
  const { plans } = newStore();
  const refusal = { host: instanceId(1), caller_id: 'ab', caller: '/opt/old', at: at(9) };
  const steps = [
    stepReport(1, { state: 'rolling_back', since: at(9), refusal, reason: 'AKIAIOSFODNN7EXAMPLE called' }),
    stepReport(2, { state: 'held', since: at(9), refusal }),
    stepReport(3),
  ];
  await plans.report(PLAN_ID, planReport(steps), 'a', NOW);
  assert.deepEqual((await plans.one(PLAN_ID))!.refusals, [
    { ...refusal, at: '2026-03-01T00:09:00.000000Z', rolled_back: 1, held: 1 },
  ]);
  const [first] = await plans.steps(PLAN_ID, {
    states: null,
    group: null,
    wave: null,
    after: null,
    limit: 1,
  });
  assert.ok(!first!.reason!.includes('AKIAIOSFODNN7EXAMPLE'), first!.reason!);

  const us = (minute: number) => Date.parse(at(minute)) * 1000;
  assert.deepEqual(
    (await plans.stepsSince(PLAN_ID, 'undone', us(8))).map(({ step }) => step.id),
    ['s1'],
  );
  assert.deepEqual(await plans.stepsSince(PLAN_ID, 'undone', us(9)), []);
  assert.deepEqual(
    (await plans.stepsSince(PLAN_ID, 'held', us(8))).map(({ step }) => step.id),
    ['s2'],
  );
  // The time of the roll-back stays when it is done.
  const done = planReport([{ ...steps[0]!, state: 'rolled_back', since: at(10) }], { step_count: 3 });
  await plans.report(PLAN_ID, done, 'a', NOW);
  assert.deepEqual(await plans.stepsSince(PLAN_ID, 'undone', us(9)), []);
});

test('a step that was held is new again where its roll-back has failed', async () => {
  const { plans } = newStore();
  const report = (state: 'held' | 'rolling_back', minute: number) =>
    plans.report(PLAN_ID, planReport([stepReport(1, { state, since: at(minute) })]), 'a', NOW);
  const us = (minute: number) => Date.parse(at(minute)) * 1000;
  const held = async (minute: number) =>
    (await plans.stepsSince(PLAN_ID, 'held', us(minute))).map(({ atUs, wasUndone }) => [atUs, wasUndone]);
  await report('held', 1);
  assert.deepEqual(await held(0), [[us(1), false]]);
  await report('rolling_back', 2);
  await report('held', 3);
  assert.deepEqual(await held(1), [[us(3), true]]);
  await report('held', 3);
  assert.deepEqual(await held(3), []);
});

test('what is new is found by the number of its change', async () => {
  const { plans } = newStore();
  await plans.report(PLAN_ID, planReport([stepReport(1)]), 'a', NOW);
  await plans.report('p-0123456789ac', planReport([stepReport(1)], { has_more: true }), 'a', NOW);
  const [first, second] = await plans.changedSince(0);
  assert.deepEqual([first!.plan.id, second!.plan.id, second!.hasMore], [PLAN_ID, 'p-0123456789ac', true]);
  assert.deepEqual(await plans.changedSince(second!.change), []);
  await plans.report(PLAN_ID, planReport([]), 'a', NOW);
  assert.deepEqual(
    (await plans.changedSince(second!.change)).map(({ plan }) => plan.id),
    [PLAN_ID],
  );
});

test('a host is confirmed by the latest step that says so, until it is rolled back', async () => {
  const { plans } = newStore();
  const host = (state: 'confirmed' | 'rolled_back' | 'drifted' | 'soaking', minute: number) =>
    stepReport(1, { state, since: at(minute) });
  const put = (id: string, step: ReturnType<typeof host>) => plans.report(id, planReport([step]), 'a', NOW);
  const us = (minute: number) => Date.parse(at(minute)) * 1000;
  await put(PLAN_ID, host('soaking', 1));
  assert.deepEqual(await plans.confirmedHosts(), []);
  await put(PLAN_ID, host('confirmed', 2));
  const confirmed = { hostId: instanceId(1), plan: PLAN_ID, step: 's1', confirmedUs: us(2), driftedUs: null };
  assert.deepEqual(await plans.confirmedHosts(), [confirmed]);
  await put(PLAN_ID, host('drifted', 3));
  assert.deepEqual(await plans.confirmedHosts(), [{ ...confirmed, driftedUs: us(3) }]);
  // Another plan confirms it again; what the first one reports late changes nothing.
  await put('p-0123456789ac', host('confirmed', 5));
  await put(PLAN_ID, host('rolled_back', 4));
  assert.deepEqual(await plans.confirmedHosts(), [
    { ...confirmed, plan: 'p-0123456789ac', confirmedUs: us(5) },
  ]);
  await put('p-0123456789ac', host('rolled_back', 6));
  assert.deepEqual(await plans.confirmedHosts(), []);
  const limit = stepReport(1, {
    state: 'confirmed',
    since: at(7),
    change: { http_tokens: null, hop_limit: 2 },
  });
  await put('p-0123456789ad', limit);
  assert.deepEqual(await plans.confirmedHosts(), [], 'a hop limit requires no token');
});

test('a plan that goes on and is not reported for 90 s is unattended', async () => {
  const { plans } = newStore();
  const soaking = stepReport(1, { state: 'soaking', since: at(1) });
  await plans.report(PLAN_ID, planReport([soaking], { phase: 'running' }), 'a', NOW);
  await plans.report('p-0123456789ac', planReport([soaking], { phase: 'ended' }), 'a', NOW);
  assert.deepEqual(await plans.unattended(NOW + 90_000), []);
  assert.deepEqual(
    (await plans.unattended(NOW + 90_001)).map(({ id }) => id),
    [PLAN_ID],
  );
});

test('plans whose processes were killed make room', async () => {
  const { plans } = newStore();
  const id = (number: number) => `p-${number.toString(16).padStart(12, '0')}`;
  for (let number = 0; number < 2000; number += 1) {
    await plans.report(id(number), planReport([], { is_carried_out: true, step_count: 1 }), 'a', NOW);
  }
  const another = () => plans.report(id(2000), planReport([stepReport(1)]), 'a', NOW + 60_000);
  await assert.rejects(another, /all of them are carried out now/);
  await plans.report(id(2000), planReport([stepReport(1)]), 'a', NOW + 100_000);
  assert.equal((await plans.all()).length, 2000);
});

test('the oldest plan makes room, which the audit log says; one that is carried out stays', async () => {
  const { plans, auditLog } = newStore();
  const id = (number: number) => `p-${number.toString(16).padStart(12, '0')}`;
  const created = (number: number) => new Date(NOW + number * 1000).toISOString();
  for (let number = 0; number < 2000; number += 1) {
    const given = { created: created(number), is_carried_out: number === 0 };
    await plans.report(id(number), planReport([], { ...given, step_count: 1 }), 'a', NOW);
  }
  await plans.report(id(2000), planReport([stepReport(1)], { created: created(2000) }), 'a', NOW);
  const kept = (await plans.all()).map((each) => each.id);
  assert.equal(kept.length, 2000);
  assert.deepEqual([kept.includes(id(0)), kept.includes(id(1)), kept[0]], [true, false, id(2000)]);
  const [entry] = await auditLog.newest({ limit: 1 });
  assert.deepEqual([entry!.action, entry!.subject, entry!.actor], ['plan.forget', id(1), 'collector']);
});
