/** Turns the store's columns, and what the cloud counted, into the members of groups. Pure. */
import type { Window } from '../../contract/window.ts';
import { HOUR_US } from '../../contract/window.ts';
import {
  CLOUD_STATES,
  type HostProfile,
  type StoredGap,
  type StoredMembers,
  type StoredProfiles,
} from '../../store/store.ts';
import type { Tally } from '../counts.ts';
import { type Compared, reconcileHost, reconcileRefusals } from '../reconciliation.ts';
import { type LaunchSource, launchSourceOf } from './attributes.ts';
import { BOOT_US, type Member } from './member.ts';

/** The profiles that a member had in the window. Members with the same ones share the object. */
export interface ProfileSet {
  /** That of the agent comes first. */
  profiles: readonly HostProfile[];
  /** Their numbers in the store. */
  numbers: readonly number[];
  /** `launcher` is `host:` where nothing says what launched it. */
  source: LaunchSource;
}

export interface GroupedMember {
  member: Member;
  profiles: ProfileSet;
}

/**
 * `calls` has the hosts with calls that are IMDSv1 or of no version. `compared` has the hosts whose counts
 * must be looked at one by one: those of which the cloud counted calls, and those with gaps around a boot.
 */
export function membersOf(
  stored: StoredMembers,
  profiles: StoredProfiles,
  calls: ReadonlyMap<string, Tally>,
  compared: ReadonlyMap<string, Compared>,
): GroupedMember[] {
  const { hostIds, columns } = stored;
  const sets = profileSets(stored, profiles);
  const gaps = new Map<number, StoredGap[]>();
  for (const { member, ...gap } of stored.gaps) {
    const known = gaps.get(member);
    if (known === undefined) gaps.set(member, [{ ...gap, detail: null }]);
    else known.push({ ...gap, detail: null });
  }
  const reboots = Map.groupBy(stored.reboots, ({ member }) => member);
  const tokensOf = tokensReader(columns);
  return hostIds.map((hostId, at) => {
    const found = compared.size === 0 ? undefined : compared.get(hostId);
    const suppliedUs = columns.suppliedUs[at]!;
    const set = sets[at]!;
    return {
      profiles: set,
      member: {
        hostId,
        source: sourceOf(set, hostId),
        firstUs: known(columns.firstUs[at]!),
        lastUs: known(columns.lastUs[at]!),
        gaps: gaps.get(at) ?? NONE,
        reboots: reboots.get(at)?.map(({ firstUs }) => firstUs) ?? NONE,
        calls: calls.get(hostId) ?? null,
        cloud: Number.isNaN(suppliedUs)
          ? null
          : {
              state: CLOUD_STATES[columns.state[at]! - 1] ?? null,
              launchedUs: known(columns.launchedUs[at]!),
              terminatedUs: known(columns.terminatedUs[at]!),
              suppliedUs,
            },
        tokens: tokensOf(at),
        counted: found === undefined ? countedSpans(stored, at) : agreedSpans(found),
        unseen:
          found === undefined
            ? 0
            : (reconcileHost(found)?.unseen ?? 0) + (reconcileRefusals(found)?.unseen ?? 0),
      },
    };
  });
}

/** Returns the profiles of each member, in the order of members. */
function profileSets({ hostIds, memberOf, profileOf }: StoredMembers, known: StoredProfiles): ProfileSet[] {
  // Most members have one profile or two. Lists are made for the others only.
  const first = new Float64Array(hostIds.length);
  const second = new Float64Array(hostIds.length);
  const longer = new Map<number, number[]>();
  for (const [index, member] of memberOf.entries()) {
    const profile = profileOf[index]!;
    if (!known.has(profile)) continue;
    if (first[member] === 0) first[member] = profile;
    else if (second[member] === 0) second[member] = profile;
    else {
      const list = longer.get(member) ?? [first[member]!, second[member]!];
      list.push(profile);
      longer.set(member, list);
    }
  }
  const sets = new Map<number | string, ProfileSet>();
  return hostIds.map((_, at) => {
    const long = longer.get(at);
    const key = long?.join(' ') ?? first[at]! * MAX_PROFILE_NUMBER + second[at]!;
    let set = sets.get(key);
    if (set === undefined) {
      const ids = long ?? [first[at]!, second[at]!].filter((id) => id !== 0);
      set = profileSet(ids, known);
      sets.set(key, set);
    }
    return set;
  });
}

/** Throws where one of the profiles is not known. */
export function profileSet(numbers: readonly number[], known: StoredProfiles): ProfileSet {
  const profiles = numbers.map((number) => {
    const found = known.get(number);
    if (found === undefined) throw new Error(`The store has no profile ${number} any more.`);
    return found.facts;
  });
  return { profiles, numbers, source: launchSourceOf(mergedFacts(profiles), '') };
}

/** Returns what launched a member. Where nothing says that, it is the only one of its kind. */
export function sourceOf({ source }: ProfileSet, hostId: string): LaunchSource {
  return source.launcher === 'host:' ? { ...source, launcher: `host:${hostId}` } : source;
}

/** Returns a reader of the metadata options. Members for which one answer of the cloud says the same share them. */
function tokensReader(columns: StoredMembers['columns']): (at: number) => Member['tokens'] {
  const known = [new Map<number, Member['tokens']>(), new Map<number, Member['tokens']>()] as const;
  return (at) => {
    const value = columns.tokens[at]!;
    if (value === 0) return null;
    const suppliedUs = Number.isNaN(columns.tokensSuppliedUs[at]!) ? 0 : columns.tokensSuppliedUs[at]!;
    const ofValue = known[value === 2 ? 1 : 0];
    let tokens = ofValue.get(suppliedUs);
    if (tokens === undefined) {
      tokens = { value: value === 2 ? 'required' : 'optional', suppliedUs };
      ofValue.set(suppliedUs, tokens);
    }
    return tokens;
  };
}

const NONE: readonly never[] = [];
/** More profiles than a store ever numbers, so that a pair of numbers is one number. */
const MAX_PROFILE_NUMBER = 2 ** 26;

/** Joins profiles. An earlier one goes before a later one. */
function mergedFacts(profiles: readonly HostProfile[]): HostProfile {
  const merged: HostProfile = {};
  const tags: Record<string, string> = {};
  for (const facts of profiles.toReversed()) {
    Object.assign(merged, facts);
    Object.assign(tags, facts.tags);
  }
  return { ...merged, tags };
}

/** Returns the ids of members whose counts must be compared one by one. */
export function membersToCompare(stored: StoredMembers, calls: ReadonlyMap<string, Tally>): string[] {
  const ids = new Set(stored.withCountedCalls);
  for (const { member, reason, startUs, endUs } of stored.gaps) {
    const firstUs = stored.columns.firstUs[member]!;
    // The store has counted the hours up to that of the first report only.
    const prolongsBoot =
      startUs < firstUs + BOOT_US && endUs > firstUs && hourOf(endUs - 1) > hourOf(firstUs - 1);
    if (reason === 'boot' || prolongsBoot) ids.add(stored.hostIds[member]!);
  }
  for (const { member } of stored.reboots) ids.add(stored.hostIds[member]!);
  for (const hostId of calls.keys()) ids.add(hostId);
  // One that called without a token blocks its group, whatever the cloud counted.
  for (const [hostId, { v1 }] of calls) if (v1 > 0) ids.delete(hostId);
  return [...ids];
}

/** Returns the hours after a launch and before an end for which the store found complete counts. */
function countedSpans({ columns }: StoredMembers, at: number): Window[] {
  const spans: Window[] = [];
  const launchCountedUs = columns.launchCountedUs[at]!;
  if (!Number.isNaN(launchCountedUs))
    spans.push({ sinceUs: hourOf(columns.launchedUs[at]!) * HOUR_US, untilUs: launchCountedUs });
  const endCountedUs = columns.endCountedUs[at]!;
  if (!Number.isNaN(endCountedUs)) {
    const untilUs = Math.ceil(columns.terminatedUs[at]! / HOUR_US) * HOUR_US;
    spans.push({ sinceUs: endCountedUs, untilUs });
  }
  return spans;
}

/** Returns the spans in which the cloud counted as many calls as were seen. */
function agreedSpans({ counts, seen, seenRefused }: Compared): Window[] {
  return counts.flatMap(({ startUs, endUs, noToken, noTokenRejected }, index) => {
    const agrees =
      (seen[index] ?? 0) === noToken &&
      (noTokenRejected === null || (seenRefused?.[index] ?? 0) === noTokenRejected);
    return agrees ? [{ sinceUs: startUs, untilUs: endUs }] : [];
  });
}

function hourOf(us: number): number {
  return Math.floor(us / HOUR_US);
}

function known(us: number): number | null {
  return Number.isNaN(us) ? null : us;
}
