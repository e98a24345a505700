/** Turns the store's columns, and what the cloud counted, into the members of groups. Pure. */
import type { Window } from '../../contract/window.ts';
import { HOUR_US } from '../../contract/window.ts';
import { CLOUD_STATES, type HostProfile, type StoredGap, type StoredMembers } from '../../store/store.ts';
import type { Tally } from '../counts.ts';
import { type Compared, reconcileHost, reconcileRefusals } from '../reconciliation.ts';
import { type LaunchSource, launchSourceOf } from './attributes.ts';
import { BOOT_US, type Member } from './member.ts';

export interface GroupedMember {
  member: Member;
  /** The profiles that it had in the window, that of its agent first. */
  profiles: readonly { id: number; facts: HostProfile }[];
}

/**
 * `calls` has the hosts with calls that are IMDSv1 or of no version. `compared` has the hosts whose counts
 * must be looked at one by one: those of which the cloud counted calls, and those with gaps around a boot.
 */
export function membersOf(
  stored: StoredMembers,
  calls: ReadonlyMap<string, Tally>,
  compared: ReadonlyMap<string, Compared>,
): GroupedMember[] {
  const { hostIds, columns, memberOf, profileOf, profiles } = stored;
  const profilesOf: GroupedMember['profiles'][number][][] = hostIds.map(() => []);
  const withId = new Map([...profiles].map(([id, { facts }]) => [id, { id, facts }]));
  for (const [index, member] of memberOf.entries()) {
    const profile = withId.get(profileOf[index]!);
    if (profile !== undefined) profilesOf[member]!.push(profile);
  }
  const gaps = new Map<number, StoredGap[]>();
  for (const { member, ...gap } of stored.gaps) {
    const known = gaps.get(member);
    if (known === undefined) gaps.set(member, [{ ...gap, detail: null }]);
    else known.push({ ...gap, detail: null });
  }
  // Most members have one or two profiles: the source of such a pair is found without making a text.
  const sources = new Map<number | string, LaunchSource>();
  const sourceOf = (own: GroupedMember['profiles'], hostId: string): LaunchSource => {
    const key =
      own.length > 2
        ? own.map(({ id }) => id).join(' ')
        : (own[0]?.id ?? 0) * MAX_PROFILE_NUMBER + (own[1]?.id ?? 0);
    const source = sources.get(key) ?? launchSourceOf(mergedFacts(own), '');
    sources.set(key, source);
    return source.launcher === 'host:' ? { ...source, launcher: `host:${hostId}` } : source;
  };
  const reboots = Map.groupBy(stored.reboots, ({ member }) => member);
  return hostIds.map((hostId, at) => {
    const found = compared.get(hostId);
    const suppliedUs = known(columns.suppliedUs[at]!);
    return {
      profiles: profilesOf[at]!,
      member: {
        hostId,
        source: sourceOf(profilesOf[at]!, hostId),
        firstUs: known(columns.firstUs[at]!),
        lastUs: known(columns.lastUs[at]!),
        gaps: gaps.get(at) ?? NONE,
        reboots: reboots.get(at)?.map(({ firstUs }) => firstUs) ?? NONE,
        calls: calls.get(hostId) ?? null,
        cloud:
          suppliedUs === null
            ? null
            : {
                state: CLOUD_STATES[columns.state[at]! - 1] ?? null,
                launchedUs: known(columns.launchedUs[at]!),
                terminatedUs: known(columns.terminatedUs[at]!),
                suppliedUs,
              },
        tokens:
          columns.tokens[at] === 0
            ? null
            : {
                value: columns.tokens[at] === 2 ? 'required' : 'optional',
                suppliedUs: known(columns.tokensSuppliedUs[at]!) ?? 0,
              },
        counted: found === undefined ? countedSpans(stored, at) : agreedSpans(found),
        unseen:
          found === undefined
            ? 0
            : (reconcileHost(found)?.unseen ?? 0) + (reconcileRefusals(found)?.unseen ?? 0),
      },
    };
  });
}

const NONE: readonly never[] = [];
/** More profiles than a store ever numbers, so that a pair of numbers is one number. */
const MAX_PROFILE_NUMBER = 2 ** 26;

/** Joins profiles. An earlier one goes before a later one. */
function mergedFacts(profiles: GroupedMember['profiles']): HostProfile {
  const merged: HostProfile = {};
  const tags: Record<string, string> = {};
  for (const { facts } of profiles.toReversed()) {
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

/** Returns the hours around a launch and an end for which the store found complete counts. */
function countedSpans({ columns }: StoredMembers, at: number): Window[] {
  const spans: Window[] = [];
  const add = (fromUs: number, toUs: number, countedUs: number) => {
    const sinceUs = Math.floor(fromUs / HOUR_US) * HOUR_US;
    const untilUs = Math.ceil(toUs / HOUR_US) * HOUR_US;
    if (countedUs >= untilUs - sinceUs) spans.push({ sinceUs, untilUs });
  };
  // A comparison with NaN is false, so that nothing is added where something is not known.
  add(columns.launchedUs[at]!, columns.firstUs[at]!, columns.countedAtStartUs[at]!);
  add(columns.lastUs[at]!, columns.terminatedUs[at]!, columns.countedAtEndUs[at]!);
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
