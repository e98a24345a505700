/** A plan as Terraform blocks to put into the resources that exist. Source: documentation of the AWS provider. Pure. */
import type { Plan, PlanStep } from '../plan.ts';
import { byWave, warnings } from './waves.ts';

export function terraform(plan: Plan): string {
  const head = [
    ...warnings(plan),
    'Put each block into the resource that manages its target. Removing a block later does not undo it.',
  ];
  const waves = byWave(plan).flatMap(({ wave, steps }) => ['', `# Wave ${wave}`, ...steps.map(blockOf)]);
  return `${[...head.map((line) => `# ${line}`), ...waves].join('\n')}\n`;
}

function blockOf({ target, change }: PlanStep): string {
  const place = `${target.account} ${target.region}`;
  switch (target.type) {
    case 'instance':
      return metadataOptions(`aws_instance ${target.instance_id} in ${place}`, change);
    case 'template':
      return metadataOptions(`aws_launch_template ${target.template_id} in ${place}`, change);
    case 'template_default':
      return `# aws_launch_template ${target.template_id} in ${place}\nupdate_default_version = true`;
    case 'group_version':
      return `# aws_autoscaling_group ${comment(target.scaling_group)} in ${place}: version = aws_launch_template.NAME.latest_version`;
    case 'account_default':
      return `# ${place}\nresource "aws_ec2_instance_metadata_defaults" "this" {\n  http_tokens = "required"\n}`;
  }
}

function metadataOptions(resource: string, { http_tokens, hop_limit }: PlanStep['change']): string {
  const lines = [
    ...(http_tokens === undefined ? [] : [`  http_tokens                 = "${http_tokens}"`]),
    ...(hop_limit === undefined ? [] : [`  http_put_response_hop_limit = ${hop_limit}`]),
  ];
  return [
    `# ${resource}: keep the options that the block has already.`,
    'metadata_options {',
    ...lines,
    '}',
  ].join('\n');
}

/** A name must not end the comment that it stands in. */
function comment(text: string): string {
  return text.replace(/[\r\n]+/g, ' ');
}
