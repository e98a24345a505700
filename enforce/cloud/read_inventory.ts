/** Reads the inventory of an account in a region. Every call only reads. */

import { paginateDescribeScalingActivities } from '@aws-sdk/client-auto-scaling';
import { type Instance, paginateDescribeInstances } from '@aws-sdk/client-ec2';
import type {
  CloudInstanceInput,
  CloudInventoryInput,
  CloudMemberInput,
  CloudResourceInput,
} from '../../collector/contract/cloud.ts';
import { SCALING_GROUP_TAG, TEMPLATE_TAG, TEMPLATE_VERSION_TAG } from '../../common/instance_tags.ts';
import { errorText } from '../cloud_message.ts';
import { accountCalls } from './account_defaults.ts';
import type { Connection } from './connection.ts';
import { cloudError } from './errors.ts';
import { metadataOptions, tagsOf } from './instances.ts';
import { type GroupActivity, memberships, withMemberships } from './membership.ts';
import {
  groupResources,
  type Place,
  readConfigurations,
  readGroups,
  readImages,
  readTemplates,
} from './read_launch_sources.ts';

export interface ReadInventory {
  options: CloudInstanceInput[];
  inventory: CloudInventoryInput;
  /** Number of instances whose options are being changed, so that nothing is known of them now. */
  pending: number;
  /** A sentence for each read that failed. */
  problems: string[];
}

/** Continues after a read that failed, and says so in `problems`. */
export async function readInventory(connection: Connection, place: Place): Promise<ReadInventory> {
  const problems: string[] = [];
  const attempt = async <T>(what: string, otherwise: T, work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      problems.push(problemText(what, error));
      return otherwise;
    }
  };
  const instances = await attempt('The instances', [], () => readInstances(connection));
  const activities = await attempt('The scaling activities', [], () => readActivities(connection));
  const groups = await attempt('The Auto Scaling groups', [], () => readGroups(connection));
  const described = instances.map((instance) => memberOf(instance, place));
  for (const group of groups) {
    const inGroup = new Set(group.Instances?.map(({ InstanceId: id }) => id));
    for (const member of described) {
      if (inGroup.has(member.instance_id)) member.scaling_group ??= group.AutoScalingGroupName ?? null;
    }
  }
  const members = withMemberships(described, memberships(activities), place);
  const templates = await attempt('The launch templates', [], () =>
    readTemplates(connection, place, members, groups),
  );
  const configurations = await attempt('The launch configurations', [], () =>
    readConfigurations(connection, place, groups),
  );
  const groupsNow = groupResources(place, groups, templates, configurations);
  const imageIds = [
    ...members.map(({ image_id }) => image_id),
    ...templates.flatMap(({ versions }) => versions.map(({ image_id }) => image_id)),
    ...groupsNow.map(({ image_id }) => image_id),
  ].filter((id) => id?.startsWith('ami-') === true);
  const images = await attempt('The images', [], () =>
    readImages(connection, place, [...new Set(imageIds as string[])]),
  );
  const defaults = await accountCalls(connection).accountDefaults();
  if (!defaults.ok) problems.push(`The account's defaults were not read: ${errorText(defaults.error)}`);
  const resources: CloudResourceInput[] = [
    ...(defaults.ok
      ? [{ kind: 'account_defaults' as const, ...place, id: 'defaults' as const, ...defaults.value }]
      : []),
    ...templates,
    ...groupsNow,
    ...configurations,
    ...images,
  ];
  const present = instances.filter(
    ({ State }) => State?.Name !== 'terminated' && State?.Name !== 'shutting-down',
  );
  const settled = present.filter(({ MetadataOptions: options }) => options?.State !== 'pending');
  return {
    options: settled.flatMap(optionsOf),
    inventory: { instances: members, resources },
    pending: present.length - settled.length,
    problems,
  };
}

export function problemText(what: string, error: unknown): string {
  return `${what} were not read: ${errorText(cloudError(error))}`;
}

async function readInstances({ ec2 }: Connection): Promise<Instance[]> {
  const instances: Instance[] = [];
  const pages = paginateDescribeInstances({ client: ec2, pageSize: 1000 }, { IncludeManagedResources: true });
  for await (const { Reservations = [] } of pages) {
    instances.push(...Reservations.flatMap(({ Instances = [] }) => Instances));
  }
  return instances;
}

async function readActivities({ autoScaling }: Connection): Promise<GroupActivity[]> {
  const activities: GroupActivity[] = [];
  const request = { IncludeDeletedGroups: true };
  for await (const page of paginateDescribeScalingActivities({ client: autoScaling }, request)) {
    for (const activity of page.Activities ?? []) {
      activities.push({
        group: activity.AutoScalingGroupName ?? '',
        description: activity.Description ?? '',
        isSuccessful: activity.StatusCode === 'Successful',
        start: activity.StartTime ?? null,
        end: activity.EndTime ?? null,
      });
    }
  }
  return activities;
}

function memberOf(instance: Instance, place: Place): CloudMemberInput {
  const tags = tagsOf(instance.Tags);
  const version = Number(tags[TEMPLATE_VERSION_TAG]);
  const operator = instance.Operator;
  return {
    instance_id: instance.InstanceId ?? '',
    ...place,
    state: instance.State?.Name ?? null,
    launched: instance.LaunchTime?.toISOString() ?? null,
    terminated: null,
    image_id: instance.ImageId ?? null,
    scaling_group: tags[SCALING_GROUP_TAG] ?? null,
    template_id: tags[TEMPLATE_TAG] ?? null,
    template_version: Number.isInteger(version) && version > 0 ? version : null,
    is_spot: instance.InstanceLifecycle === 'spot',
    managed_by: operator?.Managed === true ? (operator.Principal ?? 'unknown') : null,
    tags,
  };
}

function optionsOf({ InstanceId: id, MetadataOptions: options }: Instance): CloudInstanceInput[] {
  if (id === undefined || options === undefined) return [];
  const { http_tokens, hop_limit, http_endpoint } = metadataOptions(options);
  return [{ instance_id: id, http_tokens, hop_limit, http_endpoint }];
}
