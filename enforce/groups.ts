/** Tells which instances a choice of hosts on the command line names. Pure. */
import { readGroupId, tagOfAttribute } from '../common/group_id.ts';
import { SCALING_GROUP_TAG } from '../common/instance_tags.ts';
import type { Target } from './plan.ts';

/** Facts by which an instance belongs to groups. */
export interface GroupMember {
  tags: Readonly<Record<string, string>>;
  imageId: string | null;
}

/**
 * Returns whether an instance belongs to `asg:NAME`, `eks-nodegroup:NAME`, `template:ID`, `image:ID` or
 * `tag:KEY=VALUE`, or has the tag of `tag:KEY`. Null for a text that names no such group.
 */
export function belongsTo(group: string, { tags, imageId }: GroupMember): boolean | null {
  const key = group.startsWith('tag:') ? group.slice(4) : '';
  if (key !== '' && !key.includes('=')) return Object.hasOwn(tags, key);
  const belongs = readGroupId(group).flatMap(({ by, value }) => {
    const tag = tagOfAttribute(by);
    if (tag !== null) return [Object.hasOwn(tags, tag) && tags[tag] === value];
    return by === 'image' ? [imageId === value] : [];
  });
  return belongs.length === 0 ? null : belongs.includes(true);
}

/**
 * Returns the group whose canary and share count for an instance: its Auto Scaling group, else all instances of the
 * account and region that belong to none.
 */
export function ownGroup(
  tags: Readonly<Record<string, string>>,
  { account, region }: Pick<Target, 'account' | 'region'>,
): string {
  const scalingGroup = tags[SCALING_GROUP_TAG];
  return scalingGroup === undefined ? `none:${account}/${region}` : `asg:${scalingGroup}`;
}

/** Returns the name of the Auto Scaling group that `group` is; null for another kind of group. */
export function scalingGroupOf(group: string): string | null {
  return group.startsWith('asg:') ? group.slice(4) : null;
}
