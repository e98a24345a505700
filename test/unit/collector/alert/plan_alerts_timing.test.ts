/** Tests when calls on confirmed hosts are looked at, on a clock of the test's own. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mock, type TestContext, test } from 'node:test';
import { pino } from 'pino';
import { openAdmin } from '../../../../collector/admin/admin_schema.ts';
import type { SubjectRow } from '../../../../collector/admin/alert_subjects.ts';
import type { ConfirmedHost } from '../../../../collector/admin/confirmed_hosts.ts';
import { SqliteAdminStore } from '../../../../collector/admin/sqlite/sqlite_admin_store.ts';
import type { AlertDraft } from '../../../../collector/alert/alert_draft.ts';
import { PlanAlerts, type PlanAlertsParts } from '../../../../collector/alert/plan_alerts.ts';
import type { Plan } from '../../../../collector/contract/plan.ts';
import type { StoredBatch } from '../../../../collector/store/store.ts';
import { PLAN_STEP_STATES } from '../../../../protocol/plan_report.ts';
import { HOST, makeCall } from '../../../support/collector/calls.ts';
import { PLAN_ID, planReport, stepReport } from '../../../support/enforce/reports.ts';

const CONFIRMED_MS = Date.parse('2026-03-01T00:00:00Z');

function batchOf(hostId: string, status: number, atMs: number): StoredBatch {
  const { host, process, container, k8s, systemd, ...rest } = makeCall({
    time: new Date(atMs).toISOString().replace('Z', '000Z'),
    'http.response.status_code': status,
  });
  const { 'attribution.method': method, 'attribution.confidence': confidence, ...call } = rest;
  const facts = { 'attribution.method': method, 'attribution.confidence': confidence };
  return {
    stream: 's',
    seq: 1,
    host: { ...host, id: hostId },
    callers: [{ process, container, k8s, systemd, ...facts }],
    records: [{ kind: 'call', caller: 0, call }],
  };
}

/** Lets what the timers have begun go on to its end, which waits for nothing outside of this process. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Returns a clock that starts at a time. `tick` sets it and the timers on, and waits for what they have begun. */
function ownClock(t: TestContext, startMs: number) {
  mock.timers.enable({ apis: ['setTimeout'] });
  t.after(() => mock.timers.reset());
  let nowMs = startMs;
  const tick = async (ms: number) => {
    nowMs += ms;
    mock.timers.tick(ms);
    await settle();
  };
  return { now: () => nowMs, tick };
}

/** Keeps the states of subjects as the database does, and gives what is told to `tell`. */
function keptStates(tell: (drafts: readonly AlertDraft[]) => void) {
  const states = new Map<string, SubjectRow>();
  const record: PlanAlertsParts['record'] = async (drafts, subjects) => {
    tell(drafts);
    for (const { kind, id, state } of subjects) {
      if (state === null) states.delete(`${kind} ${id}`);
      else states.set(`${kind} ${id}`, { kind, id, state });
    }
  };
  const held = { name: 'alerts', holder: 'this collector', epoch: 1 };
  return {
    alerts: { subjects: async () => [...states.values()] },
    record,
    lease: { take: async () => held },
  };
}

/** Returns alerts about plans on a fleet without calls, which add what they tell to `recorded`. */
function alertsOf(plans: object, recorded: AlertDraft[], now: () => number): Promise<PlanAlerts> {
  const { alerts, record, lease } = keptStates((drafts) => recorded.push(...drafts));
  return PlanAlerts.open({
    admin: { alerts, plans, isShared: false } as unknown as PlanAlertsParts['admin'],
    lease,
    questions: { acceptedCalls: async () => [] },
    store: { cloudInstances: async () => [] },
    record,
    log: pino({ level: 'silent' }),
    now,
  });
}

test('the first undone host is told in a moment, and many at once are one alert', async (t) => {
  const { now, tick } = ownClock(t, CONFIRMED_MS + 60_000);
  const hosts = Array.from({ length: 30 }, (_, number): ConfirmedHost => {
    const rest = { plan: PLAN_ID, step: 's1', confirmedUs: CONFIRMED_MS * 1000, driftedUs: null };
    return { hostId: `i-${number}`, ...rest };
  });
  const recorded: AlertDraft[][] = [];
  const kept = keptStates((drafts) => recorded.push([...drafts]));
  const admin = {
    alerts: kept.alerts,
    isShared: false,
    plans: {
      confirmedVersion: async () => '1',
      confirmedHosts: async () => hosts,
      unattended: async () => [],
    },
  } as unknown as PlanAlertsParts['admin'];
  const asked: string[][] = [];
  const alerts = await PlanAlerts.open({
    admin,
    lease: kept.lease,
    questions: {
      acceptedCalls: async (ids) => {
        asked.push([...ids]);
        return [];
      },
    },
    store: { cloudInstances: async () => [] },
    record: kept.record,
    log: pino({ level: 'silent' }),
    now,
  });
  alerts.start();
  await tick(1);
  assert.deepEqual(
    asked.map((ids) => ids.length),
    [30],
    'calls from before the start',
  );
  alerts.onStored([batchOf('i-0', 200, now()), batchOf(HOST.id, 200, now())]);
  await tick(250);
  assert.deepEqual(
    recorded.flat().map(({ subject }) => subject),
    ['i-0'],
  );
  for (let number = 1; number < 30; number += 1) alerts.onStored([batchOf(`i-${number}`, 200, now())]);
  await tick(250);
  assert.equal(recorded.flat().length, 1);
  await tick(3000);
  assert.deepEqual(
    recorded
      .flat()
      .map(({ subject, title }) => [subject, title])
      .slice(1),
    [['summary', '29 hosts do not require tokens any more']],
  );
  // A client that goes on calling costs no evaluation.
  const { evaluations } = alerts.counters() as { evaluations: number };
  alerts.onStored([batchOf('i-5', 200, now() + 1)]);
  await tick(3100);
  assert.equal((alerts.counters() as { evaluations: number }).evaluations, evaluations);
  assert.equal(asked.length, 1);
  await alerts.stop();
});

test('the first part of a report is told when the rest has not come for 30 s', async (t) => {
  const { now, tick } = ownClock(t, CONFIRMED_MS);
  const undone = { atUs: 5, step: stepReport(1, { state: 'rolling_back', reason: 'It was ordered.' }) };
  const recorded: AlertDraft[] = [];
  const plans = {
    confirmedVersion: async () => '0',
    confirmedHosts: async () => [],
    unattended: async () => [],
    stepsSince: async (_id: string, kind: string) => (kind === 'undone' ? [undone] : []),
    hasChangedSince: async () => false,
  };
  const alerts = await alertsOf(plans, recorded, now);
  alerts.start();
  await tick(1);
  const plan = { id: PLAN_ID, phase: 'paused', reported: '2026-03-01T00:00:00.000000Z' } as Plan;
  alerts.onPlans([{ change: 1, plan, hasMore: true }]);
  await tick(10_000);
  await tick(10_000);
  assert.deepEqual(recorded, []);
  await tick(10_000);
  await tick(10_000);
  assert.deepEqual(
    recorded.map(({ rule }) => rule),
    ['plan_rolled_back'],
  );
  await alerts.stop();
});

test('the first part of a report that came before the report ahead of it was judged waits for the rest', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'imdswatch-alerts-'));
  const database = openAdmin(directory);
  t.after(() => {
    database.close();
    rmSync(directory, { recursive: true });
  });
  const { plans } = new SqliteAdminStore(database);
  const { now, tick } = ownClock(t, CONFIRMED_MS);
  const recorded: AlertDraft[] = [];
  const alerts = await alertsOf(plans, recorded, now);
  alerts.start();
  await tick(1);
  let noticed = 0;
  const notice = async () => {
    const changed = await plans.changedSince(noticed);
    noticed = changed.at(-1)!.change;
    alerts.onPlans(changed);
  };
  const report = (steps: Parameters<typeof planReport>[0], given: Parameters<typeof planReport>[1]) =>
    plans.report(PLAN_ID, planReport(steps, { step_count: 2, ...given }), 'a', now());
  const since = new Date(CONFIRMED_MS).toISOString();
  await report([stepReport(1), stepReport(2)], {});
  await notice();
  await report([stepReport(1, { state: 'rolling_back', since })], { sequence: 2, has_more: true });
  await tick(1);
  assert.deepEqual(recorded, []);
  await notice();
  await tick(10_000);
  assert.deepEqual(recorded, []);
  await report([stepReport(2, { state: 'held', since })], { sequence: 2 });
  await notice();
  await tick(1);
  assert.deepEqual(
    recorded.map(({ rule }) => rule),
    ['plan_rolled_back', 'plan_held'],
  );
  await alerts.stop();
});

test('a plan that was left is told 90 s after its last report, and 90 s after a start of the collector', async (t) => {
  const { now, tick } = ownClock(t, CONFIRMED_MS);
  const states = Object.fromEntries(PLAN_STEP_STATES.map((state) => [state, state === 'soaking' ? 1 : 0]));
  const left = { id: PLAN_ID, phase: 'running', reported: '2026-02-28T00:00:00.000000Z', states } as Plan;
  const recorded: AlertDraft[] = [];
  const plans = {
    confirmedVersion: async () => '0',
    confirmedHosts: async () => [],
    unattended: async () => [left],
  };
  const alerts = await alertsOf(plans, recorded, now);
  alerts.start();
  await tick(1);
  for (let second = 0; second < 80; second += 10) await tick(10_000);
  assert.deepEqual(recorded, []);
  for (let second = 0; second < 40; second += 10) await tick(10_000);
  assert.deepEqual(
    recorded.map(({ rule }) => rule),
    ['plan_unattended'],
  );
  await alerts.stop();
});
