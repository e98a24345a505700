/**
 * Puts instances back into their Auto Scaling groups by the activities of the groups, also those that are gone.
 * Pure. AWS keeps activities for six weeks (Auto Scaling API reference, DescribeScalingActivities).
 */
import type { CloudMemberInput } from '../../collector/contract/cloud.ts';

export interface GroupActivity {
  group: string;
  /** For example `Launching a new EC2 instance: i-0123456789abcdef0`. */
  description: string;
  isSuccessful: boolean;
  start: Date | null;
  end: Date | null;
}

export interface Membership {
  instanceId: string;
  group: string;
  launched: string | null;
  terminated: string | null;
}

const INSTANCE_ID = /\bi-(?:[0-9a-f]{17}|[0-9a-f]{8})\b/g;
const LAUNCH = /^Launching a new EC2 instance/;
const TERMINATION = /^Terminating EC2 instance/;

/**
 * Returns the instances that the activities name, in any order of the activities. An activity that failed, or
 * that attaches or moves an instance, shows that it belonged to the group, and no time of its life.
 */
export function memberships(activities: readonly GroupActivity[]): Membership[] {
  const found = new Map<string, Membership>();
  for (const { group, description, isSuccessful, start, end } of activities) {
    for (const [instanceId] of description.matchAll(INSTANCE_ID)) {
      const key = JSON.stringify([instanceId, group]);
      const known = found.get(key) ?? { instanceId, group, launched: null, terminated: null };
      found.set(key, known);
      if (!isSuccessful) continue;
      if (LAUNCH.test(description)) known.launched ??= start?.toISOString() ?? null;
      if (TERMINATION.test(description)) known.terminated ??= (end ?? start)?.toISOString() ?? null;
    }
  }
  return [...found.values()];
}

/** Adds what the activities know to the instances that were described, and the instances that are gone. */
export function withMemberships(
  described: readonly CloudMemberInput[],
  known: readonly Membership[],
  place: { account: string; region: string },
): CloudMemberInput[] {
  const byId = new Map(described.map((member) => [member.instance_id, { ...member }]));
  for (const { instanceId, group, launched, terminated } of known) {
    const member = byId.get(instanceId);
    if (member === undefined) {
      byId.set(instanceId, goneMember(instanceId, place, group, launched, terminated));
    } else {
      member.scaling_group ??= group;
      member.launched ??= launched;
      // An instance that still runs was detached or is being replaced: only its end is an end.
      if (member.state === null || member.state === 'terminated') member.terminated ??= terminated;
    }
  }
  return [...byId.values()];
}

function goneMember(
  instance_id: string,
  place: { account: string; region: string },
  scaling_group: string,
  launched: string | null,
  terminated: string | null,
): CloudMemberInput {
  return {
    instance_id,
    ...place,
    // Without its end in the activities nothing is known of its state: it may have been detached.
    state: terminated === null ? null : 'terminated',
    launched,
    terminated,
    scaling_group,
    image_id: null,
    template_id: null,
    template_version: null,
    is_spot: null,
    managed_by: null,
    tags: null,
  };
}
