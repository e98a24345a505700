/**
 * Tells which groups have members that a viewer with a scope may not see. Such a group is not proven by the members that
 * the viewer sees. Only values of the viewer's own groups are asked about and answered, so nothing else of other hosts
 * gets past this class: no id, no count, and nothing about their calls.
 */
import type { GroupAttribute } from '../../../common/group_id.ts';
import type { ViewScope } from '../../contract/host_scope.ts';
import type { Window } from '../../contract/window.ts';
import { isInScope } from '../../store/host_filter.ts';
import type {
  HostProfile,
  MembersPlace,
  StoredMembers,
  StoredProfiles,
  StoreQueries,
} from '../../store/store.ts';
import { attributeOf } from './attributes.ts';
import { type GroupFilter, MEMBERS_AT_ONCE, matches } from './fleet.ts';

/** The question which groups of a view have members that it does not show. */
export interface MembersOutside {
  /** Returns those of `values` that have members in the window which the view leaves out. `filter` narrows the groups. */
  among(
    by: GroupAttribute,
    values: ReadonlySet<string>,
    window: Window,
    filter: GroupFilter,
  ): Promise<ReadonlySet<string>>;
}

/** The view shows the whole fleet. */
export const NO_MEMBERS_OUTSIDE: MembersOutside = { among: async () => new Set() };

export class ScopeMembersOutside implements MembersOutside {
  readonly #store: Pick<StoreQueries, 'profiles' | 'members' | 'hostIds'>;
  readonly #scope: ViewScope;

  /** `store`: that of the whole fleet. */
  constructor(store: Pick<StoreQueries, 'profiles' | 'members' | 'hostIds'>, scope: ViewScope) {
    this.#store = store;
    this.#scope = scope;
  }

  async among(
    by: GroupAttribute,
    values: ReadonlySet<string>,
    window: Window,
    filter: GroupFilter,
  ): Promise<ReadonlySet<string>> {
    const found = new Set<string>();
    if (values.size === 0) return found;
    const profiles = await this.#store.profiles();
    const narrowed = this.#knownPlaces(filter, profiles);
    const valueByProfile = new Map<number, string>();
    for (const [id, { facts }] of profiles) {
      const value = attributeOf(facts, by);
      if (value !== null && values.has(value) && matches(facts, narrowed)) valueByProfile.set(id, value);
    }
    const chosen = [...valueByProfile.keys()];
    for (let after: MembersPlace | null = 0; after !== null && found.size < values.size; ) {
      const stored: StoredMembers = await this.#store.members(window, chosen, after, MEMBERS_AT_ONCE, false);
      const shown = await this.#shownValues(stored, profiles, valueByProfile);
      for (const [at, member] of stored.memberOf.entries()) {
        const value = valueByProfile.get(stored.profileOf[at]!);
        if (value !== undefined && !shown.has(`${member} ${value}`)) found.add(value);
      }
      after = stored.next;
    }
    return found;
  }

  /** Returns `MEMBER VALUE` for each group in which the view shows a member, by the rules of `ScopedQueries`. */
  async #shownValues(
    { hostIds, memberOf, profileOf }: StoredMembers,
    profiles: StoredProfiles,
    valueByProfile: ReadonlyMap<number, string>,
  ): Promise<ReadonlySet<string>> {
    const [reported, own] = await Promise.all([
      this.#store.hostIds(hostIds, null, hostIds.length),
      this.#store.hostIds({ ids: hostIds, within: this.#scope }, null, hostIds.length),
    ]);
    const [isReported, isOwn] = [new Set(reported), new Set(own)];
    const shown = new Set<string>();
    for (const [at, member] of memberOf.entries()) {
      const profile = profileOf[at]!;
      const value = valueByProfile.get(profile);
      if (value === undefined || !isInScope(profiles.get(profile)!.facts, this.#scope)) continue;
      const id = hostIds[member]!;
      if (!isReported.has(id) || isOwn.has(id)) shown.add(`${member} ${value}`);
    }
    return shown;
  }

  /**
   * Drops a condition that names an account or a region in which the view has nothing. Otherwise the answer would tell
   * whether a group has members in a place that the viewer guesses.
   */
  #knownPlaces({ accounts, regions }: GroupFilter, profiles: StoredProfiles): GroupFilter {
    const own = [...profiles.values()].flatMap(({ facts }) => (isInScope(facts, this.#scope) ? [facts] : []));
    const isKnown = (values: readonly string[], name: keyof HostProfile) => {
      const known = new Set(own.map((facts) => facts[name]));
      return values.every((value) => known.has(value));
    };
    return {
      ...(accounts !== undefined && isKnown(accounts, 'cloud.account.id') && { accounts }),
      ...(regions !== undefined && isKnown(regions, 'cloud.region') && { regions }),
    };
  }
}
