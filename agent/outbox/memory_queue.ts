/**
 * Records of one lane that wait in memory, because the disk cannot be written now. They are in the order of
 * their numbers.
 */
export interface WaitingRecord {
  number: number;
  payload: Buffer;
}

export class MemoryQueue {
  readonly #records: WaitingRecord[] = [];
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }
  get records(): readonly WaitingRecord[] {
    return this.#records;
  }
  get oldest(): WaitingRecord | null {
    return this.#records[0] ?? null;
  }

  addRecord(record: WaitingRecord): void {
    this.#records.push(record);
    this.#bytes += record.payload.length;
  }

  /** Counts the records whose numbers are `from` or larger. */
  countFrom(from: number): number {
    return this.#records.reduce((sum, { number }) => sum + (number >= from ? 1 : 0), 0);
  }

  removeBelow(number: number): void {
    while (this.#records.length > 0 && this.#records[0]!.number < number) this.removeOldest();
  }

  removeOldest(): void {
    this.#bytes -= this.#records.shift()?.payload.length ?? 0;
  }

  /** Removes the oldest record whose number is `from` or larger. Returns false if there is none. */
  removeFirstFrom(from: number): boolean {
    const index = this.#records.findIndex(({ number }) => number >= from);
    if (index === -1) return false;
    this.#bytes -= this.#records[index]!.payload.length;
    this.#records.splice(index, 1);
    return true;
  }
}
