/** Changes of what is launched: templates and an account's default, carried out by the real runner with the real SDK. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { PlanStep } from '../../../../enforce/plan.ts';
import { addInstance, addTemplate, type LabRegion, type LabTemplate } from '../../../../lab/cloud/state.ts';
import { FakeFindings, readyHost } from '../../../support/enforce/fake_findings.ts';
import { ACCOUNT, labCloud, REGION } from '../../../support/enforce/lab_cloud.ts';
import { PlannedRun, statusesOf } from '../../../support/enforce/planned_run.ts';
import { instanceId, instanceStep, planOf } from '../../../support/enforce/plans.ts';

const PLACE = { account: ACCOUNT, region: REGION };
const TEMPLATE = 'lt-0123456789abcdef0';
const CALL = { id: 'call-1', tags: {}, caller: { id: 'c1', title: '/opt/old-agent' } };
const SOAK = { soak_seconds: 600, canary_soak_seconds: 600 };
const FROM_TEMPLATE = { 'aws:ec2launchtemplate:id': TEMPLATE };
const HOUR_MS = 3_600_000;

const template: PlanStep = {
  ...instanceStep(2, { wave: 2, role: 'template' }),
  target: {
    type: 'template',
    ...PLACE,
    template_id: TEMPLATE,
    source_version: 1,
    goes_live: false,
    groups: ['asg:web'],
  },
};
const live: PlanStep = {
  ...instanceStep(3, { wave: 3, role: 'go_live' }),
  target: { type: 'template_default', ...PLACE, template_id: TEMPLATE, created_by: 's2' },
};
const account: PlanStep = {
  ...instanceStep(4, { wave: 4, role: 'account', group: 'place' }),
  target: { type: 'account_default', ...PLACE },
};

interface Started {
  region: LabRegion;
  findings: FakeFindings;
  run: PlannedRun;
  lab: LabTemplate;
  /** Adds an instance with an agent, which was launched so many milliseconds ago. */
  launch: (number: number, agoMs: number, tags?: Record<string, string>) => void;
}

async function started(t: TestContext, steps: PlanStep[]): Promise<Started> {
  const api = await labCloud(t);
  const region = api.state.region(ACCOUNT, REGION);
  const findings = new FakeFindings([readyHost(instanceId(1), PLACE)]);
  addInstance(region, instanceId(1));
  const lab = addTemplate(region, TEMPLATE, {
    ImageId: 'ami-1',
    MetadataOptions: { HttpPutResponseHopLimit: 2 },
  });
  const ready = {
    id: 'asg:web',
    verdict: 'ready' as const,
    reason: 'Every member is ready.',
    startSeen: true,
  };
  findings.verdicts.set('asg:web', ready);
  const plan = planOf(steps, SOAK);
  plan.groups.find(({ id }) => id === 'asg:web')?.hosts.push(instanceId(1));
  const run = new PlannedRun(plan, findings, Date.now());
  const launch: Started['launch'] = (number, agoMs, tags = {}) => {
    const id = instanceId(number);
    addInstance(region, id, { launchedMs: run.nowMs - agoMs, tags, options: { HttpTokens: 'required' } });
    findings.known.set(id, readyHost(id, PLACE));
    findings.firstSeenMs.set(id, run.nowMs - agoMs + 30_000);
  };
  return { region, findings, run, lab, launch };
}

function refusedOn(number: number, run: PlannedRun) {
  return { ...CALL, id: `call-${number}`, hostId: instanceId(number), atMs: run.nowMs };
}

test('a template gets a version with one option changed, and is confirmed when a start with it was watched', async (t) => {
  const { findings, run, lab, launch } = await started(t, [instanceStep(1, { wave: 1 }), template, live]);
  run.plan.steps[0]!.target = { ...run.plan.steps[0]!.target, ...PLACE };
  findings.verdicts.set('asg:web', { ...findings.verdicts.get('asg:web')!, startSeen: false });
  const unseen = await run.begin();
  assert.match(unseen.steps['s2']!.reason!, /No start was seen in the group asg:web/);

  findings.verdicts.set('asg:web', { ...findings.verdicts.get('asg:web')!, startSeen: true });
  const second = new PlannedRun(planOf([template, live], SOAK), findings, run.nowMs);
  const waited: string[] = [];
  let launchedMs = 0;
  second.afterEvent = (event, state) => {
    const { status, sinceMs, reason } = state.steps['s3']!;
    if (status !== 'soaking') return;
    if (event.type === 'observed' && event.watched['s3'] !== 0) waited.push(reason ?? '');
    // Nothing is launched for half an hour, which is longer than the soak.
    if (launchedMs > 0 || second.nowMs - sinceMs < HOUR_MS / 2) return;
    launchedMs = second.nowMs;
    run.nowMs = second.nowMs;
    launch(8, 0, { ...FROM_TEMPLATE, 'aws:ec2launchtemplate:version': '2' });
    // This one was launched with a version of before.
    launch(9, 0, { ...FROM_TEMPLATE, 'aws:ec2launchtemplate:version': '1' });
  };
  const state = await second.begin();
  assert.deepEqual(statusesOf(state), { s2: 'confirmed', s3: 'confirmed' });
  assert.match(waited[0]!, /^It waits for an instance with an agent that is launched with the change/);
  assert.equal(waited.at(-1), '');
  assert.ok(state.steps['s3']!.sinceMs >= launchedMs, 'it was confirmed before anything was launched');
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

test('a template with which nothing is launched is never confirmed by itself, and the operator may decide', async (t) => {
  const { run } = await started(t, [template, live]);
  run.afterEvent = (_event, { steps }) => {
    const { status, sinceMs } = steps['s3']!;
    if (status !== 'soaking' || run.nowMs - sinceMs < HOUR_MS || run.orders.length > 0) return;
    run.orders.push({
      type: 'confirmed_by',
      by: 'tester',
      reason: 'Nothing is launched here.',
      steps: ['s3'],
    });
  };
  const state = await run.begin();
  assert.equal(state.steps['s3']!.status, 'confirmed');
  assert.equal(state.steps['s3']!.reason, 'Confirmed by tester: Nothing is launched here.');
  assert.equal(run.journal.filter((event) => event.type === 'soak_judged' && event.step === 's3').length, 0);
});

test('a refused call of an instance that was launched with a template rolls the template back', async (t) => {
  const { findings, run, lab, launch } = await started(t, [template, live]);
  const tags = { ...FROM_TEMPLATE, 'aws:ec2launchtemplate:version': '2' };
  let isLaunched = false;
  run.afterEvent = (event, { steps }) => {
    if (event.type !== 'observed' || steps['s3']!.status !== 'soaking' || isLaunched) return;
    isLaunched = true;
    // Its group is none of the plan's.
    launch(8, 0, { ...tags, 'aws:autoscaling:groupName': 'other' });
    findings.refused = [refusedOn(8, run)];
  };
  const state = await run.begin();
  assert.deepEqual(statusesOf(state), { s2: 'rolled_back', s3: 'rolled_back' });
  assert.match(
    state.steps['s3']!.reason!,
    /\/opt\/old-agent called without a token on i-0+8 and was refused/,
  );
  assert.equal(lab.defaultVersion, 1);
});

test("an account's default is rolled back by what was launched with it, and by nothing else", async (t) => {
  const { region, findings, run, launch } = await started(t, [template, live, account]);
  findings.verdicts.set('place', { ...findings.verdicts.get('asg:web')!, id: 'place' });
  const own = { ...FROM_TEMPLATE, 'aws:ec2launchtemplate:version': '2' };
  const others: string[] = [];
  let isLaunched = false;
  run.afterEvent = (event, { steps }) => {
    if (
      event.type === 'observed' &&
      steps['s3']!.status === 'soaking' &&
      !findings.firstSeenMs.has(instanceId(8))
    )
      launch(8, 0, own);
    if (event.type === 'refused_call') others.push(event.host);
    if (event.type !== 'observed' || steps['s4']!.status !== 'soaking' || isLaunched) return;
    isLaunched = true;
    // The first is older than the change, and the template of the second says itself that tokens are required.
    launch(11, 2 * HOUR_MS);
    addTemplate(region, 'lt-00000000000000001', { MetadataOptions: { HttpTokens: 'required' } });
    launch(12, 0, {
      'aws:ec2launchtemplate:id': 'lt-00000000000000001',
      'aws:ec2launchtemplate:version': '1',
    });
    launch(13, 0);
    findings.refused = [refusedOn(11, run), refusedOn(12, run), refusedOn(13, run)];
  };
  const state = await run.begin();
  assert.deepEqual(others, [instanceId(13)]);
  assert.deepEqual(statusesOf(state), { s2: 'confirmed', s3: 'confirmed', s4: 'rolled_back' });
  assert.match(state.steps['s4']!.reason!, /old-agent called without a token on i-0+d and was refused/);
  assert.equal(region.defaults.HttpTokens, undefined);
});
