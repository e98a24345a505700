/**
 * Counts the bytes of batches that are not answered, and of those that the store was not given yet, over all
 * connections. Beyond a bound agents stand in line: one batch of each is taken, and then it waits until one of all
 * others in the line was taken. So agents that offer more than the store takes are slowed down evenly.
 */
const MAX_BACKLOG_BYTES = 16 * 1024 * 1024;
/**
 * Bound on batches that were taken and not given to the store yet: one transaction of some thousand calls. They take
 * several times as much memory as in their frames, which wait until then.
 */
const MAX_WAITING_BYTES = 4 * 1024 * 1024;
/** Connections that have their turn in one turn of the event loop. */
const SERVED_AT_ONCE = 32;
/** Bound on the bytes of one connection, with few and with many connections that have batches waiting. */
const MOST_PENDING_BYTES = 8 * 1024 * 1024;
const LEAST_PENDING_BYTES = 64 * 1024;

export class Backlog {
  readonly #maxBytes: number;
  readonly #maxWaitingBytes: number;
  readonly #defer: (work: () => void) => void;
  #bytes = 0;
  #waitingBytes = 0;
  #senders = 0;
  /** The line. A function tells a connection that it has its turn. */
  readonly #waiting = new Set<() => void>();
  #isServing = false;

  /** `defer` calls a function in the next turn of the event loop. */
  constructor(
    maxBytes = MAX_BACKLOG_BYTES,
    defer: (work: () => void) => void = setImmediate,
    maxWaitingBytes = MAX_WAITING_BYTES,
  ) {
    this.#maxBytes = maxBytes;
    this.#maxWaitingBytes = maxWaitingBytes;
    this.#defer = defer;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Number of connections that wait in the line. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /**
   * Bound on the bytes of one connection that wait for the store: its part of the whole. A few connections
   * that send as fast as they can leave room for the others.
   */
  get pendingBytesOfOne(): number {
    const part = this.#maxBytes / Math.max(1, this.#senders);
    return Math.max(LEAST_PENDING_BYTES, Math.min(MOST_PENDING_BYTES, part));
  }

  /** `isFirst`: no other batch of this connection waits. */
  addBytes(bytes: number, isFirst: boolean): void {
    this.#bytes += bytes;
    this.#waitingBytes += bytes;
    if (isFirst) this.#senders += 1;
  }

  /** Notes that the store was given bytes. They count until they are removed. */
  giveBytes(bytes: number): void {
    this.#waitingBytes -= bytes;
    this.#serve();
  }

  /** `wasLast`: no other batch of this connection waits. */
  removeBytes(bytes: number, wasLast: boolean): void {
    this.#bytes -= bytes;
    if (wasLast) this.#senders -= 1;
    this.#serve();
  }

  /**
   * Tells whether a connection must wait for its turn before its next batch is taken: the bound is exceeded, or
   * others wait already. If so, `onTurn` is called once.
   */
  mustWait(onTurn: () => void): boolean {
    if (!this.#isFull() && this.#waiting.size === 0) return false;
    this.#waiting.add(onTurn);
    this.#serve();
    return true;
  }

  /** Leaves the line. */
  cancel(onTurn: () => void): void {
    this.#waiting.delete(onTurn);
  }

  #isFull(): boolean {
    return this.#bytes > this.#maxBytes || this.#waitingBytes > this.#maxWaitingBytes;
  }

  #serve(): void {
    if (this.#isServing || this.#waiting.size === 0 || this.#isFull()) return;
    this.#isServing = true;
    this.#defer(() => {
      this.#isServing = false;
      let left = SERVED_AT_ONCE;
      for (const onTurn of this.#waiting) {
        if (left === 0 || this.#isFull()) break;
        left -= 1;
        this.#waiting.delete(onTurn);
        onTurn();
      }
      this.#serve();
    });
  }
}
