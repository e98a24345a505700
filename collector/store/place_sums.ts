/** Adds up workloads by the places of their hosts, with the questions that are asked about hosts of one place. */

import { isV1Use } from '../../protocol/v1_use.ts';
import type { Window } from '../contract/window.ts';
import type { HostProfile, PlaceSums, PlaceSumsOptions, StoreQueries } from './store.ts';

export type Place = Pick<PlaceSums, 'account' | 'region'>;

export function placeOf(facts: HostProfile): Place {
  return { account: facts['cloud.account.id'] ?? null, region: facts['cloud.region'] ?? null };
}

/** Returns the different places of profiles, which include the place of hosts that report none. */
export function placesOfProfiles(profiles: Iterable<HostProfile>): Map<string, Place> {
  const places = new Map<string, Place>();
  for (const facts of [{}, ...profiles]) places.set(keyOfPlace(placeOf(facts)), placeOf(facts));
  return places;
}

export function keyOfPlace({ account, region }: Place): string {
  return JSON.stringify([account, region]);
}

/**
 * Asks about one place after the other. Places without workloads are left out. A workload of which only the hosts are
 * known there, because its sums have been deleted, counts for what its calls elsewhere are part of.
 */
export async function sumsByQuestions(
  store: Pick<StoreQueries, 'profiles' | 'identityTotals' | 'workloadHosts' | 'series'>,
  window: Window,
  { bucket, ...options }: PlaceSumsOptions,
): Promise<PlaceSums[]> {
  const profiles = [...(await store.profiles()).values()].map(({ facts }) => facts);
  const found: PlaceSums[] = [];
  for (const place of placesOfProfiles(profiles).values()) {
    const hosts = { accounts: [place.account], regions: [place.region] };
    const scope = { window, hosts, identities: null };
    const totals = await store.identityTotals(scope);
    const workloadHosts = await store.workloadHosts(scope, options);
    if (totals.length === 0 && workloadHosts.length === 0) continue;
    const withV1 = totals.filter(({ kinds }) => kinds.some(isV1Use)).map(({ identity }) => identity.id);
    const points = await store.series({ ...scope, identities: withV1 }, bucket, true);
    found.push({
      ...place,
      totals,
      hosts: workloadHosts,
      trend: points.flatMap(({ identity, startUs, v1 }) =>
        identity === null || v1 === 0 ? [] : [{ identity, startUs, v1 }],
      ),
    });
  }
  return found;
}
