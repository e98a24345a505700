/** Where spooled records go: the seam for other ways out than the uplink. */
import type { HostFacts } from '../../protocol/call.ts';
import type { Counters } from '../../protocol/records.ts';

export interface Sink {
  start(): void;
  /** Records wait in the spool. Called for every record; must be cheap. */
  wake(): void;
  /** Ends in order: what can be delivered within `graceMs` still is, the rest stays in the spool. */
  stop(graceMs: number): Promise<void>;
  /** More is known of the host than when this was made; its id is the same. */
  introduce?(host: HostFacts): void;
  counters(): Counters;
}
