/** Describes judged groups and their members in the form that the API serves. Pure. */
import { attributeName, type GroupAttribute, groupId } from '../../../common/group_id.ts';
import type { Group, GroupMember, GroupOffender } from '../../contract/group.ts';
import { toTimestamp } from '../../store/time.ts';
import { attributeOf } from './attributes.ts';
import type { Fleet, FleetMember } from './fleet.ts';
import { groupReason, problemText } from './group_reason.ts';
import { isStartSeen, type JudgedGroup, judgeGroup, STARTS_NEEDED } from './judge_group.ts';
import type { JudgedMember, Member, MemberBrief } from './member.ts';
import type { ProfileSet } from './members_of.ts';

const MAX_OFFENDERS = 100;
const MAX_EXAMPLES = 10;
const MAX_PLACES = 20;
const MAX_STARTS = 100;

export interface ChosenGroup<M extends MemberBrief = MemberBrief> {
  by: GroupAttribute;
  value: string;
  members: readonly FleetMember<M>[];
  /** The sets of profiles that they have, each one once. */
  sets: readonly ProfileSet[];
  /** When an agent first reported this value, of all time; `Infinity` if none did. */
  firstKnownUs: number;
}

export interface DescribedGroup extends ChosenGroup {
  judged: JudgedGroup;
  inventoryUs: number | null;
  /** Workloads that called without a token, most hosts first. */
  callers: { identity: string; hosts: number; calls: number; lastUs: number }[];
}

/** `outside`: values of groups that have members which whoever asks may not see. */
export function judgeChosen(chosen: ChosenGroup, fleet: Fleet, outside: ReadonlySet<string>): DescribedGroup {
  const members = chosen.members.map(({ judged }) => judged);
  const inventoryUs = inventoryOf(chosen.sets, fleet.inventoryUs);
  const firstKnownUs = members.reduce(
    (least, { member }) => Math.min(least, member.firstUs ?? Number.POSITIVE_INFINITY),
    chosen.firstKnownUs,
  );
  const { forgottenUntilUs, launchesNow, judging } = fleet;
  const hasMembersOutside = outside.has(chosen.value);
  const judged = judgeGroup(
    { members, firstKnownUs, forgottenUntilUs, inventoryUs, hasMembersOutside, launchesNow },
    judging,
  );
  return { ...chosen, judged, inventoryUs, callers: callersOf(judged, fleet.callers) };
}

/** Returns the hosts that a description names. */
export function namedHosts({ judged }: DescribedGroup): string[] {
  return [judged.offending, ...judged.problems.values()].flatMap((members) =>
    members.slice(0, MAX_EXAMPLES).map(({ member }) => member.hostId),
  );
}

export function describeGroup(
  { by, value, members, sets, judged, inventoryUs, callers }: DescribedGroup,
  { judging }: Fleet,
  nameOf: (hostId: string) => string,
  titleOf: (identity: string) => string,
): Group {
  const offenders = callers.map(
    ({ identity, hosts, calls, lastUs }): GroupOffender => ({
      id: identity,
      title: titleOf(identity),
      hosts,
      calls_v1: calls,
      last_v1: toTimestamp(lastUs),
    }),
  );
  const startSeen = isStartSeen(judged);
  return {
    id: groupId(by, value),
    by: attributeName(by),
    value,
    accounts: valuesOf(sets, 'account'),
    regions: valuesOf(sets, 'region'),
    verdict: judged.verdict,
    reason: groupReason(judged, {
      members: members.length,
      callers: offenders.map(({ title }) => title),
      hosts: judged.offending.slice(0, MAX_EXAMPLES).map(({ member }) => nameOf(member.hostId)),
      inventoryUs,
    }),
    window: { from: toTimestamp(judging.window.sinceUs), to: toTimestamp(judging.window.untilUs) },
    members: members.length,
    running: members.filter(({ judged: { isRunning } }) => isRunning).length,
    watched: judged.watched,
    offending: judged.offending.length,
    calls_v1: judged.offending.reduce((sum, { member }) => sum + (member.calls?.v1 ?? 0), 0),
    offenders: offenders.slice(0, MAX_OFFENDERS),
    problems: [...judged.problems].map(([code, concerned]) => ({
      code,
      members: concerned.length,
      text: problemText(code, concerned.length, { starts: judged.starts, inventoryUs }),
      examples: concerned
        .slice(0, MAX_EXAMPLES)
        .map(({ member: { hostId } }) => ({ id: hostId, name: nameOf(hostId) })),
    })),
    start_seen: startSeen,
    starts: judged.starts.slice(0, MAX_STARTS).map(({ launcher, imageId, templateVersion, seen }) => ({
      launcher,
      image_id: imageId,
      template_version: templateVersion,
      seen,
      needed: STARTS_NEEDED,
    })),
    limits: limitsOf(by, members, judged),
    window_full_at: Number.isFinite(judged.windowFullAtUs) ? stampOf(judged.windowFullAtUs) : null,
    inventory_at: stampOf(inventoryUs),
  };
}

export function describeMember(judged: JudgedMember<Member>, name: string): GroupMember {
  const { member, startsSeen, isRunning, calls, problems } = judged;
  return {
    id: member.hostId,
    name,
    state: calls ?? problems[0] ?? 'watched',
    is_running: isRunning,
    launched: stampOf(member.cloud?.launchedUs),
    first_report: stampOf(member.firstUs),
    last_report: stampOf(member.lastUs),
    ended: stampOf(member.cloud?.terminatedUs),
    starts_seen: startsSeen,
    calls_v1: member.calls?.v1 ?? 0,
    image_id: member.source.imageId,
    template_version: member.source.templateVersion,
  };
}

function callersOf({ offending }: JudgedGroup, callers: Fleet['callers']): DescribedGroup['callers'] {
  const found = new Map<string, DescribedGroup['callers'][number]>();
  for (const { member } of offending) {
    for (const { identity, calls } of callers.get(member.hostId) ?? []) {
      const known = found.get(identity) ?? { identity, hosts: 0, calls: 0, lastUs: 0 };
      known.hosts += 1;
      known.calls += calls.v1;
      known.lastUs = Math.max(known.lastUs, calls.lastV1Us ?? 0);
      found.set(identity, known);
    }
  }
  return [...found.values()].sort(
    (a, b) => b.hosts - a.hosts || b.calls - a.calls || (a.identity < b.identity ? -1 : 1),
  );
}

function valuesOf(sets: readonly ProfileSet[], by: 'account' | 'region'): string[] {
  const values = new Set<string>();
  for (const { profiles } of sets) {
    for (const facts of profiles) {
      const value = attributeOf(facts, by);
      if (value !== null) values.add(value);
    }
  }
  return [...values].sort().slice(0, MAX_PLACES);
}

/** Returns the oldest time of the places in which members are; null where one of them has no inventory. */
function inventoryOf(sets: readonly ProfileSet[], supplied: Fleet['inventoryUs']): number | null {
  const places = new Set(sets.map(({ source }) => source.place));
  let oldestUs = Number.POSITIVE_INFINITY;
  for (const place of places) oldestUs = Math.min(oldestUs, supplied.get(place) ?? Number.NEGATIVE_INFINITY);
  return Number.isFinite(oldestUs) ? oldestUs : null;
}

/**
 * The scaling activities of an Auto Scaling group name all its instances of six weeks. Others have no such
 * record.
 */
function limitsOf(by: GroupAttribute, members: readonly FleetMember[], judged: JudgedGroup): string[] {
  const startSeen = isStartSeen(judged);
  const limits: string[] = [];
  const running = members.filter(({ judged }) => judged.isRunning);
  const neverStarted = running.filter(({ judged }) => judged.startsSeen === 0).length;
  if (!startSeen)
    limits.push(
      'No start of what launches instances now was seen, so the verdict is about the running state only: what runs at boot is not proven.',
    );
  else if (neverStarted > 0)
    limits.push(
      `${neverStarted} of ${running.length} running instances did not start in the window. They prove nothing about what runs at boot; only instances with the same image and template version that started do.`,
    );
  if (by !== 'asg')
    limits.push(
      'An instance that had no agent, belonged to no Auto Scaling group and ended between two inventories is not known.',
    );
  if (judged.problems.has('members_outside_scope'))
    limits.push(
      'Counts, callers and instances are those of your scope: the group has members outside your scope, which can still call IMDSv1.',
    );
  return limits;
}

function stampOf(us: number | null | undefined): string | null {
  return us == null ? null : toTimestamp(Math.ceil(us));
}
