/** Answers which groups are proven. It asks the store once for all members of all groups, or of one. */
import { type GroupAttribute, readGroupId } from '../../../common/group_id.ts';
import type { Group, GroupDetail } from '../../contract/group.ts';
import type { Verdict } from '../../contract/host.ts';
import type { Window } from '../../contract/window.ts';
import type { StoreQueries } from '../../store/store.ts';
import { enforceLines, enforceNotes, isSeenEnabled } from '../enforce_command.ts';
import type { HostJudge } from '../host_judge.ts';
import { verdictCounts } from '../hosts.ts';
import { titleOf } from '../offenders.ts';
import { attributeOf } from './attributes.ts';
import {
  type ChosenGroup,
  type DescribedGroup,
  describeGroup,
  describeMember,
  judgeChosen,
  namedHosts,
} from './describe_group.ts';
import {
  type Fleet,
  type FleetMember,
  type GroupFilter,
  loadFleet,
  partOfFleet,
  profilesOfGroup,
} from './fleet.ts';
import type { JudgedMember, Member, MemberBrief } from './member.ts';
import type { ProfileSet } from './members_of.ts';
import type { MembersOutside } from './members_outside.ts';

const MAX_INSTANCES = 1000;
const WORST_FIRST: readonly Verdict[] = ['blocked', 'fallback', 'rejected', 'unproven', 'ready', 'enforced'];

export class GroupQuestions {
  readonly #store: StoreQueries;
  readonly #judge: HostJudge;
  readonly #outside: MembersOutside;

  /** `outside`: about members that the store does not show. */
  constructor(store: StoreQueries, judge: HostJudge, outside: MembersOutside) {
    this.#store = store;
    this.#judge = judge;
    this.#outside = outside;
  }

  /** Returns all groups of an attribute, the worst and largest first. */
  async groups(by: GroupAttribute, questionWindow: Window, filter: GroupFilter = {}): Promise<Group[]> {
    return this.groupsOf(await this.fleet(questionWindow, filter), by, filter);
  }

  /** Returns the judged members of all groups. */
  async fleet(questionWindow: Window, filter: GroupFilter = {}): Promise<Fleet<Member>> {
    return loadFleet(this.#store, this.#judge, questionWindow, filter, await this.#store.profiles(), null);
  }

  /** Returns the groups of members that were judged before. */
  async groupsOf(judged: Fleet, by: GroupAttribute, filter: GroupFilter = {}): Promise<Group[]> {
    const fleet = partOfFleet(judged, filter);
    const groups = await this.#judgeChosen(by, groupsBy(by, fleet), fleet, filter);
    return (await this.#describe(groups, fleet)).sort(
      (a, b) =>
        WORST_FIRST.indexOf(a.verdict) - WORST_FIRST.indexOf(b.verdict) ||
        b.offending - a.offending ||
        b.members - a.members ||
        (a.id < b.id ? -1 : 1),
    );
  }

  /** Returns the verdict of each group of an attribute. */
  async verdicts(by: GroupAttribute, questionWindow: Window, filter: GroupFilter = {}): Promise<Verdict[]> {
    const fleet = await this.fleet(questionWindow, filter);
    const groups = await this.#judgeChosen(by, groupsBy(by, fleet), fleet, filter);
    return groups.map(({ judged }) => judged.verdict);
  }

  async #judgeChosen(
    by: GroupAttribute,
    chosen: readonly ChosenGroup[],
    fleet: Fleet,
    filter: GroupFilter,
  ): Promise<DescribedGroup[]> {
    const values = new Set(chosen.map(({ value }) => value));
    const outside = await this.#outside.among(by, values, fleet.reported, filter);
    return chosen.map((group) => judgeChosen(group, fleet, outside));
  }

  /** Returns null where no instance belonged to the group in the window. */
  async group(id: string, questionWindow: Window, filter: GroupFilter = {}): Promise<GroupDetail | null> {
    const profiles = await this.#store.profiles();
    for (const { by, value } of readGroupId(id)) {
      const own = profilesOfGroup(profiles, by, value);
      if (own.length === 0) continue;
      const fleet = await loadFleet(this.#store, this.#judge, questionWindow, filter, profiles, own);
      const chosen = groupsBy(by, fleet).find((group) => group.value === value);
      if (chosen === undefined) continue;
      const judged = await this.#judgeChosen(by, [chosen], fleet, filter);
      const [group] = await this.#describe(judged, fleet);
      return { ...group!, ...(await this.#instances(chosen.members, questionWindow)) };
    }
    return null;
  }

  async #describe(groups: readonly DescribedGroup[], fleet: Fleet): Promise<Group[]> {
    const hostIds = [...new Set(groups.flatMap(namedHosts))];
    const ids = new Set(groups.flatMap(({ callers }) => callers.map(({ identity }) => identity)));
    const [names, identities] = await Promise.all([
      this.#store.hostNames(hostIds),
      this.#store.identities([...ids]),
    ]);
    const nameById = new Map(hostIds.map((id, index) => [id, names[index]!]));
    const titles = new Map(identities.map((identity) => [identity.id, titleOf(identity)]));
    return groups.map((group) =>
      describeGroup(
        group,
        fleet,
        (hostId) => nameById.get(hostId) ?? hostId,
        (identity) => titles.get(identity) ?? identity,
      ),
    );
  }

  /**
   * Describes the members, and judges those that run one by one, because each of them can be enforced alone.
   */
  async #instances(
    members: readonly FleetMember<Member>[],
    questionWindow: Window,
  ): Promise<Pick<GroupDetail, 'instances' | 'verdicts' | 'command' | 'command_notes'>> {
    const shown = members
      .map(({ judged }) => judged)
      .sort((a, b) => placeOf(a) - placeOf(b) || b.bornUs - a.bornUs)
      .slice(0, MAX_INSTANCES);
    const running = members
      .filter(({ judged }) => judged.isRunning && judged.member.firstUs !== null)
      .slice(0, MAX_INSTANCES)
      .map(({ judged }) => judged.member.hostId);
    const [names, hosts] = await Promise.all([
      this.#store.hostNames(shown.map(({ member }) => member.hostId)),
      this.#judge.judgeHosts(questionWindow, running),
    ]);
    const ready = hosts
      .filter(({ judged }) => judged.verdict === 'ready')
      .map(({ stored, judged, evidence }) => ({
        facts: stored.facts,
        seenEnabled: isSeenEnabled(judged.calls, evidence.cloudInstance),
        startSeen: judged.startSeen,
      }));
    return {
      instances: shown.map((member, index) => describeMember(member, names[index]!)),
      verdicts: verdictCounts(hosts.map(({ judged }) => judged.verdict)),
      command: enforceLines(ready),
      command_notes: enforceNotes(ready),
    };
  }
}

function groupsBy<M extends MemberBrief>(by: GroupAttribute, { members, ever }: Fleet<M>): ChosenGroup<M>[] {
  const firstUs = new Map<string, number>();
  for (const { facts, firstUs: us } of ever) {
    const value = attributeOf(facts, by);
    if (value !== null) firstUs.set(value, Math.min(firstUs.get(value) ?? Number.POSITIVE_INFINITY, us));
  }
  const byValue = new Map<string, { members: FleetMember<M>[]; sets: ProfileSet[] }>();
  const groupsOf = new Map<ProfileSet, FleetMember<M>[][]>();
  for (const member of members) {
    let groups = groupsOf.get(member.profiles);
    if (groups === undefined) {
      const values = new Set(member.profiles.profiles.map((facts) => attributeOf(facts, by)));
      values.delete(null);
      groups = [...(values as Set<string>)].map((value) => {
        const group = byValue.get(value) ?? { members: [], sets: [] };
        byValue.set(value, group);
        group.sets.push(member.profiles);
        return group.members;
      });
      groupsOf.set(member.profiles, groups);
    }
    for (const group of groups) group.push(member);
  }
  return [...byValue].map(([value, own]) => ({
    by,
    value,
    ...own,
    firstKnownUs: firstUs.get(value) ?? Number.POSITIVE_INFINITY,
  }));
}

function placeOf({ calls, problems }: JudgedMember): number {
  if (calls !== null) return WORST_FIRST.indexOf(calls);
  return problems.length > 0 ? WORST_FIRST.length : WORST_FIRST.length + 1;
}
