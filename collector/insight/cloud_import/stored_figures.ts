/** Converts supplied figures of the cloud to the form of the store. */
import type { CloudCountInput, CloudInstanceInput, CloudInventoryInput } from '../../contract/cloud.ts';
import type { CloudCount, CloudInstance, CloudInventory } from '../../store/store.ts';

export function toCounts(counts: readonly CloudCountInput[]): CloudCount[] {
  return counts.map((count) => ({
    hostId: count.instance_id,
    startUs: microseconds(count.start),
    endUs: microseconds(count.end),
    noToken: count.metadata_no_token,
    noTokenRejected: count.metadata_no_token_rejected,
  }));
}

export function toInstances(instances: readonly CloudInstanceInput[], suppliedUs: number): CloudInstance[] {
  return instances.map(({ instance_id, http_tokens, hop_limit, http_endpoint }) => ({
    hostId: instance_id,
    httpTokens: http_tokens,
    hopLimit: hop_limit,
    httpEndpoint: http_endpoint,
    suppliedUs,
  }));
}

export function toInventory(
  { instances, resources }: CloudInventoryInput,
  suppliedUs: number,
): CloudInventory {
  return {
    instances: instances.map((member) => ({
      hostId: member.instance_id,
      account: member.account,
      region: member.region,
      state: member.state,
      launchedUs: member.launched === null ? null : microseconds(member.launched),
      terminatedUs: member.terminated === null ? null : microseconds(member.terminated),
      imageId: member.image_id,
      scalingGroup: member.scaling_group,
      templateId: member.template_id,
      templateVersion: member.template_version,
      isSpot: member.is_spot,
      managedBy: member.managed_by,
      tags: member.tags,
      suppliedUs,
    })),
    resources: resources.map((facts) => ({ facts, suppliedUs })),
  };
}

/** The cloud's times have no parts of a millisecond. */
function microseconds(text: string): number {
  return Date.parse(text) * 1000;
}
