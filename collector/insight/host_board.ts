/**
 * All hosts with their verdicts at one moment, and the pages of their list. A host costs some 200 bytes here:
 * its facts and its heartbeat are read for the page that is shown. Pure.
 */
import { type Host, verdict } from '../contract/host.ts';
import { type HostFilter, hostMatcher, matchesProfile, narrows } from '../store/host_filter.ts';
import type { HostProfile } from '../store/store.ts';
import { type HostSummary, worstHostFirst } from './hosts.ts';

export interface HostBoard {
  /** When the judgement began: everything that was stored before counts. Microseconds since 1970. */
  asOfUs: number;
  /** In an order that is always the same. */
  hosts: readonly HostSummary[];
  /** Profiles of these hosts by number. */
  profiles: ReadonlyMap<number, HostProfile>;
  /** Ready hosts whose service was last seen on (`isSeenEnabled`); null where that was not asked for. */
  seenEnabled: ReadonlySet<string> | null;
}

/** Restricts and orders the list of hosts. */
export interface HostSelection extends HostFilter {
  verdicts?: readonly Host['verdict'][] | undefined;
  state?: Host['state'] | undefined;
  /** Default: those first that keep tokens from being required. */
  sort?: HostSort | undefined;
}

/** The end of a page: its last host, and the number of hosts up to it. */
export interface HostPlace {
  after: string;
  given: number;
}

/** `place`: where the page before ended; null for the first page. */
export interface PageChoice {
  limit: number;
  place: HostPlace | null;
}

export const HOST_SORT_KEYS = [
  'name',
  'verdict',
  'coverage_percent',
  'calls_v1',
  'offender_count',
  'last_v1',
  'last_seen',
  'last_heartbeat',
] as const satisfies (keyof Host)[];
export type HostSortKey = (typeof HOST_SORT_KEYS)[number];
export type HostSort = HostSortKey | `-${HostSortKey}`;
type Order = (a: HostSummary, b: HostSummary) => number;

const VALUES: Record<HostSortKey, (host: HostSummary) => string | number | null> = {
  name: ({ name }) => name,
  verdict: (host) => verdict.options.indexOf(host.verdict),
  coverage_percent: ({ coveragePercent }) => coveragePercent,
  calls_v1: ({ callsV1 }) => callsV1,
  offender_count: ({ offenderCount }) => offenderCount,
  last_v1: ({ lastV1Us }) => lastV1Us,
  last_seen: ({ lastUs }) => lastUs,
  last_heartbeat: ({ receivedUs }) => receivedUs,
};

/** Returns the hosts that match, in the order of the board. */
export function chosenHosts(
  { hosts, profiles }: HostBoard,
  { verdicts, state, sort: _, ...filter }: HostSelection,
): readonly HostSummary[] {
  const isNarrowed = narrows(filter);
  if (!isNarrowed && verdicts === undefined && state === undefined) return hosts;
  const matches = hostMatcher(filter);
  const byProfile = new Map<number, boolean>();
  const matchesFilter = (host: HostSummary) => {
    let known = byProfile.get(host.profile);
    if (known === undefined) {
      known = matchesProfile(profiles.get(host.profile) ?? {}, filter);
      byProfile.set(host.profile, known);
    }
    return known && matches(host);
  };
  return hosts.filter(
    (host) =>
      (verdicts === undefined || verdicts.includes(host.verdict)) &&
      (state === undefined || host.isSilent === (state === 'silent')) &&
      (!isNarrowed || matchesFilter(host)),
  );
}

/** Returns the order of a list. No two hosts are equal in it. */
export function orderOf(sort: HostSort | undefined): Order {
  if (sort === undefined) return worstHostFirst;
  const isDescending = sort.startsWith('-');
  const sortValue = VALUES[(isDescending ? sort.slice(1) : sort) as HostSortKey];
  const sign = isDescending ? -1 : 1;
  // Hosts without a value come last in both directions.
  return (a, b) => {
    const [left, right] = [sortValue(a), sortValue(b)];
    if (left === right) return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
    if (left === null) return 1;
    if (right === null) return -1;
    return left < right ? -sign : sign;
  };
}

/**
 * Returns the page that follows `place`; null for the first one. It begins after that host, wherever the host is
 * by now. The list is not sorted for a page: its hosts are picked out in one pass.
 */
export function pageOfHosts(
  hosts: readonly HostSummary[],
  order: Order,
  limit: number,
  place: HostPlace | null,
): { hosts: HostSummary[]; next: HostPlace | null } {
  const last = place === null ? undefined : hosts.find(({ id }) => id === place.after);
  if (place !== null && last === undefined) {
    // The host is gone. The page begins where it was.
    const start = Math.min(place.given, hosts.length);
    const page = hosts.toSorted(order).slice(start, start + limit);
    return { hosts: page, next: placeAfter(page, start, hosts.length) };
  }
  let start = 0;
  const picked: HostSummary[] = [];
  for (const host of hosts) {
    if (last !== undefined && order(host, last) <= 0) start += 1;
    else if (picked.length < limit || order(host, picked.at(-1)!) < 0) {
      picked.splice(placeIn(picked, host, order), 0, host);
      if (picked.length > limit) picked.pop();
    }
  }
  return { hosts: picked, next: placeAfter(picked, start, hosts.length) };
}

function placeAfter(page: readonly HostSummary[], start: number, count: number): HostPlace | null {
  const last = page.at(-1);
  const given = start + page.length;
  return last === undefined || given >= count ? null : { after: last.id, given };
}

/** Returns the place of a host in a sorted list. */
function placeIn(sorted: readonly HostSummary[], host: HostSummary, order: Order): number {
  let [from, to] = [0, sorted.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if (order(sorted[middle]!, host) < 0) from = middle + 1;
    else to = middle;
  }
  return from;
}
