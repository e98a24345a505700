/**
 * Acknowledges the batches of one connection that become durable in the same transaction with one frame. A thousand
 * agents send small batches, and each frame is a system call here and a message there.
 */
import type { CollectorFrame, Pace } from '../../protocol/frames.ts';

type Ack = Extract<CollectorFrame, { type: 'ack' }>;

export class Acknowledgement {
  readonly #send: (ack: Ack) => void;
  readonly #otherPace: () => Pace | null;
  #next: Ack | null = null;

  /** `otherPace` returns the pace that the agent must follow from now on; null where it knows that already. */
  constructor(send: (ack: Ack) => void, otherPace: () => Pace | null) {
    this.#send = send;
    this.#otherPace = otherPace;
  }

  /** Acknowledges all batches up to `seq`, of which `rejected` records were not stored. */
  add(seq: number, rejected: number): void {
    // All batches of a transaction are answered in one run of microtasks, after which this is called.
    if (this.#next === null) process.nextTick(() => this.flush());
    this.#next = { type: 'ack', seq, rejected: rejected + (this.#next?.rejected ?? 0) };
  }

  /** Sends now what is to be sent. Required before the connection is closed. */
  flush(): void {
    if (this.#next === null) return;
    const pace = this.#otherPace();
    this.#send(pace === null ? this.#next : { ...this.#next, pace });
    this.#next = null;
  }
}
