/** Counts what happened to the records of each destination since the start of this process. */
import type { StreamName } from '../contract/export.ts';
import { STREAM_COUNTS, type StreamCounts, type StreamState } from '../contract/stream_state.ts';

export class StreamCounters {
  readonly #states = new Map<string, StreamState & { counts: StreamCounts }>();

  /** Returns the counts of a destination, which the caller adds to. */
  countsOf({ id, name, stream }: { id: string; name: string; stream: StreamName }): StreamCounts {
    const found = this.#states.get(id);
    if (found !== undefined) {
      found.name = name;
      return found.counts;
    }
    const counts = Object.fromEntries(STREAM_COUNTS.map((each) => [each, 0])) as StreamCounts;
    this.#states.set(id, { name, stream, counts, waiting: null });
    return counts;
  }

  noteWaiting(id: string, waiting: NonNullable<StreamState['waiting']>): void {
    const found = this.#states.get(id);
    if (found !== undefined) found.waiting = waiting;
  }

  /** Forgets what waits, because another collector knows it now. The counts stay, because they only grow. */
  forgetWaiting(): void {
    for (const state of this.#states.values()) state.waiting = null;
  }

  /** Forgets destinations that are gone. */
  keep(ids: ReadonlySet<string>): void {
    for (const id of this.#states.keys()) if (!ids.has(id)) this.#states.delete(id);
  }

  all(): readonly StreamState[] {
    return [...this.#states.values()];
  }
}
