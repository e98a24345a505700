/** Reads every stored call, in the order of arrival. */
import type { Call } from '../../protocol/call.ts';
import type { ServedCall } from '../contract/served_call.ts';
import type { ArrivalStore } from '../store/arrivals.ts';
import type { StreamPage, StreamSource, Waiting } from './stream_source.ts';

export class CallSource implements StreamSource {
  readonly isDense = true;
  readonly #store: ArrivalStore;
  readonly #offenderOf: (call: Call) => string;

  /** `offenderOf`: returns the id of a call's workload. */
  constructor(store: ArrivalStore, offenderOf: (call: Call) => string) {
    this.#store = store;
    this.#offenderOf = offenderOf;
  }

  async begin(): Promise<number> {
    await this.#store.noteArrivals(true);
    return (await this.#store.arrivalsBehind(0)).last;
  }

  async read(after: number, limit: number): Promise<StreamPage> {
    const { calls, positions, next } = await this.#store.arrivals(after, limit);
    const items = calls.map((call, at) => {
      const served: ServedCall = { ...call, offender: this.#offenderOf(call) };
      return { position: positions[at]!, item: { stream: 'calls' as const, call: served } };
    });
    return { items, next };
  }

  async waiting(after: number): Promise<Waiting> {
    const { last, storedUs, oldestUs, deletedUpTo } = await this.#store.arrivalsBehind(after);
    return { behind: Math.max(0, last - after), waitsSinceUs: storedUs, oldestUs, deletedUpTo };
  }

  passed(position: number): Promise<void> {
    return this.#store.forgetArrivals(position);
  }
}
