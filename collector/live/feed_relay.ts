/** The interface by which the live feeds of collectors that share a database have each other's calls. */
import type { Counters } from '../../protocol/records.ts';
import type { LiveOthers } from '../contract/live.ts';
import type { ServedCall } from '../contract/served_call.ts';
import type { LiveFilter, OfferedCall } from './live_filter.ts';

export interface FeedRelay {
  /** True while somebody at another collector watches. */
  readonly isWanted: boolean;
  /** Takes a call that this collector has stored. Neither waits nor throws: what cannot be sent is left out and counted. */
  offer(call: OfferedCall): void;
  /** Begins to listen. `events` are called from then on. */
  start(events: RelayEvents): void;
  /** Replaces the filters of the feeds at this collector. Without any the other collectors send nothing. */
  watch(filters: readonly LiveFilter[]): void;
  /** Says whether a feed with the filter of this key has the calls of the others. */
  stateOf(key: string): LiveOthers;
  counters(): Counters;
  close(): Promise<void>;
}

export interface RelayEvents {
  /** Calls of another collector. `leftOut` returns how many it left out for the filter of a key. */
  received: (calls: readonly ServedCall[], leftOut: (key: string) => number) => void;
  /** `stateOf` may answer otherwise by now. */
  changed: () => void;
}
