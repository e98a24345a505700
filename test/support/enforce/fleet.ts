/** A fleet of the lab's cloud with a plan for it, and what was asked of the cloud. */
import type { TestContext } from 'node:test';
import type { Plan, PlanStep, Policy } from '../../../enforce/plan.ts';
import { addInstance, type LabRegion } from '../../../lab/cloud/state.ts';
import type { CloudApi } from '../../../lab/cloud_api.ts';
import { FakeFindings, readyHost } from './fake_findings.ts';
import { ACCOUNT, labCloud, REGION } from './lab_cloud.ts';
import { PlannedRun } from './planned_run.ts';
import { instanceStep, planOf } from './plans.ts';

export const PLACE = { account: ACCOUNT, region: REGION };
export const CALL = { id: 'call-1', tags: {}, caller: { id: 'c1', title: '/opt/old-agent' } };
const WRITES = ['ModifyInstanceMetadataOptions', 'CreateLaunchTemplateVersion', 'ModifyLaunchTemplate'];

export function here(step: PlanStep): PlanStep {
  return { ...step, target: { ...step.target, ...PLACE } };
}

/** A canary and two waves of one group, and a canary of another. */
export function fleet(policy: Partial<Policy> = {}): Plan {
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

export async function started(
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

export function tokensOf(region: LabRegion): Record<string, string> {
  return Object.fromEntries(
    [...region.instances].map(([id, { options }]) => [Number.parseInt(id.slice(2), 16), options.HttpTokens]),
  );
}

/** Changes that AWS was really asked for, without dry runs. */
export function writesOf({ calls }: CloudApi): string[] {
  return calls
    .filter(({ action, parameters }) => WRITES.includes(action) && parameters['DryRun'] === undefined)
    .map(({ parameters }) => {
      const { InstanceId: id, HttpTokens: tokens } = parameters;
      return `${Number.parseInt(String(id).slice(2), 16)} ${tokens}`;
    });
}
