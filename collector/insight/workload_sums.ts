/** Joins the sums of workloads that were made by place into those of the places that a filter selects. Pure. */

import { narrows } from '../store/host_filter.ts';
import type { CountedCalls, IdentityTotals, PlaceSums, WorkloadHosts } from '../store/store.ts';
import { joinReleases } from '../store/workload_queries.ts';
import type { HostFilter } from './question.ts';

/** The sums of some hosts that a list of offenders is made of. */
export type WorkloadSums = Pick<PlaceSums, 'totals' | 'hosts' | 'trend'>;

/** Tells whether a filter selects hosts by nothing but their accounts and regions. */
export function selectsPlaces({ accounts: _a, regions: _r, ...others }: HostFilter): boolean {
  return !narrows(others);
}

/** `listed`: hosts that are listed of each workload. */
export function sumsOfPlaces(
  places: readonly PlaceSums[],
  { accounts, regions }: HostFilter,
  listed: number,
): WorkloadSums {
  const chosen = places.filter(
    ({ account, region }) =>
      (accounts === undefined || accounts.includes(account)) &&
      (regions === undefined || regions.includes(region)),
  );
  return {
    totals: joinedTotals(chosen.flatMap(({ totals }) => totals)),
    hosts: joinedHosts(
      chosen.flatMap(({ hosts }) => hosts),
      listed,
    ),
    trend: chosen.flatMap(({ trend }) => trend),
  };
}

type Release = NonNullable<IdentityTotals['releases']>[number];

function joinedTotals(totals: readonly IdentityTotals[]): IdentityTotals[] {
  const byWorkload = Map.groupBy(totals, ({ identity }) => identity.id);
  return [...byWorkload].map(([id, same]) => {
    if (same.length === 1) return same[0]!;
    const releases = same.flatMap(
      ({ releases, identity, kinds }) => releases ?? [{ identity, kinds, release: null }],
    );
    const byRelease = Map.groupBy(releases, ({ identity }) => identity.id);
    return joinReleases(
      id,
      [...byRelease.values()].map(
        (each): Release => ({ ...each[0]!, kinds: joinedKinds(each.flatMap(({ kinds }) => kinds)) }),
      ),
    );
  });
}

function joinedKinds(rows: readonly CountedCalls[]): CountedCalls[] {
  const kinds = new Map<string, CountedCalls>();
  for (const row of rows) {
    const { count, firstUs, lastUs, ...kind } = row;
    const key = JSON.stringify(Object.entries(kind).sort(([a], [b]) => (a < b ? -1 : 1)));
    const known = kinds.get(key);
    if (known === undefined) kinds.set(key, { ...row });
    else {
      known.count += count;
      known.firstUs = Math.min(known.firstUs, firstUs);
      known.lastUs = Math.max(known.lastUs, lastUs);
    }
  }
  return [...kinds.values()];
}

function joinedHosts(all: readonly WorkloadHosts[], listed: number): WorkloadHosts[] {
  return [...Map.groupBy(all, ({ identity }) => identity).values()].map((same) => {
    if (same.length === 1) return same[0]!;
    const v1 = same.flatMap(({ lastV1Us }) => lastV1Us ?? []);
    const keys = Object.keys(same[0]!.tags);
    return {
      identity: same[0]!.identity,
      hosts: same.reduce((sum, { hosts }) => sum + hosts, 0),
      firstUs: Math.min(...same.map(({ firstUs }) => firstUs)),
      lastUs: Math.max(...same.map(({ lastUs }) => lastUs)),
      lastV1Us: v1.length === 0 ? null : Math.max(...v1),
      freed: same.reduce((sum, { freed }) => sum + freed, 0),
      latest: same
        .flatMap(({ latest }) => latest)
        .sort((a, b) => b.lastUs - a.lastUs || (a.hostId < b.hostId ? -1 : 1))
        .slice(0, listed),
      accounts: different(same.flatMap(({ accounts }) => accounts)).sort(),
      regions: different(same.flatMap(({ regions }) => regions)).sort(),
      tags: Object.fromEntries(
        keys.map((key) => [key, different(same.flatMap(({ tags }) => tags[key] ?? []))]),
      ),
    };
  });
}

function different<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}
