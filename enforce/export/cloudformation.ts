/** A plan as fragments for CloudFormation templates. Source: CloudFormation template reference. Pure. */
import type { Plan, PlanStep } from '../plan.ts';
import { byWave, warnings } from './waves.ts';

export function cloudFormation(plan: Plan): string {
  const head = [
    ...warnings(plan),
    'Put each fragment into the template of the stack that owns the resource.',
    'CloudFormation changes metadata options of a running AWS::EC2::Instance only through its launch template.',
  ];
  const waves = byWave(plan).flatMap(({ wave, steps }) => ['', `# Wave ${wave}`, ...steps.map(fragmentOf)]);
  return `${[...head.map((line) => `# ${line}`), ...waves].join('\n')}\n`;
}

function fragmentOf({ target, change }: PlanStep): string {
  const place = `${target.account} ${target.region}`;
  switch (target.type) {
    case 'instance':
      return `# ${target.instance_id} in ${place}: the AWS::EC2::LaunchTemplate that it is made from\n${options(change)}`;
    case 'template':
      return `# AWS::EC2::LaunchTemplate ${target.template_id} in ${place}\n${options(change)}`;
    case 'template_default':
      return `# ${target.template_id} in ${place}: a stack cannot move the default version. Name a version number.`;
    case 'group_version':
      return [
        `# AWS::AutoScaling::AutoScalingGroup ${target.scaling_group.replace(/[\r\n]+/g, ' ')} in ${place}`,
        'LaunchTemplate:',
        `  LaunchTemplateId: ${target.template_id}`,
        '  Version: !GetAtt LaunchTemplate.LatestVersionNumber',
      ].join('\n');
    case 'account_default':
      return `# ${place}: a stack cannot set the account's defaults. Use the AWS CLI.`;
  }
}

function options({ http_tokens, hop_limit }: PlanStep['change']): string {
  return [
    'LaunchTemplateData:',
    '  MetadataOptions:',
    ...(http_tokens === undefined ? [] : [`    HttpTokens: ${http_tokens}`]),
    ...(hop_limit === undefined ? [] : [`    HttpPutResponseHopLimit: ${hop_limit}`]),
  ].join('\n');
}
