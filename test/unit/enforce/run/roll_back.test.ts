/** Roll-backs by the real runner with the real SDK, over the wire to the lab's cloud. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Plan } from '../../../../enforce/plan.ts';
import type { PlanEvent } from '../../../../enforce/state/events.ts';
import { reduce } from '../../../../enforce/state/reduce.ts';
import { initialState, type PlanState } from '../../../../enforce/state/step_state.ts';
import { countCalls } from '../../../../lab/cloud/state.ts';
import { CALL, fleet, here, started, tokensOf, writesOf } from '../../../support/enforce/fleet.ts';
import { Killed, type PlannedRun, statusesOf } from '../../../support/enforce/planned_run.ts';
import { instanceId, instanceStep, planOf } from '../../../support/enforce/plans.ts';

test('a refused call rolls its group back within seconds, and nothing else goes forward', async (t) => {
  const plan = fleet();
  plan.steps.push(here(instanceStep(5, { wave: 2, group: 'asg:db' })));
  const { api, region, findings, run } = await started(t, plan);
  let refusedMs = 0;
  let backMs = 0;
  run.afterEvent = (event, state) => {
    if (event.type === 'observed' && refusedMs === 0 && state.steps['s3']!.status === 'soaking') {
      refusedMs = run.nowMs;
      findings.refused = [{ ...CALL, hostId: instanceId(3), atMs: run.nowMs }];
      findings.callerHosts = [instanceId(3), instanceId(5)];
    }
    if (backMs === 0 && state.steps['s3']!.status === 'rolled_back') backMs = run.nowMs;
  };
  const state = await run.begin();
  assert.deepEqual(statusesOf(state), {
    s1: 'rolled_back',
    s2: 'confirmed',
    s3: 'rolled_back',
    s4: 'held',
    s5: 'held',
  });
  assert.deepEqual(tokensOf(region), {
    1: 'optional',
    2: 'required',
    3: 'optional',
    4: 'optional',
    5: 'required',
  });
  assert.match(
    state.steps['s3']!.reason!,
    /\/opt\/old-agent called without a token on i-0+3 and was refused/,
  );
  assert.match(state.steps['s5']!.reason!, /\/opt\/old-agent runs here too/);
  assert.equal(state.phase, 'paused');
  assert.ok(backMs - refusedMs < 10_000, `it took ${backMs - refusedMs} ms`);
  assert.deepEqual(
    writesOf(api).filter((call) => call.endsWith('optional')),
    // The host of the refused call comes first.
    ['3 optional', '1 optional'],
  );
});

test('of 20 changed hosts the one that was refused is back first, and all within seconds, at the pace of AWS', async (t) => {
  const numbers = Array.from({ length: 20 }, (_, index) => index + 1);
  const last = numbers.at(-1)!;
  const plan = planOf(
    numbers.map((id) => here(instanceStep(id))),
    { max_share: 1, soak_seconds: 40_000 },
    numbers.length,
  );
  const { api, region, findings, run } = await started(t, plan);
  let refusedMs = 0;
  const backMs = new Map<string, number>();
  run.afterEvent = (event, state) => {
    const isChanged = Object.values(state.steps).every(({ status }) => status === 'soaking');
    if (event.type === 'observed' && isChanged && refusedMs === 0) {
      // From here on the cloud is as slow as a real one, and the clock is the real one.
      api.state.latencyMs = 100;
      api.state.pendingMs = 500;
      api.state.changes = { left: 10, perSecond: 5 };
      run.isRealTime = true;
      refusedMs = performance.now();
      findings.refused = [{ ...CALL, hostId: instanceId(last), atMs: run.nowMs }];
    }
    for (const [id, { status }] of Object.entries(state.steps)) {
      if (status === 'rolled_back' && !backMs.has(id)) backMs.set(id, performance.now() - refusedMs);
    }
  };
  const state = await run.begin();
  assert.deepEqual(new Set(Object.values(statusesOf(state))), new Set(['rolled_back']));
  assert.deepEqual(new Set(Object.values(tokensOf(region))), new Set(['optional']));
  const back = writesOf(api).filter((call) => call.endsWith('optional'));
  assert.equal(back[0], `${last} optional`);
  const throttled = api.calls.filter(({ result }) => result === 'RequestLimitExceeded').length;
  const first = Math.round(backMs.get(`s${last}`)!);
  const all = Math.round(Math.max(...backMs.values()));
  t.diagnostic(`first back and read after ${first} ms, all after ${all} ms, ${throttled} calls throttled`);
  assert.ok(first < 10_000, `the refused host is back after ${first} ms`);
});

test('a probe that hangs does not delay a roll-back', async (t) => {
  const { findings, run } = await started(t, {
    ...fleet({ probe: ['hangs'] }),
  });
  const hanging = Promise.withResolvers<number>();
  run.probe = async () => (run.nowMs - run.startMs > 60_000 ? hanging.promise : 0);
  let refusedMs = 0;
  run.afterEvent = (event, state) => {
    if (refusedMs === 0 && event.type === 'observed' && (state.steps['s1']!.watchedMs ?? 0) > 1_190_000) {
      // The probe is asked at the end of the soak, and does not answer.
      refusedMs = run.nowMs;
      findings.refused = [{ ...CALL, hostId: instanceId(1), atMs: run.nowMs }];
    }
    if (state.steps['s1']!.status === 'rolled_back') hanging.resolve(0);
  };
  const state = await run.begin();
  assert.equal(state.steps['s1']!.status, 'rolled_back');
  const backMs = run.journal.find((event) => event.type === 'restored' && event.step === 's1')!.at;
  assert.ok(backMs - refusedMs < 10_000, `it took ${backMs - refusedMs} ms`);
});

test('a call with the same id is followed once, and a call of before the plan never', async (t) => {
  const { findings, run } = await started(t, fleet());
  findings.refused = [{ ...CALL, hostId: instanceId(1), atMs: run.nowMs - 1000 }];
  const state = await run.begin();
  assert.equal(state.steps['s1']!.status, 'confirmed');
});

test('CloudWatch is the second witness: its refused calls roll back at the end of the soak', async (t) => {
  const { region, run } = await started(t, fleet());
  run.afterEvent = (event) => {
    if (event.type === 'answered' && event.step === 's1') {
      countCalls(region, 'MetadataNoTokenRejected', instanceId(1), run.nowMs + 300_000, 2);
    }
  };
  const state = await run.begin();
  assert.deepEqual(statusesOf(state), { s1: 'rolled_back', s2: 'confirmed', s3: 'planned', s4: 'planned' });
  assert.match(state.steps['s1']!.reason!, /CloudWatch counted 2 refused calls/);
});

test('the way back that closes after the change leaves the host held, and says so', async (t) => {
  const { api, region, findings, run } = await started(t, fleet());
  run.afterEvent = (event, state) => {
    if (event.type !== 'observed' || state.steps['s1']!.status !== 'soaking') return;
    region.defaults.HttpTokensEnforced = 'enabled';
    findings.refused = [{ ...CALL, hostId: instanceId(1), atMs: run.nowMs }];
  };
  const state = await run.begin();
  assert.equal(state.steps['s1']!.status, 'held');
  assert.match(state.steps['s1']!.reason!, /The way back is closed: UnsupportedOperation/);
  assert.equal(writesOf(api).filter((call) => call === '1 optional').length, 1);

  delete region.defaults.HttpTokensEnforced;
  const again = await run.run([{ type: 'rollback_ordered', by: 'tester', reason: 'again', steps: ['s1'] }]);
  assert.equal(again.steps['s1']!.status, 'rolled_back');
});

test('an order to roll back works while the collector is away', async (t) => {
  const { region, findings, run } = await started(t, fleet());
  await run.begin();
  findings.isAway = true;
  const state = await run.run([
    { type: 'paused', by: 'tester', reason: 'because' },
    { type: 'rollback_ordered', by: 'tester', reason: 'because', steps: ['s1', 's2', 's3', 's4'] },
  ]);
  assert.ok(Object.values(state.steps).every(({ status }) => status === 'rolled_back'));
  assert.ok(Object.values(tokensOf(region)).every((tokens) => tokens === 'optional'));
});

test('a runner that is killed anywhere in a roll-back and started again gives the value back once', async (t) => {
  const plan = planOf([instanceStep(1), instanceStep(3)].map(here), { max_share: 1 });
  let kills = 0;
  const killedIn = new Set<string>();
  for (const when of ['before', 'after'] as const) {
    for (let at = 1; ; at += 1) {
      const { api, region, findings, run } = await started(t, plan);
      let begun = 0;
      let isKilled = false;
      const kill = (written: number) => {
        if (begun === 0 || written !== begun + at) return;
        isKilled = true;
        throw new Killed();
      };
      const look = (event: PlanEvent, state: PlanState) => {
        const isChanged = Object.values(state.steps).every(({ status }) => status === 'soaking');
        if (event.type === 'observed' && isChanged && begun === 0) {
          begun = run.journal.length;
          findings.refused = [{ ...CALL, hostId: instanceId(3), atMs: run.nowMs }];
          // The answer to the first roll-back is lost.
          api.faults.push({ action: 'ModifyInstanceMetadataOptions', times: 1, kind: 'cut_after' });
        }
        for (const { status, restore } of Object.values(state.steps)) {
          if (begun > 0 && run.journal.length === begun + at) killedIn.add(restore ?? status);
        }
      };
      run.afterEvent = (event, state) => {
        look(event, state);
        if (when === 'after') kill(run.journal.length);
      };
      if (when === 'before') run.beforeEvent = (_event, written) => kill(written);
      await run.begin().catch((error: unknown) => assert.ok(error instanceof Killed, String(error)));
      if (isKilled) {
        kills += 1;
        run.beforeEvent = () => {};
        run.afterEvent = () => {};
        await run.run([]);
      }
      await api.close();
      const again = finalOf(run, plan);
      assert.deepEqual(
        statusesOf(again),
        { s1: 'rolled_back', s3: 'rolled_back' },
        `killed ${when} event ${at}`,
      );
      assert.deepEqual(tokensOf(region), { 1: 'optional', 3: 'optional' });
      if (!isKilled) break;
    }
  }
  assert.ok(kills >= 20, `only ${kills} places were tried`);
  for (const part of ['verify', 'ready', 'sent', 'unclear', 'reading']) assert.ok(killedIn.has(part), part);
});

/** Returns the state that the journal of a run has in the end. */
function finalOf(run: PlannedRun, plan: Plan): PlanState {
  return run.journal.reduce((state, event) => reduce(plan, state, event), initialState(plan));
}

test('a roll-back does not turn a metadata service on that somebody has turned off meanwhile', async (t) => {
  const { api, region, run } = await started(t, planOf([here(instanceStep(1))], {}, 1));
  run.afterEvent = (event, { steps }) => {
    if (event.type !== 'observed' || steps['s1']!.status !== 'soaking' || run.orders.length > 0) return;
    region.instances.get(instanceId(1))!.options.HttpEndpoint = 'disabled';
    run.orders.push({ type: 'rollback_ordered', by: 'tester', reason: 'because', steps: ['s1'] });
    run.afterEvent = () => {};
  };
  const state = await run.begin();
  assert.equal(state.steps['s1']!.status, 'rolled_back');
  const { HttpEndpoint: endpoint, HttpTokens: tokens } = region.instances.get(instanceId(1))!.options;
  assert.deepEqual([endpoint, tokens], ['disabled', 'optional']);
  const sent = api.calls.filter(
    ({ action, parameters }) =>
      action === 'ModifyInstanceMetadataOptions' && parameters['DryRun'] === undefined,
  );
  // It was on when tokens were required, and off when they were given back.
  assert.deepEqual(
    sent.map(({ parameters }) => parameters),
    [
      { InstanceId: instanceId(1), HttpTokens: 'required', HttpEndpoint: 'enabled' },
      { InstanceId: instanceId(1), HttpTokens: 'optional' },
    ],
  );
});

test('orders that cannot be read end no roll-back, and nothing goes forward meanwhile', async (t) => {
  const { findings, run } = await started(t, fleet());
  run.afterEvent = (_, state) => {
    const { status } = state.steps['s1']!;
    if (status === 'rolled_back') run.ordersProblem = null;
    if (status !== 'soaking' || run.ordersProblem !== null) return;
    run.ordersProblem = 'EIO: i/o error';
    findings.refused = [{ ...CALL, hostId: instanceId(1), atMs: run.nowMs }];
  };
  const state = await run.begin();
  assert.equal(state.steps['s1']!.status, 'rolled_back');
  assert.deepEqual(run.ordersProblems, ['EIO: i/o error', null]);
});
