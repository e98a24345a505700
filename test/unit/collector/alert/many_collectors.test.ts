/** Tests that several collectors on one PostgreSQL database tell each alert once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pino } from 'pino';
import type { AdminStore } from '../../../../collector/admin/admin_store.ts';
import { Lease } from '../../../../collector/admin/lease.ts';
import { Alerts } from '../../../../collector/alert/alerts.ts';
import { PlanAlerts } from '../../../../collector/alert/plan_alerts.ts';
import type { Offender } from '../../../../collector/contract/offender.ts';
import { NO_OWNERS } from '../../../../collector/insight/owners.ts';
import type { StoredBatch } from '../../../../collector/store/store.ts';
import { onPostgres, type PostgresAdminData } from '../../../support/collector/admin/admin_stores.ts';
import { idsOf, receiver, webhook } from '../../../support/collector/alert/alert_benches.ts';
import { NOON_US, offenderOf, thiefOf } from '../../../support/collector/alert/findings.ts';
import { status } from '../../../support/collector/alert/http_receiver.ts';
import { glancesOf } from '../../../support/collector/alert/rules.ts';
import { makeCall } from '../../../support/collector/calls.ts';
import { planReport, stepReport } from '../../../support/enforce/reports.ts';

const LONG_MS = 600_000;
const PLAN = 'p-0123456789ab';
const log = pino({ level: 'silent' });

interface Collector {
  store: AdminStore;
  alerts: Alerts;
  lease: Lease;
}

/** The findings are the same for all collectors, because they are in the same database. */
class Findings {
  offenders: Offender[] = [];
  nowMs = NOON_US / 1000;
  /** Resolves when the question is answered, so that a test can stop a collector there. */
  answered: Promise<void> = Promise.resolve();
}

async function collectorOn(data: PostgresAdminData, findings: Findings): Promise<Collector> {
  const store = await data.open();
  const lease = new Lease(store, 'alerts', { durationMs: LONG_MS });
  const alerts = new Alerts({
    owners: () => NO_OWNERS,
    admin: store,
    lease,
    insight: {
      offenders: async () => {
        const { offenders, answered } = findings;
        await answered;
        return offenders;
      },
      glances: () => glancesOf([], []),
      describeHosts: async () => [],
      groups: async () => [],
      endedTriage: async () => [],
    },
    store: { coverage: async () => [], hosts: async () => [] },
    publicUrl: null,
    log,
    now: () => findings.nowMs,
  });
  return { store, alerts, lease };
}

/** Ends a lease as time does. */
async function expire(data: PostgresAdminData): Promise<void> {
  await data.query('UPDATE leases SET until_ms = 0');
}

async function toldBy({ alerts }: Collector): Promise<string[]> {
  return (await alerts.recentAlerts(1000)).map(({ rule, subject }) => `${rule} ${subject}`).sort();
}

/** A client's call without a token, as a collector has just stored it. */
function storedCall(hostId: string, code: 200 | 401, atMs: number): StoredBatch {
  const time = new Date(atMs).toISOString().replace('Z', '000Z');
  const answer = { 'http.response.status_code': code, 'imds.version': 1 as const };
  const { host, process, container, k8s, systemd, ...rest } = makeCall({ time, ...answer });
  const { 'attribution.method': method, 'attribution.confidence': confidence, ...call } = rest;
  const how = { 'attribution.method': method, 'attribution.confidence': confidence };
  return {
    stream: 's',
    seq: 1,
    host: { ...host, id: hostId },
    callers: [{ process, container, k8s, systemd, ...how }],
    records: [{ kind: 'call', caller: 0, call }],
  };
}

onPostgres('alerts with many collectors', (create) => {
  test('what is found is told and sent once, whichever collector has the lease', async () => {
    const data = await create();
    const findings = new Findings();
    const collectors = await Promise.all(Array.from({ length: 3 }, () => collectorOn(data, findings)));
    const [first] = collectors as [Collector, ...Collector[]];
    const well = await receiver(status(200));
    await first.alerts.addDestination(webhook('well', well.url), 'joe');
    const evaluateAll = () => Promise.all(collectors.map(({ alerts }) => alerts.evaluate()));
    await evaluateAll();
    for (let round = 1; round <= 4; round += 1) {
      findings.offenders = [
        ...findings.offenders,
        offenderOf(round),
        thiefOf(10 + round, findings.nowMs * 1000),
      ];
      findings.nowMs += 10_000;
      await evaluateAll();
      await Promise.all(collectors.map(({ alerts }) => alerts.sendDue()));
      // The next round belongs to whoever comes first.
      await expire(data);
    }
    const told = await toldBy(first);
    assert.equal(told.filter((each) => each.startsWith('new_offender')).length, 8);
    assert.equal(told.filter((each) => each.startsWith('credentials_over_v1')).length, 4);
    assert.equal(new Set(told).size, told.length);
    await evaluateAll();
    await Promise.all(collectors.map(({ alerts }) => alerts.sendDue()));
    const sent = idsOf(well.received);
    assert.deepEqual(sent.toSorted(), (await first.alerts.recentAlerts(99)).map(({ id }) => id).toSorted());
    for (const { alerts } of collectors) await alerts.stop();
  });

  test('a holder that was frozen in its evaluation stores nothing when it goes on', async () => {
    const data = await create();
    const [slow, quick] = [new Findings(), new Findings()];
    const [frozen, other] = [await collectorOn(data, slow), await collectorOn(data, quick)];
    await frozen.alerts.evaluate();
    const found = [offenderOf(1)];
    const thawed = Promise.withResolvers<void>();
    Object.assign(slow, { offenders: found, answered: thawed.promise, nowMs: slow.nowMs + 10_000 });
    const late = frozen.alerts.evaluate();
    await expire(data);
    Object.assign(quick, { offenders: found, nowMs: quick.nowMs + 10_000 });
    await other.alerts.evaluate();
    assert.deepEqual(await toldBy(other), [`new_offender ${found[0]!.id}`]);
    thawed.resolve();
    await late;
    assert.deepEqual(await toldBy(other), [`new_offender ${found[0]!.id}`]);
    assert.equal(frozen.alerts.counters()['alerts'], 0);
    slow.answered = Promise.resolve();
    await frozen.alerts.evaluate();
    assert.equal((await toldBy(other)).length, 1, 'another one has the lease');
    await other.alerts.stop();
    await frozen.alerts.evaluate();
    assert.equal((await toldBy(frozen)).length, 1, 'it reads what the other one has told');
    await frozen.alerts.stop();
  });

  test('a change that calls show as undone is told once, by the collectors that stored them', async () => {
    const data = await create();
    const findings = new Findings();
    const collectors = await Promise.all([collectorOn(data, findings), collectorOn(data, findings)]);
    const startMs = Date.parse('2026-11-22T12:00:00Z');
    const at = (minute: number) => new Date(startMs + minute * 60_000).toISOString();
    const target = { ...stepReport(1).target, id: 'i-1' };
    const step = stepReport(1, { target, state: 'confirmed', since: at(0) });
    await collectors[0]!.store.plans.report(PLAN, planReport([step]), 'a', startMs);
    const watches = await Promise.all(
      collectors.map(({ store, lease, alerts }) =>
        PlanAlerts.open({
          admin: store,
          lease,
          questions: { acceptedCalls: async () => [] },
          store: { cloudInstances: async () => [] },
          record: (drafts, subjects, held) => alerts.record(drafts, subjects, held),
          log,
          now: () => startMs + 3_600_000,
        }),
      ),
    );
    const evaluateAll = () => Promise.all(watches.map((watch) => watch.evaluate()));
    const told = async () =>
      (await toldBy(collectors[0]!)).filter((each) => each.startsWith('enforcement_undone'));
    await evaluateAll();
    assert.deepEqual(await told(), []);
    // One agent reports to both collectors, one after the other.
    for (const watch of watches) watch.onStored([storedCall('i-1', 200, startMs + 60_000)]);
    await evaluateAll();
    assert.deepEqual(await told(), ['enforcement_undone i-1']);
    // The collector that has no lease stores the call that shows the end.
    const held = collectors.findIndex(({ lease }) => lease.isHeld);
    watches[1 - held]!.onStored([storedCall('i-1', 401, startMs + 120_000)]);
    await evaluateAll();
    await evaluateAll();
    const states = await collectors[0]!.store.alerts.subjects(['undone']);
    assert.deepEqual(
      states.map(({ state }) => state),
      [{ ofUs: startMs * 1000, closedUs: (startMs + 120_000) * 1000 }],
    );
    assert.equal((await told()).length, 2, 'undone, and in force again');
    for (const watch of watches) watch.onStored([storedCall('i-1', 200, startMs + 180_000)]);
    await evaluateAll();
    await evaluateAll();
    assert.equal((await told()).length, 3);
    for (const watch of watches) await watch.stop();
    for (const { alerts } of collectors) await alerts.stop();
  });

  test('the end of a plan is told once, also by a collector that takes over', async () => {
    const data = await create();
    const collectors = await Promise.all([
      collectorOn(data, new Findings()),
      collectorOn(data, new Findings()),
    ]);
    const watches = await Promise.all(
      collectors.map(({ store, lease, alerts }) =>
        PlanAlerts.open({
          admin: store,
          lease,
          questions: { acceptedCalls: async () => [] },
          store: { cloudInstances: async () => [] },
          record: (drafts, subjects, held) => alerts.record(drafts, subjects, held),
          log,
        }),
      ),
    );
    const { plans } = collectors[0]!.store;
    await plans.report(
      PLAN,
      planReport([stepReport(1)], { phase: 'ended', is_carried_out: false }),
      'a',
      Date.now(),
    );
    const notice = async () => {
      const changed = await plans.changedSince(0);
      for (const watch of watches) watch.onPlans(changed);
    };
    await notice();
    for (const watch of watches) await watch.evaluate();
    await expire(data);
    await notice();
    for (const watch of watches.toReversed()) await watch.evaluate();
    assert.deepEqual(await toldBy(collectors[0]!), [`plan_ended ${PLAN}`]);
    for (const watch of watches) await watch.stop();
    for (const { alerts } of collectors) await alerts.stop();
  });

  test('two evaluations of one collector at the same time tell the end of a plan once', async () => {
    const data = await create();
    const { store, lease, alerts } = await collectorOn(data, new Findings());
    const [asked, answer] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    let questions = 0;
    const { plans } = store;
    const stepsSince = plans.stepsSince.bind(plans);
    plans.stepsSince = async (...args) => {
      questions += 1;
      if (questions === 1) {
        asked.resolve();
        await answer.promise;
      }
      return stepsSince(...args);
    };
    const watch = await PlanAlerts.open({
      admin: store,
      lease,
      questions: { acceptedCalls: async () => [] },
      store: { cloudInstances: async () => [] },
      record: (drafts, subjects, held) => alerts.record(drafts, subjects, held),
      log,
    });
    const ended = planReport([stepReport(1)], { phase: 'ended', is_carried_out: false });
    await store.plans.report(PLAN, ended, 'a', Date.now());
    watch.onPlans(await store.plans.changedSince(0));
    // The timer of the notice makes one of the evaluations.
    await asked.promise;
    await watch.evaluate();
    answer.resolve();
    await watch.stop();
    assert.deepEqual(await toldBy({ store, lease, alerts }), [`plan_ended ${PLAN}`]);
    await alerts.stop();
  });
});
