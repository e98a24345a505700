/**
 * The attributes by which instances are grouped, and the names of groups. Pure. Sources of the tags: EC2 Auto
 * Scaling user guide, "Tag Auto Scaling groups and instances"; EC2 user guide, launch templates; EKS user
 * guide, node groups.
 */
import {
  NODE_GROUP_TAG,
  SCALING_GROUP_TAG,
  TEMPLATE_TAG,
  TEMPLATE_VERSION_TAG,
} from '../../../common/instance_tags.ts';
import type { HostProfile } from '../../store/store.ts';

const TAGS = {
  asg: SCALING_GROUP_TAG,
  template: TEMPLATE_TAG,
  'eks-nodegroup': NODE_GROUP_TAG,
} as const;

export const GROUP_ATTRIBUTES = [
  'asg',
  'template',
  'image',
  'eks-nodegroup',
  'account',
  'region',
  'zone',
  'type',
] as const;
export type GroupAttribute = (typeof GROUP_ATTRIBUTES)[number] | { tag: string };

/**
 * Reads `asg`, `template` … or `tag:KEY`. `image_id` is the former name of `image`. Returns null for any
 * other text.
 */
export function parseGroupAttribute(text: string): GroupAttribute | null {
  if (text === 'image_id') return 'image';
  if (text.startsWith('tag:') && text.length > 4) return { tag: text.slice(4) };
  return GROUP_ATTRIBUTES.find((name) => name === text) ?? null;
}

export function attributeName(by: GroupAttribute): string {
  return typeof by === 'string' ? by : `tag:${by.tag}`;
}

/** Returns the value of an attribute, null where it is not known. */
export function attributeOf(profile: HostProfile, by: GroupAttribute): string | null {
  if (typeof by === 'object') return tagOf(profile, by.tag);
  switch (by) {
    case 'asg':
    case 'template':
    case 'eks-nodegroup':
      return tagOf(profile, TAGS[by]);
    case 'image':
      return profile['image.id'] ?? null;
    case 'account':
      return profile['cloud.account.id'] ?? null;
    case 'region':
      return profile['cloud.region'] ?? null;
    case 'zone':
      return profile['cloud.availability_zone'] ?? null;
    case 'type':
      return profile.type ?? null;
  }
}

/** Returns the id of the group with this value: `asg:web`, `tag:team=shop`. */
export function groupId(by: GroupAttribute, value: string): string {
  return typeof by === 'string' ? `${by}:${value}` : `tag:${by.tag}=${value}`;
}

/**
 * Returns the attributes that a group of this id can have; empty for a text that names no group. The key of a
 * tag may have `=`, so that `tag:a=b=c` can be two groups.
 */
export function attributesOfId(id: string): { by: GroupAttribute; value: string }[] {
  const colon = id.indexOf(':');
  const rest = id.slice(colon + 1);
  if (colon < 1 || rest === '') return [];
  if (id.slice(0, colon) !== 'tag') {
    const by = GROUP_ATTRIBUTES.find((name) => name === id.slice(0, colon));
    return by === undefined ? [] : [{ by, value: rest }];
  }
  const found: { by: GroupAttribute; value: string }[] = [];
  for (let at = rest.indexOf('=', 1); at !== -1; at = rest.indexOf('=', at + 1)) {
    found.push({ by: { tag: rest.slice(0, at) }, value: rest.slice(at + 1) });
  }
  return found;
}

/** Source of an instance: `launcher` makes others like it. */
export interface LaunchSource {
  launcher: string;
  /** Account and region, `ACCOUNT/REGION`; a part that is not known is empty. */
  place: string;
  imageId: string | null;
  templateVersion: string | null;
}

/** An Auto Scaling group's name is unique in its account and region only. */
export function launchSourceOf(profile: HostProfile, hostId: string): LaunchSource {
  const imageId = profile['image.id'] ?? null;
  const place = `${profile['cloud.account.id'] ?? ''}/${profile['cloud.region'] ?? ''}`;
  const [asg, template] = [attributeOf(profile, 'asg'), attributeOf(profile, 'template')];
  const launcher =
    asg !== null
      ? `asg:${asg} (${place})`
      : template !== null
        ? `template:${template}`
        : imageId !== null
          ? `image:${imageId}`
          : `host:${hostId}`;
  return { launcher, place, imageId, templateVersion: tagOf(profile, TEMPLATE_VERSION_TAG) };
}

function tagOf({ tags }: HostProfile, key: string): string | null {
  return tags !== undefined && Object.hasOwn(tags, key) ? tags[key]! : null;
}
