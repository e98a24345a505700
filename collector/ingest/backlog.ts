/**
 * Counts the bytes of batches that wait for the store, over all connections. Beyond the bound no socket is
 * read.
 */
const MAX_BACKLOG_BYTES = 64 * 1024 * 1024;

export class Backlog {
  readonly #maxBytes: number;
  #bytes = 0;
  readonly #waiting = new Set<() => void>();

  constructor(maxBytes = MAX_BACKLOG_BYTES) {
    this.#maxBytes = maxBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  addBytes(bytes: number): void {
    this.#bytes += bytes;
  }

  removeBytes(bytes: number): void {
    this.#bytes -= bytes;
    if (this.#bytes > this.#maxBytes / 2 || this.#waiting.size === 0) return;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const resume of waiting) resume();
  }

  /** Tells whether the bound is exceeded. If so, `resume` is called once when half of it is free again. */
  isFull(resume: () => void): boolean {
    if (this.#bytes <= this.#maxBytes) return false;
    this.#waiting.add(resume);
    return true;
  }

  /** Cancels a call of `resume`. */
  cancel(resume: () => void): void {
    this.#waiting.delete(resume);
  }
}
