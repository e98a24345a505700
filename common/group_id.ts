/** Names of groups of instances, and the attributes by which instances are grouped. */
import { NODE_GROUP_TAG, SCALING_GROUP_TAG, TEMPLATE_TAG } from './instance_tags.ts';

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

const TAGS: Partial<Record<Extract<GroupAttribute, string>, string>> = {
  asg: SCALING_GROUP_TAG,
  template: TEMPLATE_TAG,
  'eks-nodegroup': NODE_GROUP_TAG,
};

/** Returns the key of the tag that has the attribute; null for an attribute that is no tag. */
export function tagOfAttribute(by: GroupAttribute): string | null {
  return typeof by === 'object' ? by.tag : (TAGS[by] ?? null);
}

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

/** Returns the id of the group with this value: `asg:web`, `tag:team=shop`. */
export function groupId(by: GroupAttribute, value: string): string {
  return typeof by === 'string' ? `${by}:${value}` : `tag:${by.tag}=${value}`;
}

/**
 * Returns the attributes and values that a group of this id can have; empty for a text that names no group. The
 * key of a tag may have `=`, so that `tag:a=b=c` can be two groups.
 */
export function readGroupId(id: string): { by: GroupAttribute; value: string }[] {
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
