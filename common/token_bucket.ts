/** Token buckets, which bound how often or how much somebody may do something. */
import { deleteOldestEntries } from './bounded_map.ts';

export interface Rate {
  perSecond: number;
  /** Largest number of tokens that a bucket holds. A new bucket is full. */
  burst: number;
}

/** Returns the rate whose burst is what one second brings. */
export function oneSecond(perSecond: number): Rate {
  return { perSecond, burst: perSecond };
}

/** One bucket. Times are milliseconds; a clock that is set back refills nothing. */
export class TokenBucket {
  #rate: Rate;
  #tokens: number;
  #filledMs: number;

  constructor(rate: Rate, nowMs: number) {
    this.#rate = rate;
    this.#tokens = rate.burst;
    this.#filledMs = nowMs;
  }

  setRate(rate: Rate): void {
    this.#rate = rate;
  }

  /**
   * Takes one token if there is one. Returns 0 then, and otherwise the milliseconds until there will be one.
   */
  tryTake(nowMs: number): number {
    this.#refill(nowMs);
    if (this.#tokens < 1) return ((1 - this.#tokens) / this.#rate.perSecond) * 1000;
    this.#tokens -= 1;
    return 0;
  }

  /**
   * Takes `count` tokens, of which some may be missing. Returns the milliseconds until the debt is paid, 0
   * without debt.
   */
  takeOnCredit(count: number, nowMs: number): number {
    this.#refill(nowMs);
    this.#tokens -= count;
    return this.#tokens >= 0 ? 0 : Math.ceil((-this.#tokens / this.#rate.perSecond) * 1000);
  }

  giveBackOne(): void {
    this.#tokens += 1;
  }

  #refill(nowMs: number): void {
    const earned = (Math.max(0, nowMs - this.#filledMs) / 1000) * this.#rate.perSecond;
    this.#tokens = Math.min(this.#rate.burst, this.#tokens + earned);
    this.#filledMs = nowMs;
  }
}

/**
 * A bucket for each key, in bounded memory: beyond `maxKeys` the bucket that was unused for the longest is
 * forgotten. Its owner starts again with a full one.
 */
export class TokenBuckets {
  readonly #rate: Rate;
  readonly #maxKeys: number;
  readonly #nowMs: () => number;
  /** Least recently used first. */
  readonly #buckets = new Map<string, TokenBucket>();
  #refused = 0;

  constructor(rate: Rate, maxKeys: number, nowMs: () => number = () => performance.now()) {
    this.#rate = rate;
    this.#maxKeys = maxKeys;
    this.#nowMs = nowMs;
  }

  /** Takes one token of this key if there is one. Returns 0 then, and otherwise the whole seconds to wait. */
  tryTake(key: string): number {
    const nowMs = this.#nowMs();
    const bucket = this.#buckets.get(key) ?? new TokenBucket(this.#rate, nowMs);
    this.#buckets.delete(key);
    this.#buckets.set(key, bucket);
    deleteOldestEntries(this.#buckets, this.#maxKeys);
    const waitMs = bucket.tryTake(nowMs);
    if (waitMs > 0) this.#refused += 1;
    return Math.ceil(waitMs / 1000);
  }

  /** Gives a token back that was taken for something which does not count. */
  giveBackOne(key: string): void {
    this.#buckets.get(key)?.giveBackOne();
  }

  /** Number of requests that found no token. */
  get refused(): number {
    return this.#refused;
  }

  /** Number of keys that are remembered. */
  get size(): number {
    return this.#buckets.size;
  }
}
