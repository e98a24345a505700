/** Asks for the data of the page's first screen again and again, and notes the longest time without an answer. */
import { setTimeout as sleep } from 'node:timers/promises';

const EVERY_MS = 250;

/** Asks for the page's first screen (`GET /api/v1/overview`). Returns the status; 0 without an answer. */
export type AskForPage = () => Promise<number>;

export class PageWatch {
  readonly #ask: AskForPage;
  readonly #asking: Promise<void>;
  #isEnding = false;
  #answeredMs = performance.now();
  #awayMs = 0;

  constructor(ask: AskForPage) {
    this.#ask = ask;
    this.#asking = this.#askAgain();
  }

  async #askAgain(): Promise<void> {
    while (!this.#isEnding) {
      const status = await this.#ask();
      const nowMs = performance.now();
      this.#awayMs = Math.max(this.#awayMs, nowMs - this.#answeredMs);
      if (status === 200) this.#answeredMs = nowMs;
      await sleep(EVERY_MS);
    }
  }

  /** Returns the longest time without an answer since the last call, in milliseconds. */
  takeAwayMs(): number {
    const awayMs = this.#awayMs;
    this.#awayMs = 0;
    return awayMs;
  }

  async end(): Promise<void> {
    this.#isEnding = true;
    await this.#asking;
  }
}
