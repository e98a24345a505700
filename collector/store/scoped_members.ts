/** Leaves out the members of groups that a viewer may not see. Pure. */
import type { MemberColumns, StoredMembers, StoredProfiles } from './store.ts';

/**
 * Keeps the members of a scope. A host is kept where it is among `inScope`; an instance that is not among `reported`
 * where a profile of the inventory is in `profiles`. Profiles of other scopes are left out.
 */
export function keepMembers(
  found: StoredMembers,
  profiles: StoredProfiles,
  reported: ReadonlySet<string>,
  inScope: ReadonlySet<string>,
): StoredMembers {
  const pairs = [...found.memberOf].flatMap((member, at) => {
    const profile = found.profileOf[at]!;
    return profiles.has(profile) ? [{ member, profile }] : [];
  });
  const withProfile = new Set(pairs.map(({ member }) => member));
  const kept = found.hostIds.flatMap((id, member) =>
    (reported.has(id) ? inScope.has(id) : withProfile.has(member)) ? [member] : [],
  );
  const placeOf = new Map(kept.map((member, place) => [member, place]));
  const ids = new Set(kept.map((member) => found.hostIds[member]!));
  const ofKept = <T extends { member: number }>(rows: readonly T[]): T[] =>
    rows.flatMap((row) => {
      const member = placeOf.get(row.member);
      return member === undefined ? [] : [{ ...row, member }];
    });
  const own = ofKept(pairs);
  return {
    hostIds: kept.map((member) => found.hostIds[member]!),
    columns: columnsOf(found.columns, kept),
    memberOf: Uint32Array.from(own, ({ member }) => member),
    profileOf: Uint32Array.from(own, ({ profile }) => profile),
    gaps: ofKept(found.gaps),
    reboots: ofKept(found.reboots),
    withCountedCalls: found.withCountedCalls.filter((id) => ids.has(id)),
    totals: found.totals.filter(({ hostId }) => ids.has(hostId)),
    next: found.next,
    forgottenUntilUs: found.forgottenUntilUs,
  };
}

function columnsOf(columns: MemberColumns, kept: readonly number[]): MemberColumns {
  return Object.fromEntries(
    Object.entries(columns).map(([name, values]: [string, Float64Array | Uint8Array]) => [
      name,
      values instanceof Uint8Array
        ? Uint8Array.from(kept, (member) => values[member]!)
        : Float64Array.from(kept, (member) => values[member]!),
    ]),
  ) as unknown as MemberColumns;
}
