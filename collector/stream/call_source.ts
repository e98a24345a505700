/** Reads every stored call, in the order of arrival. */
import type { Call } from '../../protocol/call.ts';
import type { ServedCall } from '../contract/served_call.ts';
import type { ArrivalStore } from '../store/arrivals.ts';
import { toTimestamp } from '../store/time.ts';
import type { StreamPage, StreamSource, Waiting } from './stream_source.ts';

export class CallSource implements StreamSource {
  readonly isDense = true;
  readonly #store: ArrivalStore;
  readonly #offenderOf: (call: Call) => string;
  readonly #followedSinceUs: () => Promise<number>;
  readonly #nowUs: () => number;

  /**
   * `offenderOf`: returns the id of a call's workload. `followedSinceUs`: calls that were followed since then are still
   * followed, by readers that keep their positions themselves.
   */
  constructor(
    store: ArrivalStore,
    offenderOf: (call: Call) => string,
    followedSinceUs: () => Promise<number>,
    nowUs: () => number,
  ) {
    this.#store = store;
    this.#offenderOf = offenderOf;
    this.#followedSinceUs = followedSinceUs;
    this.#nowUs = nowUs;
  }

  async begin(): Promise<number> {
    await this.#store.noteArrivals(this.#nowUs());
    return (await this.#store.arrivalsBehind(0)).last;
  }

  async read(after: number, limit: number): Promise<StreamPage> {
    const { calls, positions, storedUs, next } = await this.#store.arrivals(after, limit);
    const items = calls.map((call, at) => {
      const served: ServedCall = { ...call, offender: this.#offenderOf(call) };
      return {
        position: positions[at]!,
        item: { stream: 'calls' as const, call: served, stored: toTimestamp(storedUs[at]!) },
      };
    });
    return { items, next };
  }

  async waiting(after: number): Promise<Waiting> {
    const { last, storedUs, oldestUs, deletedUpTo } = await this.#store.arrivalsBehind(after);
    return { behind: Math.max(0, last - after), waitsSinceUs: storedUs, oldestUs, deletedUpTo };
  }

  async passed(position: number): Promise<void> {
    const { last, followedUs, deletedUpTo } = await this.#store.arrivalsBehind(0);
    const isFollowed = followedUs !== null && followedUs >= (await this.#followedSinceUs());
    // A reader that was away may come back for every call that is still there, and a new one may have begun just now.
    await this.#store.forgetArrivals(Math.min(position, isFollowed ? deletedUpTo : last));
  }

  /** Ends the notes where nobody follows calls. Called where no destination wants them. */
  async end(): Promise<void> {
    await this.#store.endArrivals(await this.#followedSinceUs());
  }
}
