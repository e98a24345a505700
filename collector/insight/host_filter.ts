/** Selects hosts by a filter, and finds the group of a host. */
import type { HostFacts } from '../../protocol/call.ts';
import type { GroupBy, HostFilter } from './question.ts';

export function matchesHost(facts: HostFacts, filter: HostFilter): boolean {
  const { ids, tags, text } = filter;
  if (ids !== undefined && !ids.includes(facts.id)) return false;
  if (!isAmong(facts['cloud.account.id'], filter.accounts)) return false;
  if (!isAmong(facts['cloud.region'], filter.regions)) return false;
  if (!isAmong(facts['cloud.availability_zone'], filter.zones)) return false;
  if (!isAmong(facts.type, filter.types)) return false;
  if (!isAmong(facts['image.id'], filter.imageIds)) return false;
  if (tags !== undefined && !tags.every(({ key, value }) => hasTag(facts, key, value))) return false;
  if (text === undefined || text === '') return true;
  const sought = text.toLowerCase();
  return facts.id.toLowerCase().includes(sought) || facts.name.toLowerCase().includes(sought);
}

/** Returns true if the filter can leave a host out. Otherwise the store is asked about all hosts at once. */
export function narrows(filter: HostFilter): boolean {
  return Object.values(filter).some((condition) => condition !== undefined && condition !== '');
}

/** Returns the value of that attribute, or null if it is not known. */
export function groupValue(facts: HostFacts, by: GroupBy): string | null {
  if (typeof by === 'object') return tagValue(facts, by.tag);
  switch (by) {
    case 'account':
      return facts['cloud.account.id'] ?? null;
    case 'region':
      return facts['cloud.region'] ?? null;
    case 'zone':
      return facts['cloud.availability_zone'] ?? null;
    case 'type':
      return facts.type ?? null;
    case 'image_id':
      return facts['image.id'] ?? null;
  }
}

function isAmong(value: string | undefined, allowed: readonly (string | null)[] | undefined): boolean {
  return allowed === undefined || allowed.includes(value ?? null);
}

function hasTag(facts: HostFacts, key: string, value: string | null): boolean {
  const found = tagValue(facts, key);
  return found !== null && (value === null || found === value);
}

function tagValue({ tags }: HostFacts, key: string): string | null {
  return tags !== undefined && Object.hasOwn(tags, key) ? tags[key]! : null;
}
