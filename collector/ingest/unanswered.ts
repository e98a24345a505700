/** Counts the batches of one connection that were received and are not answered yet. */
export class Unanswered {
  #count = 0;
  #onNone: (() => void) | null = null;

  add(): void {
    this.#count += 1;
  }

  remove(): void {
    this.#count -= 1;
    if (this.#count === 0) this.#onNone?.();
  }

  /** Resolves when none is left, when `stopWaiting` is called, and after `graceMs` at the latest. */
  async wait(graceMs: number): Promise<void> {
    if (this.#count === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, graceMs);
      this.#onNone = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  stopWaiting(): void {
    this.#onNone?.();
  }
}
