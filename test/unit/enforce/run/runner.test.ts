/** Plans carried out by the real runner with the real SDK, over the wire to the lab's cloud. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { OperatorError } from '../../../../common/operator_error.ts';
import type { Plan, PlanStep, Policy } from '../../../../enforce/plan.ts';
import type { NewEvent } from '../../../../enforce/state/events.ts';
import { addInstance, addTemplate, countCalls, type LabRegion } from '../../../../lab/cloud/state.ts';
import type { CloudApi } from '../../../../lab/cloud_api.ts';
import { FakeFindings, readyHost } from '../../../support/enforce/fake_findings.ts';
import { ACCOUNT, labCloud, REGION } from '../../../support/enforce/lab_cloud.ts';
import { Killed, PlannedRun, statusesOf } from '../../../support/enforce/planned_run.ts';
import { instanceId, instanceStep, planOf } from '../../../support/enforce/plans.ts';

const PLACE = { account: ACCOUNT, region: REGION };
const CALL = { id: 'call-1', tags: {}, caller: { id: 'c1', title: '/opt/old-agent' } };
const WRITES = ['ModifyInstanceMetadataOptions', 'CreateLaunchTemplateVersion', 'ModifyLaunchTemplate'];

function here(step: PlanStep): PlanStep {
  return { ...step, target: { ...step.target, ...PLACE } };
}

/** A canary and two waves of one group, and a canary of another. */
function fleet(policy: Partial<Policy> = {}): Plan {
  return planOf(
    [
      instanceStep(1, { wave: 1, role: 'canary' }),
      instanceStep(2, { wave: 1, role: 'canary', group: 'asg:db' }),
      instanceStep(3, { wave: 2 }),
      instanceStep(4, { wave: 3 }),
    ].map(here),
    policy,
  );
}

async function started(
  t: TestContext,
  plan: Plan,
): Promise<{ api: CloudApi; region: LabRegion; findings: FakeFindings; run: PlannedRun }> {
  const api = await labCloud(t);
  const region = api.state.region(ACCOUNT, REGION);
  const ids = plan.steps.flatMap(({ target }) => (target.type === 'instance' ? [target.instance_id] : []));
  for (const id of new Set(ids)) addInstance(region, id, { options: { HttpPutResponseHopLimit: 3 } });
  const findings = new FakeFindings([...new Set(ids)].map((id) => readyHost(id, PLACE)));
  return { api, region, findings, run: new PlannedRun(plan, findings, Date.now()) };
}

function tokensOf(region: LabRegion): Record<string, string> {
  return Object.fromEntries(
    [...region.instances].map(([id, { options }]) => [Number.parseInt(id.slice(2), 16), options.HttpTokens]),
  );
}

/** Changes that AWS was really asked for, without dry runs. */
function writesOf({ calls }: CloudApi): string[] {
  return calls
    .filter(({ action, parameters }) => WRITES.includes(action) && parameters['DryRun'] === undefined)
    .map(({ parameters }) => {
      const { InstanceId: id, HttpTokens: tokens } = parameters;
      return `${Number.parseInt(String(id).slice(2), 16)} ${tokens}`;
    });
}

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

test('a call with the same id is followed once, and a call of before the plan never', async (t) => {
  const { findings, run } = await started(t, fleet());
  findings.refused = [{ ...CALL, hostId: instanceId(1), atMs: run.nowMs - 1000 }];
  const state = await run.begin();
  assert.equal(state.steps['s1']!.status, 'confirmed');
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

test('a template gets a version with one option changed, and its default moves', async (t) => {
  const template = here({
    ...instanceStep(2, { wave: 2, role: 'template' }),
    target: {
      type: 'template',
      ...PLACE,
      template_id: 'lt-0123456789abcdef0',
      source_version: 1,
      goes_live: false,
      groups: ['asg:web'],
    },
  });
  const live = here({
    ...instanceStep(3, { wave: 3, role: 'go_live' }),
    target: { type: 'template_default', ...PLACE, template_id: 'lt-0123456789abcdef0', created_by: 's2' },
  });
  const plan = planOf([here(instanceStep(1, { wave: 1, role: 'canary' })), template, live]);
  const { region, findings, run } = await started(t, plan);
  const lab = addTemplate(region, 'lt-0123456789abcdef0', {
    ImageId: 'ami-1',
    MetadataOptions: { HttpPutResponseHopLimit: 2 },
  });
  findings.verdicts.set('asg:web', {
    id: 'asg:web',
    verdict: 'ready',
    reason: 'Every member is ready.',
    startSeen: false,
  });
  const unseen = await run.begin();
  assert.match(unseen.steps['s2']!.reason!, /No start was seen in the group asg:web/);

  findings.verdicts.set('asg:web', {
    id: 'asg:web',
    verdict: 'ready',
    reason: 'Every member is ready.',
    startSeen: true,
  });
  const later = planOf([template, live]);
  later.groups[0]!.hosts.push(instanceId(1));
  const second = new PlannedRun(later, findings, run.nowMs);
  const state = await second.begin();
  assert.deepEqual(statusesOf(state), { s2: 'confirmed', s3: 'confirmed' });
  assert.equal(lab.defaultVersion, 2);
  assert.deepEqual(lab.versions[1]!.data['MetadataOptions'], {
    HttpPutResponseHopLimit: 2,
    HttpTokens: 'required',
  });

  const back = await second.run([
    { type: 'rollback_ordered', by: 'tester', reason: 'because', steps: ['s2', 's3'] },
  ]);
  assert.deepEqual(statusesOf(back), { s2: 'rolled_back', s3: 'rolled_back' });
  assert.equal(lab.defaultVersion, 1);
});
