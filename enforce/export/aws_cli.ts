/** A plan as a shell script of AWS CLI commands. Source: AWS CLI reference. Pure. */
import type { Plan, PlanStep } from '../plan.ts';
import { byWave, warnings } from './waves.ts';

/** Ids, names and regions of a plan match patterns that no shell interprets; a group's name is quoted all the same. */
export function awsCli(plan: Plan): string {
  const waves = byWave(plan).flatMap(({ wave, steps }) => [
    '',
    `# Wave ${wave}`,
    ...steps.map((step) => `${commandOf(step)}\n# back: ${backOf(step)}`),
  ]);
  return `${['#!/bin/sh', 'set -eu', ...warnings(plan).map((line) => `# ${line}`), ...waves].join('\n')}\n`;
}

/** Returns the command of a step. `version` of a template that is made stands as a shell variable. */
function commandOf({ id, target, change }: PlanStep): string {
  const region = `--region ${target.region}`;
  switch (target.type) {
    case 'instance':
      return `aws ec2 modify-instance-metadata-options ${region} --instance-id ${target.instance_id}${options(change)}`;
    case 'template':
      return [
        `version_${id}=$(aws ec2 create-launch-template-version ${region} --launch-template-id ${target.template_id} \\`,
        `  --source-version ${target.source_version} \\`,
        `  --launch-template-data '{"MetadataOptions":{"HttpTokens":"required"}}' \\`,
        '  --query LaunchTemplateVersion.VersionNumber --output text)',
        `# Compare it with version ${target.source_version}: block devices with snapshots, and the other metadata options.`,
      ].join('\n');
    case 'template_default':
      return `aws ec2 modify-launch-template ${region} --launch-template-id ${target.template_id} --default-version "$version_${target.created_by}"`;
    case 'group_version':
      return [
        `aws autoscaling update-auto-scaling-group ${region} --auto-scaling-group-name ${quoted(target.scaling_group)} \\`,
        `  --launch-template "LaunchTemplateId=${target.template_id},Version=$version_${target.created_by}"`,
      ].join('\n');
    case 'account_default':
      return `aws ec2 modify-instance-metadata-defaults ${region} --http-tokens required`;
  }
}

function backOf({ target, change }: PlanStep): string {
  const region = `--region ${target.region}`;
  switch (target.type) {
    case 'instance':
      return change.http_tokens === undefined
        ? 'the hop limit of before, which "aws ec2 describe-instances" shows'
        : `aws ec2 modify-instance-metadata-options ${region} --instance-id ${target.instance_id} --http-tokens optional`;
    case 'template':
      return target.goes_live
        ? `make a new version from version ${target.source_version}`
        : 'nothing: a version that is not in use changes nothing';
    case 'template_default':
    case 'group_version':
      return 'the version of before, by the same command';
    case 'account_default':
      return `aws ec2 modify-instance-metadata-defaults ${region} --http-tokens no-preference, or its value of before`;
  }
}

function options({ http_tokens, hop_limit }: PlanStep['change']): string {
  return [
    ...(http_tokens === undefined ? [] : [` --http-tokens ${http_tokens}`]),
    ...(hop_limit === undefined ? [] : [` --http-put-response-hop-limit ${hop_limit}`]),
  ].join('');
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
