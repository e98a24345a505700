/** Where spooled records go: the seam for other ways out than the uplink. */
import type { Counters } from '../../protocol/records.ts';

export interface Sink {
  start(): void;
  /** Records wait in the spool. Called for every record; must be cheap. */
  wake(): void;
  /** Ends in order: what can be delivered within `graceMs` still is, the rest stays in the spool. */
  stop(graceMs: number): Promise<void>;
  counters(): Counters;
}
