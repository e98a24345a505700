/** Selects hosts by a filter. Pure: stores evaluate it as SQL or with these functions, with equal results. */
import type { HostFacts } from '../../protocol/call.ts';
import type { ViewScope } from '../contract/host_scope.ts';

/**
 * Restricts an answer to some hosts. Every condition that is present must hold. In a list, one value must
 * match; `null` matches hosts whose attribute is not known. Hosts that have never reported never match.
 */
export interface HostFilter {
  ids?: readonly string[];
  accounts?: readonly (string | null)[];
  regions?: readonly (string | null)[];
  zones?: readonly (string | null)[];
  types?: readonly (string | null)[];
  imageIds?: readonly (string | null)[];
  /** Every tag must match. `value` null matches any value. */
  tags?: readonly { key: string; value: string | null }[];
  /** Part of the host's id or name. Upper and lower case are the same. */
  text?: string;
  /** The whole id or the whole name. */
  named?: string;
  /** Microseconds since 1970: the host's first record is not older. */
  firstSinceUs?: number;
  /** The scope of whoever asks. Only `ScopedQueries` sets it. */
  within?: ViewScope;
}

/** The hosts that a question is about: all for null, those of a list of ids, or those that a filter selects. */
export type HostChoice = readonly string[] | HostFilter | null;

/** The part of a host that a filter compares besides its profile. */
export interface FilteredHost {
  id: string;
  name: string;
  firstUs: number;
}

export function isIdList(choice: HostChoice): choice is readonly string[] {
  return Array.isArray(choice);
}

/** Returns true if the filter can leave a host out. Otherwise the store is asked about all hosts at once. */
export function narrows(filter: HostFilter): boolean {
  return Object.values(filter).some((condition) => condition !== undefined && condition !== '');
}

/** Returns true if the filter compares what hosts have in common, besides ids, names and times. */
export function comparesProfiles({
  ids: _i,
  text: _t,
  named: _n,
  firstSinceUs: _f,
  ...others
}: HostFilter): boolean {
  return narrows(others);
}

/** Tells whether a host that reports this is in a scope. */
export function isInScope(profile: Pick<HostFacts, 'cloud.account.id' | 'tags'>, scope: ViewScope): boolean {
  return scope.some(({ accounts, tags }) => {
    const wanted = Object.entries(tags ?? {});
    if (accounts === undefined && wanted.length === 0) return false;
    if (!isAmong(profile['cloud.account.id'], accounts)) return false;
    return wanted.every(([key, values]) => {
      const value = tagValue(profile.tags, key);
      return value !== null && values.includes(value);
    });
  });
}

/** Tells whether what hosts have in common matches: everything but ids, names and times. */
export function matchesProfile(profile: Omit<HostFacts, 'id' | 'name'>, filter: HostFilter): boolean {
  const { tags, within } = filter;
  if (within !== undefined && !isInScope(profile, within)) return false;
  if (!isAmong(profile['cloud.account.id'], filter.accounts)) return false;
  if (!isAmong(profile['cloud.region'], filter.regions)) return false;
  if (!isAmong(profile['cloud.availability_zone'], filter.zones)) return false;
  if (!isAmong(profile.type, filter.types)) return false;
  if (!isAmong(profile['image.id'], filter.imageIds)) return false;
  return tags === undefined || tags.every(({ key, value }) => hasTag(profile.tags, key, value));
}

/** Returns a function that tells whether a host matches in all that its profile does not say. */
export function hostMatcher({
  ids,
  text = '',
  named,
  firstSinceUs,
}: HostFilter): (host: FilteredHost) => boolean {
  const wanted = ids === undefined ? null : new Set(ids);
  const sought = text.toLowerCase();
  return ({ id, name, firstUs }) =>
    (wanted === null || wanted.has(id)) &&
    (named === undefined || id === named || name === named) &&
    (firstSinceUs === undefined || firstUs >= firstSinceUs) &&
    (sought === '' || id.toLowerCase().includes(sought) || name.toLowerCase().includes(sought));
}

/** Returns the value of a tag, or null where the host does not have it. */
export function tagValue(tags: HostFacts['tags'], key: string): string | null {
  return tags !== undefined && Object.hasOwn(tags, key) ? tags[key]! : null;
}

function isAmong(value: string | undefined, allowed: readonly (string | null)[] | undefined): boolean {
  return allowed === undefined || allowed.includes(value ?? null);
}

function hasTag(tags: HostFacts['tags'], key: string, value: string | null): boolean {
  const found = tagValue(tags, key);
  return found !== null && (value === null || found === value);
}
