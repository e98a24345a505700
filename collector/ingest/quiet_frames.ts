/** Bounds the frames of one connection that carry no records: heartbeats and pings. */

const MAX_FRAMES = 100;
const WINDOW_MS = 10_000;

export class QuietFrames {
  #frames = 0;
  #sinceMs = performance.now();

  /**
   * Counts a frame. Returns false where there are more of them than any agent sends. `nowMs`:
   * `performance.now()`.
   */
  count(nowMs: number): boolean {
    if (nowMs - this.#sinceMs > WINDOW_MS) {
      this.#sinceMs = nowMs;
      this.#frames = 0;
    }
    this.#frames += 1;
    return this.#frames <= MAX_FRAMES;
  }
}
