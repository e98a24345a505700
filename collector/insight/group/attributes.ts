/**
 * Reads the attributes by which instances are grouped from their facts. Pure. Sources of the tags: EC2 Auto
 * Scaling user guide, "Tag Auto Scaling groups and instances"; EC2 user guide, launch templates; EKS user
 * guide, node groups.
 */
import { type GroupAttribute, tagOfAttribute } from '../../../common/group_id.ts';
import { TEMPLATE_VERSION_TAG } from '../../../common/instance_tags.ts';
import type { HostProfile } from '../../store/store.ts';

/** Returns the value of an attribute, null where it is not known. */
export function attributeOf(profile: HostProfile, by: GroupAttribute): string | null {
  const tag = tagOfAttribute(by);
  if (tag !== null) return tagOf(profile, tag);
  switch (by) {
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
    default:
      return null;
  }
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
