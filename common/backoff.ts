/**
 * Delays between attempts. They double from `firstMs` to `maxMs`, and each is shortened at random by up to a
 * half.
 */
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

  /**
   * Returns milliseconds. The random part keeps a fleet from connecting all at once after a restart of its
   * collector.
   */
  next(): number {
    const full = Math.min(this.#maxMs, this.#firstMs * 2 ** Math.min(this.#attempts, 30));
    this.#attempts += 1;
    return Math.round(full * (1 - this.#random() / 2));
  }

  /**
   * Returns milliseconds between 0 and the delay, whose first value is `firstMs` or the usual one, whichever is
   * longer. So a large fleet that lost its collector is spread over all of that time.
   */
  nextSpread(firstMs: number): number {
    const first = Math.max(firstMs, this.#firstMs);
    const full = Math.min(Math.max(this.#maxMs, first), first * 2 ** Math.min(this.#attempts, 30));
    this.#attempts += 1;
    return Math.round(full * this.#random());
  }

  reset(): void {
    this.#attempts = 0;
  }
}
