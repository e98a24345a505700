/** The interface of the part that takes records out of the spool. The uplink is the usual one. */
import type { HostFacts } from '../../protocol/call.ts';
import type { Counters } from '../../protocol/records.ts';

export interface Sink {
  start(): void;
  /** Called after every record that was put into the spool, so it must be cheap. */
  notifyOfRecord(): void;
  /** Stops in order: delivers as much as possible within `graceMs`; the rest stays in the spool. */
  stop(graceMs: number): Promise<void>;
  /** Takes facts of the host that were learnt since the start. The host's id is the same. */
  updateHost?(host: HostFacts): void;
  counters(): Counters;
}
