/**
 * A plan as an Automation runbook of Systems Manager, which waits for an approval before each wave. Source: Systems Manager
 * user guide, "Automation runbooks" (schema 0.3, aws:executeAwsApi, aws:pause). Pure.
 */
import type { Plan, PlanStep } from '../plan.ts';
import { byWave, warnings } from './waves.ts';

export function ssm(plan: Plan): string {
  const waves = byWave(plan);
  const mainSteps = waves.flatMap(({ wave, steps }, index) => {
    const calls = steps.flatMap(callOf);
    if (calls.length === 0) return [];
    const pause = { name: `Approve_wave_${wave}`, action: 'aws:pause', inputs: {} };
    return [...(index === 0 ? [] : [pause]), ...calls];
  });
  const left = plan.steps.filter((step) => callOf(step).length === 0).map(({ id }) => id);
  const notes = [
    ...warnings(plan),
    ...(left.length === 0
      ? []
      : [`Steps that this runbook leaves out: ${left.join(', ')}. Use --as aws-cli for them.`]),
  ];
  return `${JSON.stringify({ schemaVersion: '0.3', description: notes.join(' '), mainSteps }, null, 2)}\n`;
}

function callOf({ id, target, change }: PlanStep): unknown[] {
  const inputs = apiCall(target, change);
  return inputs === null
    ? []
    : [{ name: `Step_${id}`, action: 'aws:executeAwsApi', onFailure: 'Abort', inputs }];
}

function apiCall(target: PlanStep['target'], change: PlanStep['change']): unknown {
  switch (target.type) {
    case 'instance':
      return {
        Service: 'ec2',
        Api: 'ModifyInstanceMetadataOptions',
        InstanceId: target.instance_id,
        ...(change.http_tokens === undefined ? {} : { HttpTokens: change.http_tokens }),
        ...(change.hop_limit === undefined ? {} : { HttpPutResponseHopLimit: change.hop_limit }),
      };
    case 'account_default':
      return { Service: 'ec2', Api: 'ModifyInstanceMetadataDefaults', HttpTokens: 'required' };
    // A new version has to be compared with the one before it, which a runbook cannot do.
    case 'template':
    case 'template_default':
    case 'group_version':
      return null;
  }
}
