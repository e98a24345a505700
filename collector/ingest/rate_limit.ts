/** How much may pass in a time: what came too fast is not refused, its sender is made to wait. */
export class RateLimit {
  #perSecond: number;
  #left: number;
  #countedMs: number;

  /** Begins with one second's worth to spare. `nowMs`: of a clock that only goes forward. */
  constructor(perSecond: number, nowMs: number) {
    this.#perSecond = perSecond;
    this.#left = perSecond;
    this.#countedMs = nowMs;
  }

  /** From now on so much may pass a second. */
  setRate(perSecond: number): void {
    this.#perSecond = perSecond;
  }

  /** Counts what has come. Returns for how many milliseconds nothing more may; 0: go on. */
  take(count: number, nowMs: number): number {
    const earned = ((nowMs - this.#countedMs) / 1000) * this.#perSecond;
    this.#left = Math.min(this.#perSecond, this.#left + earned) - count;
    this.#countedMs = nowMs;
    return this.#left >= 0 ? 0 : Math.ceil((-this.#left / this.#perSecond) * 1000);
  }
}
