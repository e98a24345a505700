/** Holds calls of which the caller was not found, until it can be inferred. */

/** More calls than wait in a burst; beyond it the oldest is completed early. */
const MAX_WAITING = 4_096;

export class OwnerlessCalls {
  readonly #waiting: { dueUs: number; complete: () => void }[] = [];

  /** `complete` is called once, at the first tick at or after `dueUs`. */
  add(dueUs: number, complete: () => void): void {
    this.#waiting.push({ dueUs, complete });
    if (this.#waiting.length > MAX_WAITING) this.#waiting.shift()!.complete();
  }

  /** Completes the calls that are due. Returns whether others wait. */
  tick(nowUs: number): boolean {
    const due = this.#waiting.filter(({ dueUs }) => dueUs <= nowUs);
    if (due.length > 0) {
      const left = this.#waiting.filter(({ dueUs }) => dueUs > nowUs);
      this.#waiting.splice(0, this.#waiting.length, ...left);
      for (const { complete } of due) complete();
    }
    return this.#waiting.length > 0;
  }

  /** Completes all that wait. */
  finish(): void {
    this.tick(Number.POSITIVE_INFINITY);
  }
}
