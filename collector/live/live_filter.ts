/** Selects the calls of a live feed. */
import type { Call, HostFacts } from '../../protocol/call.ts';
import type { ServedCall } from '../contract/served_call.ts';
import { factsOfCaller, type StoredCaller } from '../store/defined_caller.ts';
import type { CallBody } from '../store/store.ts';

export interface LiveFilter {
  hosts: readonly string[] | null;
  offenders: readonly string[] | null;
  version: 1 | 2 | null;
  categories: readonly Call['imds.category'][] | null;
  outcomes: readonly Call['outcome'][] | null;
  /** Part of the path. Upper and lower case are the same. */
  path: string | null;
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
};

/** Returns a text that is the same for equal filters. `filterOfKey` makes the filter of it again. */
export function keyOfFilter({ hosts, offenders, version, categories, outcomes, path }: LiveFilter): string {
  return JSON.stringify({ hosts, offenders, version, categories, outcomes, path });
}

export function filterOfKey(key: string): LiveFilter {
  return { ...ALL_CALLS, ...(JSON.parse(key) as Partial<LiveFilter>) };
}

export const ALL_KEY = keyOfFilter(ALL_CALLS);

export function matches(
  { hosts, offenders, version, categories, outcomes, path }: LiveFilter,
  { body, host, offender }: OfferedCall,
): boolean {
  return (
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
