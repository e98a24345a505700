/** Asks for the data of the page's first screen again and again, and notes the longest time without an answer. */
import { setTimeout as sleep } from 'node:timers/promises';
import { askFor } from './collector_process.ts';

const EVERY_MS = 250;

export class PageWatch {
  readonly #url: string;
  readonly #token: string;
  readonly #asking: Promise<void>;
  #isEnding = false;
  #answeredMs = performance.now();
  #awayMs = 0;

  constructor(url: string, token: string) {
    this.#url = url;
    this.#token = token;
    this.#asking = this.#ask();
  }

  async #ask(): Promise<void> {
    while (!this.#isEnding) {
      const { status } = await askFor(`${this.#url}/api/v1/overview`, this.#token);
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
