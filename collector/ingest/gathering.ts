/**
 * Decides how long a transaction waits for more batches. A transaction of PostgreSQL has a statement for each of many
 * tables: with 40 calls a call costs twice as much as with 150, on both sides and on the standbys (bench/RESULTS.md).
 *
 * Transactions then take at most half of the time: the wait is as long as the last transaction took. So a store that is
 * at rest makes nobody wait, and a busy one is given large transactions before it falls behind.
 */
/** For a shared database: an acknowledgement is to take less than a quarter of a second. */
export const SHARED_GATHER_MS = 60;

export class Gathering {
  readonly #maxMs: number;
  readonly #nowMs: () => number;
  #begunMs = Number.NEGATIVE_INFINITY;
  #lastMs = 0;

  /** `maxMs`: longest time from the begin of a transaction to that of the next one; 0 never waits. */
  constructor(maxMs: number, nowMs: () => number = () => performance.now()) {
    this.#maxMs = maxMs;
    this.#nowMs = nowMs;
  }

  /** Returns the milliseconds until the next transaction is to begin; 0 or less for at once. */
  get waitMs(): number {
    return this.#begunMs + Math.min(this.#maxMs, 2 * this.#lastMs) - this.#nowMs();
  }

  /** Notes that a transaction begins. Returns a function that notes its end. */
  begin(): () => void {
    const begunMs = this.#nowMs();
    this.#begunMs = begunMs;
    return () => {
      this.#lastMs = this.#nowMs() - begunMs;
    };
  }
}
