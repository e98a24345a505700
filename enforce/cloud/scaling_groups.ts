/** Auto Scaling groups and the launch template version that they name. Source: Auto Scaling API reference. */
import {
  type AutoScalingClient,
  type AutoScalingGroup,
  DescribeAutoScalingGroupsCommand,
  DescribeInstanceRefreshesCommand,
  type LaunchTemplateSpecification,
  paginateDescribeAutoScalingGroups,
  UpdateAutoScalingGroupCommand,
} from '@aws-sdk/client-auto-scaling';
import type { Cloud, ScalingGroup } from '../cloud.ts';
import type { VersionReference } from '../plan.ts';
import type { Connection } from './connection.ts';
import { outcome } from './errors.ts';

export function scalingGroupCalls({
  autoScaling,
  autoScalingWriter,
}: Connection): Pick<Cloud, 'scalingGroup' | 'scalingGroupsOf' | 'instanceRefresh' | 'setGroupVersion'> {
  return {
    scalingGroup: (name) =>
      outcome(async () => {
        const group = await groupNamed(autoScaling, name);
        return group === null ? null : scalingGroupOf(group);
      }),

    scalingGroupsOf: (templateId) =>
      outcome(async () => {
        const names: string[] = [];
        for await (const page of paginateDescribeAutoScalingGroups({ client: autoScaling }, {})) {
          for (const group of page.AutoScalingGroups ?? []) {
            if (templatesOf(group).includes(templateId)) names.push(group.AutoScalingGroupName ?? '');
          }
        }
        return names.sort();
      }),

    instanceRefresh: (name) => outcome(() => refreshOf(autoScaling, name)),

    setGroupVersion: (name, templateId, reference) =>
      outcome(async () => {
        const group = await groupNamed(autoScaling, name);
        if (group === null) throw notFound(`The Auto Scaling group ${name} does not exist.`);
        const present = scalingGroupOf(group).template?.templateId ?? null;
        if (present !== templateId) {
          const message = `The Auto Scaling group ${name} launches from ${present ?? 'several sources'}, not from ${templateId}. Nothing was changed.`;
          throw Object.assign(new Error(message), { name: 'IncorrectState' });
        }
        const template = { LaunchTemplateId: templateId, Version: String(reference) };
        const { MixedInstancesPolicy: mixed } = group;
        await autoScalingWriter.send(
          new UpdateAutoScalingGroupCommand({
            AutoScalingGroupName: name,
            // A mixed instances policy is replaced as a whole, so all of it is sent.
            ...(mixed === undefined
              ? { LaunchTemplate: template }
              : {
                  MixedInstancesPolicy: {
                    ...mixed,
                    LaunchTemplate: { ...mixed.LaunchTemplate, LaunchTemplateSpecification: template },
                  },
                }),
          }),
        );
        return null;
      }),
  };
}

async function groupNamed(client: AutoScalingClient, name: string): Promise<AutoScalingGroup | null> {
  const { AutoScalingGroups: [group] = [] } = await client.send(
    new DescribeAutoScalingGroupsCommand({ AutoScalingGroupNames: [name] }),
  );
  return group ?? null;
}

/** Statuses of a refresh that has ended (Auto Scaling API reference, InstanceRefresh). All others are under way. */
const ENDED: ReadonlySet<string> = new Set([
  'Successful',
  'Failed',
  'Cancelled',
  'RollbackFailed',
  'RollbackSuccessful',
]);

/** A group has one refresh at a time, and the newest comes first (Auto Scaling API reference, DescribeInstanceRefreshes). */
async function refreshOf(client: AutoScalingClient, name: string): Promise<string | null> {
  try {
    const { InstanceRefreshes: refreshes = [] } = await client.send(
      new DescribeInstanceRefreshesCommand({ AutoScalingGroupName: name }),
    );
    return (
      refreshes.flatMap(({ Status: status }) => status ?? []).find((status) => !ENDED.has(status)) ?? null
    );
  } catch (error) {
    const { name: code, message } = error as Error;
    if (code === 'ValidationError' && /not found/i.test(message)) return null;
    throw error;
  }
}

/** The error's code is the one of EC2 for a missing target. */
function notFound(message: string): Error {
  return Object.assign(new Error(message), { name: 'NotFound' });
}

export function scalingGroupOf(group: AutoScalingGroup): ScalingGroup {
  const mixed = group.MixedInstancesPolicy?.LaunchTemplate;
  const overridesTemplate = (mixed?.Overrides ?? []).some(
    ({ LaunchTemplateSpecification: other }) => other !== undefined,
  );
  const specification = group.LaunchTemplate ?? mixed?.LaunchTemplateSpecification;
  const instanceIds = (group.Instances ?? []).flatMap(({ InstanceId: id }) => id ?? []);
  const name = group.AutoScalingGroupName ?? '';
  if (overridesTemplate) return { name, template: null, otherSource: 'mixed_instances', instanceIds };
  const template = templateOf(specification);
  return {
    name,
    template,
    otherSource: template === null ? 'launch_configuration' : null,
    instanceIds,
  };
}

/** Returns the ids of all templates that a group may launch from. */
function templatesOf({ LaunchTemplate: own, MixedInstancesPolicy: mixed }: AutoScalingGroup): string[] {
  const overrides = mixed?.LaunchTemplate?.Overrides ?? [];
  return [
    own,
    mixed?.LaunchTemplate?.LaunchTemplateSpecification,
    ...overrides.map(({ LaunchTemplateSpecification: other }) => other),
  ].flatMap((specification) => specification?.LaunchTemplateId ?? []);
}

function templateOf(specification: LaunchTemplateSpecification | undefined): ScalingGroup['template'] {
  if (specification?.LaunchTemplateId === undefined) return null;
  return {
    templateId: specification.LaunchTemplateId,
    reference: referenceOf(specification.Version),
  };
}

/** A group that names no version launches the default one (Auto Scaling API, LaunchTemplateSpecification). */
function referenceOf(version: string | undefined): VersionReference {
  if (version === undefined || version === '$Default') return '$Default';
  return version === '$Latest' ? '$Latest' : Number(version);
}
