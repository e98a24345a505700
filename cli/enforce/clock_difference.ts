/**
 * Measures how far the collector's clock is from this machine's. Plans are carried out by the clock of this machine, and calls and
 * watched time are stored by clocks that the collector compares with its own.
 */

/** Differences below this are not worth a message. */
const WORTH_A_MESSAGE_MS = 5000;

export class ClockDifference {
  /** Collector's clock minus ours: it lies between these two. */
  #least = 0;
  #most = 0;
  #hasSaid = false;

  /** Takes an answer. `sentMs`, `arrivedMs`: when it was asked for and there by our clock; `theirs`: its time, RFC 3339. */
  learn(sentMs: number, arrivedMs: number, theirs: string): void {
    const theirMs = Date.parse(theirs);
    if (Number.isNaN(theirMs) || arrivedMs < sentMs) return;
    this.#least = theirMs - arrivedMs;
    this.#most = theirMs - sentMs;
  }

  /** Returns the collector's time of one of ours, or an earlier one: nothing after it is missed. */
  earliest(ms: number): string {
    return moment(ms + this.#least);
  }

  /** Returns the collector's time of one of ours, or a later one: nothing before it counts. */
  latest(ms: number): string {
    return moment(ms + this.#most);
  }

  /** Returns once what to say about a large difference; null if there is nothing to say. */
  message(): string | null {
    const nearest = this.#least > 0 ? this.#least : Math.min(0, this.#most);
    if (this.#hasSaid || Math.abs(nearest) < WORTH_A_MESSAGE_MS) return null;
    this.#hasSaid = true;
    const seconds = Math.round(Math.abs(nearest) / 1000);
    return `This clock is ${seconds} s ${nearest > 0 ? 'behind' : 'ahead of'} the collector's. Times are converted; synchronise the clock all the same.`;
  }
}

function moment(ms: number): string {
  return new Date(Math.max(0, ms)).toISOString();
}
