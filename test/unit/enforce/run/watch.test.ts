/** Refused calls that come late, or while the collector answers only some questions, are never lost. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { OperatorError } from '../../../../common/operator_error.ts';
import type { Plan, PlanStep } from '../../../../enforce/plan.ts';
import { Watch } from '../../../../enforce/run/watch.ts';
import type { NewEvent } from '../../../../enforce/state/events.ts';
import { initialState } from '../../../../enforce/state/step_state.ts';
import { addInstance } from '../../../../lab/cloud/state.ts';
import { FakeFindings, readyHost } from '../../../support/enforce/fake_findings.ts';
import { ACCOUNT, labCloud, REGION } from '../../../support/enforce/lab_cloud.ts';
import { Killed, PlannedRun, statusesOf } from '../../../support/enforce/planned_run.ts';
import { instanceId, instanceStep, planOf } from '../../../support/enforce/plans.ts';

const PLACE = { account: ACCOUNT, region: REGION };
const CALL = { id: 'call-1', tags: {}, hostId: instanceId(1), caller: { id: 'c1', title: '/opt/old-agent' } };
const HOUR_MS = 3_600_000;

const here = (step: PlanStep): PlanStep => ({ ...step, target: { ...step.target, ...PLACE } });

async function started(
  t: TestContext,
  steps: PlanStep[],
): Promise<{ findings: FakeFindings; run: PlannedRun }> {
  const plan: Plan = planOf(steps.map(here));
  const api = await labCloud(t);
  const region = api.state.region(ACCOUNT, REGION);
  const ids = plan.steps.flatMap(({ target }) => (target.type === 'instance' ? [target.instance_id] : []));
  for (const id of ids) addInstance(region, id, { options: { HttpPutResponseHopLimit: 3 } });
  const findings = new FakeFindings(ids.map((id) => readyHost(id, PLACE)));
  return { findings, run: new PlannedRun(plan, findings, Date.now()) };
}

test('a call that arrives an hour late, with the reports of that hour, is followed before the soak is over', async (t) => {
  const { findings, run } = await started(t, [instanceStep(1, { role: 'canary' })]);
  let soakingMs = Number.POSITIVE_INFINITY;
  run.afterEvent = (_, state) => {
    const own = state.steps['s1']!;
    if (own.status === 'soaking') soakingMs = Math.min(soakingMs, own.sinceMs);
  };
  // The agent is cut off for an hour. Then it delivers its calls, and vouches for the whole time.
  findings.watched = async (ids, { sinceMs, untilMs }) => {
    const isBack = run.nowMs - soakingMs > HOUR_MS;
    if (isBack) findings.refused = [{ ...CALL, atMs: soakingMs + 300_000 }];
    return new Map(ids.map((id) => [id, isBack ? untilMs - sinceMs : 0]));
  };
  const state = await run.begin();
  assert.equal(state.steps['s1']!.status, 'rolled_back');
});

test('a refused call is followed although watched time cannot be asked in the same look', async (t) => {
  const { findings, run } = await started(t, [instanceStep(1, { role: 'canary' })]);
  let fromMs = Number.POSITIVE_INFINITY;
  run.afterEvent = (event) => {
    // Watched time is asked for every ten seconds.
    if (event.type === 'observed' && fromMs > run.nowMs) fromMs = run.nowMs + 10_000;
  };
  const call = () => ({ ...CALL, atMs: fromMs });
  Object.defineProperty(findings, 'refused', { get: () => (run.nowMs >= fromMs ? [call()] : []) });
  const { watched } = findings;
  findings.watched = async (ids, span) => {
    if (run.nowMs >= fromMs && run.nowMs < fromMs + 60_000) throw new OperatorError(1, 'It is away.');
    return watched.call(findings, ids, span);
  };
  const state = await run.begin();
  assert.equal(state.steps['s1']!.status, 'rolled_back');
});

test("a refused call is followed although its caller's hosts cannot be asked, and they are held afterwards", async (t) => {
  const steps = [
    instanceStep(1, { role: 'canary' }),
    instanceStep(2, { wave: 2 }),
    instanceStep(3, { wave: 2, group: 'asg:db' }),
  ];
  const { findings, run } = await started(t, steps);
  let failures = 0;
  let refusedMs = 0;
  let rolledBackMs = 0;
  findings.hostsOfCaller = async () => {
    failures += 1;
    // The roll-back does not wait for this answer.
    if (failures < 5) throw new OperatorError(1, 'The collector is away.');
    return [instanceId(1), instanceId(3)];
  };
  run.afterEvent = (_, state) => {
    const { status } = state.steps['s1']!;
    if (status === 'soaking' && refusedMs === 0) {
      refusedMs = run.nowMs;
      findings.refused = [{ ...CALL, atMs: run.nowMs }];
    }
    if (status === 'rolling_back' && rolledBackMs === 0) rolledBackMs = run.nowMs;
  };
  const state = await run.begin();
  assert.deepEqual(statusesOf(state), { s1: 'rolled_back', s2: 'held', s3: 'held' });
  assert.match(state.steps['s3']!.reason!, /\/opt\/old-agent runs here too/);
  assert.ok(rolledBackMs - refusedMs < 5000, `${rolledBackMs - refusedMs} ms`);
});

test('a runner that takes over follows a refused call of a host whose clock is hours behind', async (t) => {
  const { findings, run } = await started(t, [instanceStep(1, { role: 'canary' })]);
  // It was refused before the plan, and is none of its work.
  findings.refused = [{ ...CALL, id: 'call-0', atMs: run.nowMs - 5 * HOUR_MS }];
  let isKilled = false;
  run.afterEvent = (_, state) => {
    if (isKilled || state.steps['s1']!.status !== 'soaking') return;
    isKilled = true;
    findings.refused.push({ ...CALL, atMs: run.nowMs - 3 * HOUR_MS });
    throw new Killed();
  };
  await assert.rejects(run.begin(), Killed);
  assert.deepEqual(
    run.journal.flatMap((event) => (event.type === 'earlier_calls' ? event.calls : [])),
    ['call-0'],
  );
  run.nowMs += 60_000;
  const state = await run.run([]);
  assert.deepEqual(
    run.journal.flatMap((event) => (event.type === 'refused_call' ? [event.call] : [])),
    ['call-1'],
  );
  assert.equal(state.steps['s1']!.status, 'rolled_back');
});

test('a refused call is followed while the question about all calls since the begin fails', async (t) => {
  const { findings, run } = await started(t, [instanceStep(1, { role: 'canary' })]);
  const { refusedCalls } = findings;
  let soakingMs = 0;
  findings.refusedCalls = async (sinceMs) => {
    if (soakingMs > 0 && sinceMs < run.nowMs - HOUR_MS) throw new OperatorError(1, 'It takes too long.');
    return refusedCalls.call(findings, sinceMs);
  };
  let rollingMs = 0;
  run.afterEvent = (_, state) => {
    const { status } = state.steps['s1']!;
    if (status === 'soaking' && soakingMs === 0) soakingMs = run.nowMs;
    if (status === 'rolling_back' && rollingMs === 0) rollingMs = run.nowMs;
  };
  const call = () => ({ ...CALL, atMs: soakingMs + 120_000 });
  Object.defineProperty(findings, 'refused', {
    get: () => (soakingMs > 0 && run.nowMs >= soakingMs + 120_000 ? [call()] : []),
  });
  const state = await run.begin();
  assert.equal(state.steps['s1']!.status, 'rolled_back');
  assert.ok(rollingMs - soakingMs < 130_000, `${rollingMs - soakingMs} ms`);
});

test('the roll-backs of many callers wait for no answer about where each of them runs', async () => {
  const plan = planOf([instanceStep(1, { role: 'canary' }), instanceStep(2, { group: 'asg:db' })]);
  const findings = new FakeFindings([]);
  const callers = Array.from({ length: 40 }, (_, at) => `c${at}`);
  let elapsedMs = 0;
  let asked = 0;
  findings.hostsOfCaller = async () => {
    asked += 1;
    elapsedMs += 400;
    return [instanceId(1), instanceId(2)];
  };
  findings.refused = callers.map((id) => ({
    ...CALL,
    id: `of-${id}`,
    caller: { id, title: id },
    atMs: 5000,
  }));
  const watch = new Watch({
    ...{ plan, findings, wallMs: () => 6000, elapsedMs: () => elapsedMs },
    cloudOf: () => assert.fail('The cloud is not asked.'),
    past: { knownCalls: [], begunMs: 1000, hasSent: true },
  });
  const refusals = (events: NewEvent[]) => events.filter((event) => event.type === 'refused_call');
  const first = refusals(await watch.look(initialState(plan), 6000));
  assert.equal(first.length, callers.length);
  assert.ok(asked <= 3, `${asked} questions`);
  const told = new Set(first.flatMap(({ caller, also_on }) => (also_on.length > 0 ? [caller.id] : [])));
  for (let look = 1; look < callers.length && told.size < callers.length; look += 1) {
    for (const { caller, also_on } of refusals(await watch.look(initialState(plan), 6000 + look * 1000))) {
      assert.deepEqual(also_on, [instanceId(2)]);
      told.add(caller.id);
    }
  }
  assert.deepEqual([...told].sort(), [...callers].sort());
});
