/** Reads what instances are launched from: templates, Auto Scaling groups, launch configurations, images. */
import {
  type AutoScalingGroup,
  paginateDescribeAutoScalingGroups,
  paginateDescribeLaunchConfigurations,
} from '@aws-sdk/client-auto-scaling';
import {
  DescribeLaunchTemplateVersionsCommand,
  type EC2Client,
  type LaunchTemplateVersion,
  paginateDescribeImages,
  paginateDescribeLaunchTemplates,
} from '@aws-sdk/client-ec2';
import type { CloudMemberInput, CloudResourceInput } from '../../collector/contract/cloud.ts';
import type { Connection } from './connection.ts';
import { cloudError } from './errors.ts';
import { metadataOptions } from './instances.ts';
import { scalingGroupOf } from './scaling_groups.ts';

const VALUES_PER_FILTER = 200;
const VERSIONS_PER_CALL = 200;

type Resource<K extends CloudResourceInput['kind']> = Extract<CloudResourceInput, { kind: K }>;
export type Place = { account: string; region: string };

export async function readGroups({ autoScaling }: Connection): Promise<AutoScalingGroup[]> {
  const groups: AutoScalingGroup[] = [];
  for await (const page of paginateDescribeAutoScalingGroups({ client: autoScaling }, {})) {
    groups.push(...(page.AutoScalingGroups ?? []));
  }
  return groups;
}

/** Returns every template with its default and latest version, and the versions that `members` and `groups` use. */
export async function readTemplates(
  { ec2 }: Connection,
  place: Place,
  members: readonly CloudMemberInput[],
  groups: readonly AutoScalingGroup[],
): Promise<Resource<'launch_template'>[]> {
  const used = versionsInUse(members, groups);
  const templates: Resource<'launch_template'>[] = [];
  for await (const page of paginateDescribeLaunchTemplates({ client: ec2 }, {})) {
    for (const template of page.LaunchTemplates ?? []) {
      const id = template.LaunchTemplateId ?? '';
      const [first, latest] = [template.DefaultVersionNumber ?? 1, template.LatestVersionNumber ?? 1];
      const wanted = new Set([first, latest, ...(used.get(id) ?? [])]);
      const versions = await readVersions(ec2, id, [...wanted]);
      templates.push({
        kind: 'launch_template',
        ...place,
        id,
        name: template.LaunchTemplateName ?? id,
        default_version: first,
        latest_version: latest,
        versions: versions
          .map(({ VersionNumber: version = 0, LaunchTemplateData: data }) => {
            const { http_tokens, http_endpoint, hop_limit } = metadataOptions(data?.MetadataOptions);
            return { version, image_id: data?.ImageId ?? null, http_tokens, http_endpoint, hop_limit };
          })
          .sort((a, b) => a.version - b.version),
      });
    }
  }
  return templates;
}

function versionsInUse(
  members: readonly CloudMemberInput[],
  groups: readonly AutoScalingGroup[],
): Map<string, Set<number>> {
  const used = new Map<string, Set<number>>();
  const add = (id: string, version: number) => used.set(id, (used.get(id) ?? new Set()).add(version));
  for (const { template_id: id, template_version: version } of members) {
    if (id !== null && version !== null) add(id, version);
  }
  for (const group of groups) {
    const { template } = scalingGroupOf(group);
    if (typeof template?.reference === 'number') add(template.templateId, template.reference);
  }
  return used;
}

/** Leaves out versions that were deleted: one of them makes a call for several fail. */
async function readVersions(
  ec2: EC2Client,
  templateId: string,
  versions: readonly number[],
): Promise<LaunchTemplateVersion[]> {
  const found: LaunchTemplateVersion[] = [];
  for (let from = 0; from < versions.length; from += VERSIONS_PER_CALL) {
    const part = versions.slice(from, from + VERSIONS_PER_CALL);
    try {
      let NextToken: string | undefined;
      const pages: LaunchTemplateVersion[] = [];
      do {
        const page = await ec2.send(
          new DescribeLaunchTemplateVersionsCommand({
            LaunchTemplateId: templateId,
            Versions: part.map(String),
            ...(NextToken === undefined ? {} : { NextToken }),
          }),
        );
        pages.push(...(page.LaunchTemplateVersions ?? []));
        NextToken = page.NextToken;
      } while (NextToken !== undefined);
      found.push(...pages);
    } catch (error) {
      if (cloudError(error).kind !== 'not_found') throw error;
      if (part.length === 1) continue;
      for (const version of part) found.push(...(await readVersions(ec2, templateId, [version])));
    }
  }
  return found;
}

/** Returns the groups with the number and the image that their template stands for now. */
export function groupResources(
  place: Place,
  groups: readonly AutoScalingGroup[],
  templates: readonly Resource<'launch_template'>[],
  configurations: readonly Resource<'launch_configuration'>[],
): Resource<'scaling_group'>[] {
  const byId = new Map(templates.map((template) => [template.id, template]));
  const imageOf = new Map(configurations.map(({ id, image_id }) => [id, image_id]));
  return groups.map((group) => {
    const { name, template: named, otherSource, instanceIds } = scalingGroupOf(group);
    const template = named === null ? undefined : byId.get(named.templateId);
    const number =
      typeof named?.reference === 'number'
        ? named.reference
        : named?.reference === '$Latest'
          ? template?.latest_version
          : template?.default_version;
    const version = template?.versions.find((candidate) => candidate.version === number);
    return {
      kind: 'scaling_group' as const,
      ...place,
      id: name,
      template_id: named?.templateId ?? null,
      template_reference: named === null ? null : String(named.reference),
      template_version: number ?? null,
      image_id: version?.image_id ?? imageOf.get(group.LaunchConfigurationName ?? '') ?? null,
      other_source: otherSource,
      instances: instanceIds.length,
    };
  });
}

/** Returns the launch configurations that a group uses. */
export async function readConfigurations(
  { autoScaling }: Connection,
  place: Place,
  groups: readonly AutoScalingGroup[],
): Promise<Resource<'launch_configuration'>[]> {
  const names = new Set(groups.flatMap(({ LaunchConfigurationName: name }) => name ?? []));
  const found: Resource<'launch_configuration'>[] = [];
  if (names.size === 0) return found;
  for await (const page of paginateDescribeLaunchConfigurations({ client: autoScaling }, {})) {
    for (const configuration of page.LaunchConfigurations ?? []) {
      const id = configuration.LaunchConfigurationName ?? '';
      if (!names.has(id)) continue;
      const options = configuration.MetadataOptions;
      found.push({
        kind: 'launch_configuration',
        ...place,
        id,
        image_id: configuration.ImageId ?? null,
        http_tokens: options?.HttpTokens ?? null,
        http_endpoint: options?.HttpEndpoint ?? null,
        hop_limit: options?.HttpPutResponseHopLimit ?? null,
      });
    }
  }
  return found;
}

/** Leaves out images that were deleted or are not shared any more: nothing is known of them. */
export async function readImages(
  { ec2 }: Connection,
  place: Place,
  imageIds: readonly string[],
): Promise<Resource<'image'>[]> {
  const found: Resource<'image'>[] = [];
  for (let from = 0; from < imageIds.length; from += VALUES_PER_FILTER) {
    const Values = imageIds.slice(from, from + VALUES_PER_FILTER);
    const request = { Filters: [{ Name: 'image-id', Values }], IncludeDeprecated: true };
    for await (const { Images = [] } of paginateDescribeImages({ client: ec2 }, request)) {
      for (const { ImageId: id = '', ImdsSupport: support } of Images) {
        found.push({ kind: 'image', ...place, id, imds_support: support === 'v2.0' ? 'v2.0' : null });
      }
    }
  }
  return found;
}
