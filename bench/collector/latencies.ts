/** Collects times, and computes their quantiles. */

export interface Spread {
  count: number;
  p50_ms: number;
  p95_ms: number;
  p99_ms: number;
  max_ms: number;
}

export class Latencies {
  #values = new Float64Array(4096);
  #count = 0;

  add(ms: number): void {
    if (this.#count === this.#values.length) {
      const grown = new Float64Array(this.#count * 2);
      grown.set(this.#values);
      this.#values = grown;
    }
    this.#values[this.#count++] = ms;
  }

  /** Returns nulls if nothing was added: a zero would be a wrong figure. */
  spread(): Spread | null {
    if (this.#count === 0) return null;
    const sorted = this.#values.subarray(0, this.#count).toSorted();
    const at = (share: number) => sorted[Math.min(this.#count - 1, Math.ceil(share * this.#count) - 1)]!;
    return {
      count: this.#count,
      p50_ms: at(0.5),
      p95_ms: at(0.95),
      p99_ms: at(0.99),
      max_ms: sorted[this.#count - 1]!,
    };
  }
}
