/**
 * Measures how long the capture was live. It is exact at any moment, because coverage intervals do not end
 * with a tick.
 */

/**
 * After this time without a tick the process did not run (it was suspended or starved), so nothing was
 * watched.
 */
export const STALL_MS = 5_000;

export class LiveTime {
  #countedMs: number;
  #liveMs = 0;
  #stalledMs = 0;

  /** All times are milliseconds of a monotonic clock. */
  constructor(nowMs: number) {
    this.#countedMs = nowMs;
  }

  /** Adds the time until now, in which the capture was live or not. */
  advanceTo(nowMs: number, isLive: boolean): void {
    const elapsedMs = nowMs - this.#countedMs;
    this.#countedMs = nowMs;
    if (elapsedMs > STALL_MS) this.#stalledMs += elapsedMs;
    else if (isLive) this.#liveMs += elapsedMs;
  }

  get liveMs(): number {
    return this.#liveMs;
  }
  get stalledMs(): number {
    return this.#stalledMs;
  }
}
