/** Reads from the cloud what a plan needs to know about its groups: their sizes and launch templates. Changes nothing. */
import type { Cloud, Outcome } from '../cloud.ts';
import { errorText } from '../cloud_message.ts';
import { scalingGroupOf } from '../groups.ts';
import type { ChosenHost, LeftOut } from './choice.ts';
import type { PlannedTemplate } from './make_plan.ts';

export interface Survey {
  sizes: Map<string, number>;
  templates: PlannedTemplate[];
  /** Groups whose templates are not planned, with the reason. */
  leftOut: LeftOut[];
}

type Place = ChosenHost['place'];

/** `withTemplates`: plan the templates of Auto Scaling groups, too. */
export async function survey(
  groups: readonly { group: string; place: Place }[],
  cloudOf: (place: Place) => Cloud,
  { withTemplates }: { withTemplates: boolean },
): Promise<Survey> {
  const result: Survey = { sizes: new Map(), templates: [], leftOut: [] };
  const byTemplate = new Map<string, PlannedTemplate>();
  for (const { group, place } of groups) {
    const name = scalingGroupOf(group);
    if (name === null) continue;
    const cloud = cloudOf(place);
    const leave = (reason: string) => result.leftOut.push({ host: group, reason });
    const found = await cloud.scalingGroup(name);
    if (!found.ok) {
      leave(`The group cannot be described, so its share is one instance: ${errorText(found.error)}`);
      continue;
    }
    if (found.value === null) {
      leave('The Auto Scaling group does not exist any more.');
      continue;
    }
    const { template, otherSource, instanceIds } = found.value;
    result.sizes.set(group, instanceIds.length);
    if (!withTemplates) continue;
    if (template === null) {
      leave(
        otherSource === 'launch_configuration'
          ? 'It launches from a launch configuration, which cannot be changed. Move it to a launch template.'
          : 'Its mixed instances policy names several templates. Change them by hand.',
      );
      continue;
    }
    const { templateId, reference } = template;
    const planned = await plannedTemplate(cloud, templateId, reference);
    if (!planned.ok) {
      leave(`Its launch template cannot be read: ${errorText(planned.error)}`);
      continue;
    }
    const { sourceVersion, sharedBy } = planned.value;
    const known = byTemplate.get(templateId);
    if (known !== undefined && known.sourceVersion !== sourceVersion) {
      leave(
        `It launches version ${sourceVersion} of ${templateId}, another group of the plan ${known.sourceVersion}.`,
      );
      continue;
    }
    const references = [...(known?.references ?? []), { scalingGroup: name, reference }];
    byTemplate.set(templateId, { place, templateId, sourceVersion, groups: sharedBy, references });
  }
  result.templates = [...byTemplate.values()];
  return result;
}

async function plannedTemplate(
  cloud: Cloud,
  templateId: string,
  reference: PlannedTemplate['references'][number]['reference'],
): Promise<Outcome<{ sourceVersion: number; sharedBy: string[] }>> {
  const template = await cloud.describeTemplate(templateId);
  if (!template.ok) return template;
  const sharedBy = await cloud.scalingGroupsOf(templateId);
  if (!sharedBy.ok) return sharedBy;
  const { latestVersion, defaultVersion } = template.value;
  const sourceVersion =
    reference === '$Latest' ? latestVersion : reference === '$Default' ? defaultVersion : reference;
  return { ok: true, value: { sourceVersion, sharedBy: sharedBy.value } };
}
