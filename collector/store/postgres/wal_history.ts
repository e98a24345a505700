/** Which time a position in the write-ahead log stands for: positions of the primary, with the times of their reading. */

interface Sample {
  /** Bytes of the log. */
  position: number;
  /** Everything that was committed before is at or before this position. Microseconds since 1970. */
  timeUs: number;
}

export class WalHistory {
  readonly #keptUs: number;
  /** The oldest first, with rising positions and times. */
  readonly #samples: Sample[] = [];

  /** `keptUs`: the age after which a time is of no use. */
  constructor(keptUs: number) {
    this.#keptUs = keptUs;
  }

  /** Adds a position of the primary that was read after `timeUs`. */
  add(position: number, timeUs: number): void {
    const last = this.#samples.at(-1);
    // The collector's clock was set back, or another timeline has begun.
    if (last !== undefined && (last.timeUs > timeUs || last.position > position)) this.clear();
    // An idle primary stays where it is, and its position stands for the newest time.
    const known = this.#samples.at(-1);
    if (known?.position === position) known.timeUs = timeUs;
    else this.#samples.push({ position, timeUs });
    const old = this.#samples.findIndex((sample) => sample.timeUs >= timeUs - this.#keptUs);
    if (old > 1) this.#samples.splice(0, old - 1);
  }

  clear(): void {
    this.#samples.length = 0;
  }

  /** Returns from when the data of a server is that has replayed up to a position; null where that is not known. */
  timeOf(position: number): number | null {
    return this.#samples.findLast((sample) => sample.position <= position)?.timeUs ?? null;
  }
}
