/** Chooses what a collector asks the others for, so that few filters cover those of all its watchers. Pure. */
import { ALL_CALLS, ALL_KEY, filterOfKey, keyOfFilter, type LiveFilter } from '../live_filter.ts';

const MAX_FILTERS = 30;
const MAX_CHARACTERS = 20_000;

/** A viewer with a scope must not get the number of calls of the whole fleet. */
export const NOT_COUNTED =
  'Too many different live feeds are open at this collector, so the calls of other collectors that this feed leaves out cannot be counted. Try again when fewer people watch.';

export interface WantedFilters {
  /** Filters that the others are asked for. */
  keys: readonly string[];
  /** Returns the one of these by which the feed of a filter gets its calls and counts those left out; null for none. */
  keyFor(key: string): string | null;
}

/** Too many filters become one for each scope, and if these are too many, one for all calls. */
export function wantedFilters(filters: readonly LiveFilter[]): WantedFilters {
  const keys = [...new Set(filters.map(keyOfFilter))].sort();
  if (isFew(keys)) return { keys, keyFor: (key) => key };
  const scopes = [...new Set(keys.map(scopeKeyOf))].sort();
  if (isFew(scopes)) return { keys: scopes, keyFor: scopeKeyOf };
  return { keys: [ALL_KEY], keyFor: (key) => (scopeKeyOf(key) === ALL_KEY ? ALL_KEY : null) };
}

function isFew(keys: readonly string[]): boolean {
  return keys.length <= MAX_FILTERS && keys.join('').length <= MAX_CHARACTERS;
}

/** Returns the key of all calls of the scope of a filter. */
function scopeKeyOf(key: string): string {
  return key === '' ? ALL_KEY : keyOfFilter({ ...ALL_CALLS, scope: filterOfKey(key).scope });
}
