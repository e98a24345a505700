/** Plans carried out by the real runner with the real SDK, over the wire to the lab's cloud. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OperatorError } from '../../../../common/operator_error.ts';
import type { NewEvent } from '../../../../enforce/state/events.ts';
import { readyHost } from '../../../support/enforce/fake_findings.ts';
import { fleet, here, PLACE, started, tokensOf, writesOf } from '../../../support/enforce/fleet.ts';
import { Killed, PlannedRun, statusesOf } from '../../../support/enforce/planned_run.ts';
import { instanceId, instanceStep, planOf } from '../../../support/enforce/plans.ts';

test('a plan goes wave by wave to its end, and only tokens change', async (t) => {
  const { api, region, run } = await started(t, fleet());
  const startedMs = run.nowMs;
  const state = await run.begin();
  assert.deepEqual(statusesOf(state), { s1: 'confirmed', s2: 'confirmed', s3: 'confirmed', s4: 'confirmed' });
  assert.deepEqual(writesOf(api), ['1 required', '2 required', '3 required', '4 required']);
  for (const { options } of region.instances.values()) {
    assert.deepEqual(options, {
      HttpTokens: 'required',
      HttpEndpoint: 'enabled',
      HttpPutResponseHopLimit: 3,
      HttpProtocolIpv6: 'disabled',
      InstanceMetadataTags: 'disabled',
    });
  }
  // The canary soaks for 1200 s, and each of the waves for 600 s.
  assert.ok(run.nowMs - startedMs >= 2_400_000, 'a wave began before the one before it was confirmed');
});

test('a collector that goes away while a step is judged makes it wait, and does not end the runner', async (t) => {
  const { findings, run } = await started(t, fleet());
  let asked = 0;
  const hosts = findings.hosts.bind(findings);
  findings.hosts = async (ids) => {
    asked += 1;
    if (asked === 1) throw new OperatorError(1, 'The collector is away.');
    return hosts(ids);
  };
  const state = await run.begin();
  assert.equal(state.steps['s1']!.status, 'confirmed');
  const first = run.journal.find(({ type }) => type === 'judged');
  assert.ok(first?.type === 'judged' && first.result === 'wait');
  assert.match(first.findings[0]!.text, /The collector is away/);
});

test('without the collector nothing goes forward, until it answers again', async (t) => {
  const { api, findings, run } = await started(t, fleet());
  const before = run.nowMs;
  // The collector comes back after an hour of the test's clock.
  Object.defineProperty(findings, 'isAway', { get: () => run.nowMs - before < 3_600_000 });
  const state = await run.begin();
  assert.equal(state.steps['s1']!.status, 'confirmed');
  assert.ok(run.journal.find(({ type }) => type === 'sending')!.at - before >= 3_600_000);
  assert.equal(writesOf(api).length, 4);
});

test('guards keep a change from being sent: a closed way back, a managed instance, a verdict', async (t) => {
  const { api, region, findings, run } = await started(t, fleet());
  region.defaults.HttpTokensEnforced = 'enabled';
  const enforced = await run.begin();
  assert.equal(enforced.steps['s1']!.status, 'refused');
  assert.match(enforced.steps['s1']!.reason!, /HttpTokensEnforced is enabled/);
  delete region.defaults.HttpTokensEnforced;

  const second = new PlannedRun(fleet(), findings, run.nowMs);
  region.instances.get(instanceId(1))!.operator = { principal: 'eks.amazonaws.com', isHidden: false };
  findings.known.set(
    instanceId(2),
    readyHost(instanceId(2), { ...PLACE, verdict: 'blocked', reason: 'cron calls.' }),
  );
  const state = await second.begin();
  assert.match(state.steps['s1']!.reason!, /It belongs to eks\.amazonaws\.com/);
  assert.match(state.steps['s2']!.reason!, /The verdict is blocked\. cron calls\./);
  assert.deepEqual(writesOf(api), []);
});

test('an Auto Scaling group with an instance refresh under way is not touched before it has ended', async (t) => {
  const { region, run } = await started(t, fleet());
  const group = { template: null, launchConfiguration: 'old', mixed: null, instances: [] };
  region.groups.set('web', { name: 'web', ...group, refreshes: ['InProgress', 'Successful'] });
  const startMs = run.nowMs;
  run.afterEvent = () => {
    if (run.nowMs - startMs > 900_000) region.groups.get('web')!.refreshes = ['Successful', 'Successful'];
  };
  const state = await run.begin();
  assert.equal(state.steps['s4']!.status, 'confirmed');
  const sent = (step: string) =>
    run.journal.find((event) => event.type === 'sending' && event.step === step)!.at;
  assert.ok(sent('s1') - startMs > 900_000, 'the group was touched during its refresh');
  assert.ok(sent('s2') - startMs < 900_000, 'a group without a refresh waited');
  const waited = run.journal.find((event) => event.type === 'judged' && event.step === 's1');
  assert.ok(waited?.type === 'judged' && waited.result === 'wait');
});

test('an answer that is lost is read, not sent again, whether it had its effect or not', async (t) => {
  for (const kind of ['cut_after', 'cut_before'] as const) {
    await t.test(kind, async (each) => {
      const { api, region, run } = await started(each, fleet());
      let isArmed = false;
      run.beforeEvent = ({ type }) => {
        if (type !== 'sending' || isArmed) return;
        isArmed = true;
        api.faults.push({ action: 'ModifyInstanceMetadataOptions', times: 1, kind });
      };
      const state = await run.begin();
      assert.equal(state.steps['s1']!.status, 'confirmed');
      assert.equal(tokensOf(region)[1], 'required');
      const ofFirst = writesOf(api).filter((call) => call.startsWith('1 '));
      assert.equal(ofFirst.length, kind === 'cut_after' ? 1 : 2);
    });
  }
});

test('a signal ends the runner, but not before a roll-back that is under way', async (t) => {
  const { api, region, run } = await started(t, fleet());
  const stop = new AbortController();
  run.afterEvent = ({ type }) => {
    if (type === 'answered') stop.abort();
  };
  const stopped = await run.run([{ type: 'begun', by: 'tester' }], stop.signal);
  assert.equal(stopped.steps['s1']!.status, 'pending');

  // The value takes a while to be in force again.
  const again = new AbortController();
  run.afterEvent = ({ type }) => {
    if (type === 'restoring') again.abort();
    if (type === 'restored') api.state.pendingMs = 50;
  };
  const orders: NewEvent[] = [
    { type: 'paused', by: 'tester', reason: 'because' },
    { type: 'rollback_ordered', by: 'tester', reason: 'because', steps: ['s1', 's2'] },
  ];
  const state = await run.run(orders, again.signal);
  assert.deepEqual([state.steps['s1']!.status, state.steps['s2']!.status], ['rolled_back', 'held']);
  assert.deepEqual(tokensOf(region), { 1: 'optional', 2: 'optional', 3: 'optional', 4: 'optional' });
});

test('an order that was left while nobody ran is older than the one that starts the runner', async (t) => {
  const { run } = await started(t, fleet());
  run.afterEvent = (event) => {
    if (event.type === 'answered') run.orders.push({ type: 'paused', by: 'tester', reason: 'a look' });
  };
  const paused = await run.begin();
  assert.equal(paused.phase, 'paused');
  run.afterEvent = () => {};
  run.orders.push({ type: 'paused', by: 'tester', reason: 'left' });
  const state = await run.run([{ type: 'resumed', by: 'tester' }]);
  assert.equal(state.steps['s4']!.status, 'confirmed');
});

test('a runner that is killed anywhere and started again ends as one that was not', async (t) => {
  const soak = { soak_seconds: 3, canary_soak_seconds: 3 };
  const plan = planOf(
    [instanceStep(1, { wave: 1, role: 'canary' }), instanceStep(3, { wave: 2 })].map(here),
    soak,
  );
  const undisturbed = await started(t, plan);
  const wanted = statusesOf(await undisturbed.run.begin());
  let kills = 0;
  for (const when of ['before', 'after'] as const) {
    for (let at = 1; ; at += 1) {
      const { region, run, api } = await started(t, plan);
      const kill = (written: number) => {
        if (written === at) throw new Killed();
      };
      if (when === 'before') run.beforeEvent = (_event, written) => kill(written);
      else run.afterEvent = () => kill(run.journal.length);
      const isKilled = await run.begin().then(
        () => false,
        (error: unknown) => error instanceof Killed,
      );
      run.beforeEvent = () => {};
      run.afterEvent = () => {};
      if (isKilled) {
        kills += 1;
        const state = await run.run([{ type: 'resumed', by: 'tester' }]);
        assert.deepEqual(statusesOf(state), wanted, `killed ${when} event ${at}`);
        assert.deepEqual(tokensOf(region), { 1: 'required', 3: 'required' });
      }
      await api.close();
      if (!isKilled) break;
    }
  }
  // Each of both steps is judged, sent, answered, read and soaks.
  assert.ok(kills >= 20, `only ${kills} places were tried`);
});
