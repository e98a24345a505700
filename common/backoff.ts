/** How long to wait before the next attempt: doubling from `firstMs` to `maxMs`, each with up to half of it taken off at random. */
export class Backoff {
  readonly #firstMs: number;
  readonly #maxMs: number;
  readonly #random: () => number;
  #attempts = 0;

  constructor(firstMs: number, maxMs: number, random: () => number = Math.random) {
    this.#firstMs = firstMs;
    this.#maxMs = maxMs;
    this.#random = random;
  }

  /** Milliseconds. The random part keeps a fleet whose collector restarts from coming back all at once. */
  next(): number {
    const full = Math.min(this.#maxMs, this.#firstMs * 2 ** Math.min(this.#attempts, 30));
    this.#attempts += 1;
    return Math.round(full * (1 - this.#random() / 2));
  }

  reset(): void {
    this.#attempts = 0;
  }
}
