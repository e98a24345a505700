import assert from 'node:assert/strict';
import { test } from 'node:test';
import { benchOf, idsOf, receiver, webhook } from '../../../support/collector/alert/alert_benches.ts';
import { hostOf, lossOf, MINUTE_US, offenderOf, thiefOf } from '../../../support/collector/alert/findings.ts';
import { status } from '../../../support/collector/alert/http_receiver.ts';
import { NO_TRIAGE } from '../../../support/collector/triage.ts';

test('a restart neither repeats nor forgets an alert', async () => {
  const bench = benchOf();
  const flaky = await receiver((response, number) => status(number === 1 ? 502 : 200)(response));
  await bench.alerts.addDestination(webhook('flaky', flaky.url), 'joe');
  await bench.alerts.evaluate();
  bench.settle();
  bench.hosts = [hostOf(1)];
  await bench.alerts.evaluate();
  bench.offenders = [offenderOf(1)];
  bench.hosts = [hostOf(1, { verdict: 'blocked', offender_count: 1 })];
  await bench.alerts.evaluate();
  await bench.alerts.sendDue(); // It is refused.
  await bench.close();

  bench.pass(60);
  bench.open();
  await bench.alerts.evaluate();
  await bench.alerts.sendDue();
  bench.settle();
  await bench.alerts.evaluate();
  await bench.alerts.sendDue();
  assert.deepEqual(
    (await bench.told()).map(({ rule }) => rule),
    ['new_offender', 'host_not_ready'],
  );
  const delivered = idsOf(flaky.received.slice(1));
  assert.deepEqual(delivered.toSorted(), (await bench.told()).map(({ id }) => id).toSorted());
});

test('a fixed workload that calls again is reported once, also over a restart, with a link to it', async () => {
  const bench = benchOf();
  await bench.alerts.evaluate();
  const { id, title } = offenderOf(1);
  const set = '2026-11-20T00:00:00.000000Z';
  bench.endedTriage = [{ id, title, triage: { ...NO_TRIAGE, ended: 'called_again', set, set_by: 'ada' } }];
  await bench.alerts.evaluate();
  await bench.close();
  bench.open();
  await bench.alerts.evaluate();
  assert.deepEqual(
    (await bench.told()).map(({ rule, subject, link }) => [rule, subject, link]),
    [['offender_reopened', id, `https://imdswatch.example.com/offenders/${id}`]],
  );
});

test('changes while the collector was stopped are reported after its start', async () => {
  const bench = benchOf();
  await bench.alerts.evaluate();
  await bench.close();
  bench.offenders = [thiefOf(1, bench.nowMs * 1000)];
  bench.pass(3 * 86_400);
  bench.open();
  await bench.alerts.evaluate();
  assert.deepEqual(
    (await bench.told()).map(({ rule }) => rule),
    ['new_offender', 'credentials_over_v1'],
  );
});

test('just after a start no host is silent, because hosts have not had time to report', async () => {
  const bench = benchOf();
  bench.hosts = [hostOf(1)];
  bench.settle();
  await bench.alerts.evaluate();
  await bench.close();
  bench.pass(3600);
  bench.open();
  bench.hosts = [hostOf(1, { state: 'silent', verdict: 'unproven' })];
  for (let second = 0; second < 240; second += 10) {
    bench.pass(10);
    await bench.alerts.evaluate();
  }
  assert.deepEqual(await bench.told(), []);
  bench.settle();
  await bench.alerts.evaluate();
  assert.deepEqual(
    (await bench.told()).map(({ rule }) => rule),
    ['host_silent'],
  );
});

test('losses of a capture come from the coverage that the store has', async () => {
  const bench = benchOf();
  bench.settle();
  bench.hosts = [hostOf(1), hostOf(2)];
  await bench.alerts.evaluate();
  const nowUs = bench.nowMs * 1000;
  const rest = {
    firstUs: null,
    lastUs: null,
    boots: [],
    kernelConnections: null,
    seenConnections: 0,
    losses: {},
  };
  bench.coverage = [{ ...lossOf(2, nowUs - MINUTE_US, nowUs, 'capture_not_live'), ...rest }];
  await bench.alerts.evaluate();
  const [alert, ...others] = await bench.told();
  assert.deepEqual(others, []);
  assert.deepEqual([alert!.rule, alert!.subject], ['coverage_lost', 'i-2']);
  assert.match(alert!.text, /was not live between 2026-11-22T12:05:00.*\(capture\.dropped\)/);
  assert.equal(alert!.link, 'https://imdswatch.example.com/hosts/i-2');
});

test('a host that is not in the store any more is forgotten', async () => {
  const bench = benchOf();
  bench.settle();
  bench.hosts = [hostOf(1), hostOf(2)];
  await bench.alerts.evaluate();
  bench.hosts = [hostOf(2)];
  await bench.alerts.evaluate();
  assert.deepEqual(
    bench.rows("SELECT id FROM alert_subjects WHERE kind = 'host'").map((row) => ({ ...(row as object) })),
    [{ id: 'i-2' }],
  );
});

test('an evaluation that fails sends nothing and forgets nothing', async () => {
  const bench = benchOf();
  await bench.alerts.evaluate();
  const [good, bad] = [offenderOf(1), { ...offenderOf(2), hosts: null as never }];
  bench.offenders = [good, bad];
  await assert.rejects(bench.alerts.evaluate());
  assert.deepEqual(await bench.told(), []);
  bench.offenders = [good];
  await bench.alerts.evaluate();
  assert.equal((await bench.told()).length, 1);
});

test('it evaluates and sends once started, and ends a delivery that hangs when stopped', async () => {
  const bench = benchOf({ timeoutMs: 60_000 });
  const arrived = Promise.withResolvers<void>();
  const hanging = await receiver(() => arrived.resolve());
  await bench.alerts.addDestination(webhook('hanging', hanging.url), 'joe');
  await bench.alerts.evaluate();
  bench.offenders = [offenderOf(1)];
  bench.alerts.start();
  await arrived.promise;
  const began = performance.now();
  await bench.alerts.stop();
  assert.ok(performance.now() - began < 30_000);
  assert.equal((await bench.alerts.destinations())[0]!.waiting, 1, 'it goes out after the next start');
  assert.equal(bench.alerts.counters()['attempts_failed'], 0);
});
