/** How often somebody may ask: a bucket of tokens each, refilled steadily. Bounded in memory. */

export interface Rate {
  perSecond: number;
  burst: number;
}

interface Bucket {
  tokens: number;
  filledMs: number;
}

/** Beyond it the bucket that was unused for longest is forgotten, which is at worst generous to its owner. */
const MAX_BUCKETS = 10_000;

export class RateLimit {
  readonly #rate: Rate;
  readonly #now: () => number;
  /** Least recently used first. */
  readonly #buckets = new Map<string, Bucket>();
  refused = 0;

  /** `now`: milliseconds of a clock that never steps. */
  constructor(rate: Rate, now: () => number = () => performance.now()) {
    this.#rate = rate;
    this.#now = now;
  }

  /** Null when `key` may go on, else the whole seconds that it has to wait. */
  take(key: string): number | null {
    const { perSecond, burst } = this.#rate;
    const now = this.#now();
    const known = this.#buckets.get(key);
    const tokens =
      known === undefined
        ? burst
        : Math.min(burst, known.tokens + ((now - known.filledMs) / 1000) * perSecond);
    this.#buckets.delete(key);
    if (this.#buckets.size >= MAX_BUCKETS) this.#buckets.delete(this.#buckets.keys().next().value!);
    const allowed = tokens >= 1;
    this.#buckets.set(key, { tokens: allowed ? tokens - 1 : tokens, filledMs: now });
    if (allowed) return null;
    this.refused += 1;
    return Math.max(1, Math.ceil((1 - tokens) / perSecond));
  }
}
