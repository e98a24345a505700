/** Loads and judges the members of all groups at once, or of one. */
import type { GroupAttribute } from '../../../common/group_id.ts';
import { SCALING_GROUP_TAG } from '../../../common/instance_tags.ts';
import { DAY_US, type Window } from '../../contract/window.ts';
import { narrows } from '../../store/host_filter.ts';
import type {
  CloudInventory,
  HostProfile,
  MembersPlace,
  StoredMembers,
  StoredProfiles,
  StoreQueries,
} from '../../store/store.ts';
import { isV1, type Tally, tally, tallyAll } from '../counts.ts';
import type { HostJudge } from '../host_judge.ts';
import type { Judging } from '../judged.ts';
import type { HostFilter } from '../question.ts';
import { attributeOf, launchSourceOf } from './attributes.ts';
import type { GroupEvidence } from './judge_group.ts';
import { type JudgedMember, judgeMember, type Member, type MemberBrief } from './member.ts';
import { type GroupedMember, membersOf, membersToCompare } from './members_of.ts';

/** Narrows every group to these accounts and regions. Nothing else may: a part of a group proves nothing. */
export interface GroupFilter {
  accounts?: readonly string[];
  regions?: readonly string[];
}

/** Returns the part of a choice of hosts that may narrow a group; null where it narrows by something else. */
export function placesOf({ accounts, regions, ...others }: HostFilter): GroupFilter | null {
  const known = (values: HostFilter['accounts']) => values?.every((value) => value !== null) ?? true;
  if (narrows(others) || !known(accounts) || !known(regions)) return null;
  return {
    ...(accounts !== undefined && { accounts: accounts as readonly string[] }),
    ...(regions !== undefined && { regions: regions as readonly string[] }),
  };
}

/** Members that are read and judged at a time. */
export const MEMBERS_AT_ONCE = 5000;

export interface FleetMember<M extends MemberBrief = MemberBrief> {
  judged: JudgedMember<M>;
  profiles: GroupedMember['profiles'];
}

/** A workload that called without a token on a host, with its calls added up. */
export interface HostCaller {
  identity: string;
  calls: Pick<Tally, 'v1' | 'lastV1Us'>;
}

export interface Fleet<M extends MemberBrief = MemberBrief> {
  members: readonly FleetMember<M>[];
  /** Instances that reported, or existed, in this time are members. */
  reported: Window;
  judging: Judging;
  /** Workloads that called without a token, by host. */
  callers: ReadonlyMap<string, readonly HostCaller[]>;
  /** All profiles that agents ever reported, with the time of the first one. */
  ever: { facts: HostProfile; firstUs: number }[];
  forgottenUntilUs: number | null;
  launchesNow: GroupEvidence['launchesNow'];
  /** When all of an account and region (`LaunchSource.place`) was read last. */
  inventoryUs: ReadonlyMap<string, number>;
}

/** Returns the numbers of the profiles by which a host belongs to a group. */
export function profilesOfGroup(profiles: StoredProfiles, by: GroupAttribute, value: string): number[] {
  return [...profiles].flatMap(([id, { facts }]) => (attributeOf(facts, by) === value ? [id] : []));
}

/** `chosen`: profiles of which a member must have one. Null: all members. */
export async function loadFleet(
  store: StoreQueries,
  judge: HostJudge,
  questionWindow: Window,
  filter: GroupFilter,
  profiles: StoredProfiles,
  chosen: readonly number[] | null,
): Promise<Fleet<Member>> {
  const window = judge.readinessWindow(questionWindow);
  const judging = judge.judging(window);
  // A host whose clock is ahead of ours reports with times after now. These reports count.
  const untilUs = window.untilUs >= judging.nowUs ? judging.nowUs + DAY_US : window.untilUs;
  const reported = { ...window, untilUs };
  const resources = await store.cloudResources();
  const members: FleetMember<Member>[] = [];
  const callers = new Map<string, HostCaller[]>();
  const isNarrowed = narrows(filter);
  let forgottenUntilUs: number | null = null;
  const read = (after: MembersPlace) => {
    const reading = store.members(reported, chosen, after, MEMBERS_AT_ONCE);
    reading.catch(() => {}); // the error is thrown where its members are wanted
    return reading;
  };
  for (let reading: Promise<StoredMembers> | null = read(0); reading !== null; ) {
    const stored: StoredMembers = await reading;
    // The next members are read while these are judged.
    reading = stored.next === null ? null : read(stored.next);
    const present = new Set(stored.hostIds);
    const totalsByHost = Map.groupBy(
      stored.totals.filter(({ hostId }) => present.has(hostId)),
      ({ hostId }) => hostId,
    );
    const calls = new Map([...totalsByHost].map(([hostId, rows]) => [hostId, tallyAll(rows)]));
    const toCompare = membersToCompare(stored, calls);
    const compared = await judge.compareWithCloud(
      toCompare.length === 0 ? [] : await store.cloudCounts(window, toCompare),
    );
    for (const { member, profiles: own } of membersOf(stored, profiles, calls, compared)) {
      if (isNarrowed && !own.profiles.some((facts) => matches(facts, filter))) continue;
      members.push({ judged: judgeMember(member, judging), profiles: own });
    }
    addCallers(callers, totalsByHost);
    forgottenUntilUs = stored.forgottenUntilUs;
  }
  return {
    members,
    reported,
    judging,
    callers,
    ever: everReported(profiles),
    forgottenUntilUs,
    launchesNow: launchesNowOf(resources),
    inventoryUs: readsOf(resources),
  };
}

/** Returns the part of a fleet that a filter selects. */
export function partOfFleet(fleet: Fleet, filter: GroupFilter): Fleet {
  if (!narrows(filter)) return fleet;
  const bySet = new Map<FleetMember['profiles'], boolean>();
  const isIn = (set: FleetMember['profiles']) => {
    const known = bySet.get(set) ?? set.profiles.some((facts) => matches(facts, filter));
    bySet.set(set, known);
    return known;
  };
  return { ...fleet, members: fleet.members.filter(({ profiles }) => isIn(profiles)) };
}

export function everReported(profiles: StoredProfiles): Fleet['ever'] {
  return [...profiles.values()].flatMap(({ facts, firstUs }) =>
    firstUs === null ? [] : [{ facts, firstUs }],
  );
}

/** Adds the workloads that called without a token on each host. */
function addCallers(
  callers: Map<string, HostCaller[]>,
  totalsByHost: ReadonlyMap<string, StoredMembers['totals']>,
): void {
  for (const [hostId, rows] of totalsByHost) {
    const own = rows.flatMap(({ identity, kinds }) =>
      identity === null || !kinds.some(isV1) ? [] : [{ identity, calls: tally(kinds) }],
    );
    if (own.length > 0) callers.set(hostId, own);
  }
}

/** Tells whether an instance is in the places to which groups are narrowed. */
export function matches(facts: HostProfile, { accounts, regions }: GroupFilter): boolean {
  return (
    (accounts === undefined || accounts.includes(facts['cloud.account.id'] ?? '')) &&
    (regions === undefined || regions.includes(facts['cloud.region'] ?? ''))
  );
}

/** A read of which a part failed does not count: an instance without an agent could be in that part. */
function readsOf(resources: CloudInventory['resources']): Fleet['inventoryUs'] {
  return new Map(
    resources.flatMap(({ facts }) =>
      facts.kind === 'complete_read'
        ? [[`${facts.account}/${facts.region}`, Date.parse(facts.made) * 1000] as const]
        : [],
    ),
  );
}

function launchesNowOf(resources: CloudInventory['resources']): GroupEvidence['launchesNow'] {
  return new Map(
    resources.flatMap(({ facts }) => {
      if (facts.kind !== 'scaling_group') return [];
      const { account, region, id } = facts;
      const tags = { [SCALING_GROUP_TAG]: id };
      const { launcher } = launchSourceOf({ 'cloud.account.id': account, 'cloud.region': region, tags }, id);
      const imageId = facts.image_id?.startsWith('ami-') ? facts.image_id : null;
      const templateVersion = facts.template_version === null ? null : String(facts.template_version);
      return [[launcher, { imageId, templateVersion }] as const];
    }),
  );
}
