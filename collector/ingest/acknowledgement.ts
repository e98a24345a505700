/**
 * Acknowledges the batches of one connection that become durable in the same transaction with one frame. A thousand
 * agents send small batches, and each frame is a system call here and a message there.
 */
import type { CollectorFrame } from '../../protocol/frames.ts';

type Ack = Extract<CollectorFrame, { type: 'ack' }>;

export class Acknowledgement {
  readonly #send: (ack: Ack) => void;
  #next: Ack | null = null;

  constructor(send: (ack: Ack) => void) {
    this.#send = send;
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
    this.#send(this.#next);
    this.#next = null;
  }
}
