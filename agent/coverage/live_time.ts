/** How long capture was live, told to the millisecond at any moment: an interval of coverage does not end when a tick does. */

/** This much without a tick means that we did not run (suspended, starved): nobody looked at what was captured meanwhile. */
export const STALL_MS = 5_000;

export class LiveTime {
  #countedMs: number;
  #liveMs = 0;
  #stalledMs = 0;

  /** All times: milliseconds of a clock that only goes forward. */
  constructor(nowMs: number) {
    this.#countedMs = nowMs;
  }

  /** Time has passed until now, and capture is live, or is not. */
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
