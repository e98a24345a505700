/** Selects the calls of a live feed. */
import type { Call, HostFacts } from '../../protocol/call.ts';
import type { Sight } from '../contract/host_scope.ts';
import type { ServedCall } from '../contract/served_call.ts';
import { factsOfCaller, type StoredCaller } from '../store/defined_caller.ts';
import { isInScope } from '../store/host_filter.ts';
import type { CallBody } from '../store/store.ts';

export interface LiveFilter {
  hosts: readonly string[] | null;
  offenders: readonly string[] | null;
  version: 1 | 2 | null;
  categories: readonly Call['imds.category'][] | null;
  outcomes: readonly Call['outcome'][] | null;
  /** Part of the path. Upper and lower case are the same. */
  path: string | null;
  /** The scope of the watcher, by what the host reported with the call. */
  scope: Sight;
}

/** A call that is offered to watchers. It is put together only where somebody wants it. */
export interface OfferedCall {
  body: CallBody;
  /** Null where `body` is the whole call, as another collector sent it. */
  caller: StoredCaller | null;
  host: HostFacts;
  /** Id of the workload. */
  offender: string;
}

export const ALL_CALLS: LiveFilter = {
  hosts: null,
  offenders: null,
  version: null,
  categories: null,
  outcomes: null,
  path: null,
  scope: null,
};

/** Returns a text that is the same for equal filters. `filterOfKey` makes the filter of it again. */
export function keyOfFilter({
  hosts,
  offenders,
  version,
  categories,
  outcomes,
  path,
  scope,
}: LiveFilter): string {
  const filter = { hosts, offenders, version, categories, outcomes, path };
  // A collector of the release before, which knows no scopes, makes the same key of a filter without one.
  return JSON.stringify(scope === null ? filter : { ...filter, scope });
}

export function filterOfKey(key: string): LiveFilter {
  return { ...ALL_CALLS, ...(JSON.parse(key) as Partial<LiveFilter>) };
}

export const ALL_KEY = keyOfFilter(ALL_CALLS);

export function matches(
  { hosts, offenders, version, categories, outcomes, path, scope }: LiveFilter,
  { body, host, offender }: OfferedCall,
): boolean {
  return (
    (scope === null || isInScope(host, scope)) &&
    (hosts === null || hosts.includes(host.id)) &&
    (offenders === null || offenders.includes(offender)) &&
    (version === null || body['imds.version'] === version) &&
    (categories === null || categories.includes(body['imds.category'])) &&
    (outcomes === null || outcomes.includes(body.outcome)) &&
    (path === null || (body['url.path'] ?? '').toLowerCase().includes(path.toLowerCase()))
  );
}

export function servedCallOf({ body, caller, host, offender }: OfferedCall): ServedCall {
  return caller === null ? (body as ServedCall) : { ...body, ...factsOfCaller(caller), host, offender };
}

/** Offers a call that another collector stored. */
export function offeredCallOf(call: ServedCall): OfferedCall {
  return { body: call, caller: null, host: call.host, offender: call.offender };
}
