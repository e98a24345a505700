/** Groups of instances by their tags. Pure. Source of the tags: EC2, Auto Scaling and EKS user guides. */
import { NODE_GROUP_TAG, SCALING_GROUP_TAG, TEMPLATE_TAG } from '../common/instance_tags.ts';
import type { Target } from './plan.ts';

/** A choice of hosts on the command line: `asg:NAME`, `eks-nodegroup:NAME`, `template:ID`, `image:ID`, `tag:KEY=VALUE`. */
export interface GroupMember {
  tags: Readonly<Record<string, string>>;
  imageId: string | null;
}

/** Returns whether an instance belongs to a group. Null for a text that names no group. */
export function belongsTo(group: string, { tags, imageId }: GroupMember): boolean | null {
  const at = group.indexOf(':');
  const value = group.slice(at + 1);
  if (at < 0 || value === '') return null;
  switch (group.slice(0, at)) {
    case 'asg':
      return tags[SCALING_GROUP_TAG] === value;
    case 'eks-nodegroup':
      return tags[NODE_GROUP_TAG] === value;
    case 'template':
      return tags[TEMPLATE_TAG] === value;
    case 'image':
      return imageId === value;
    case 'tag': {
      const equals = value.indexOf('=');
      return equals < 0 ? value in tags : tags[value.slice(0, equals)] === value.slice(equals + 1);
    }
    default:
      return null;
  }
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
