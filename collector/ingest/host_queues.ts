/**
 * Batches that wait for the store, in a queue for each host. Hosts take turns. A host of which a transaction
 * is being written waits until that has ended, so that its batches keep their order.
 */
import type { BatchResult, StoredBatch } from '../store/store.ts';
import { sliceOf } from './batch_slice.ts';

const MAX_RECORDS_IN_TRANSACTION = 4000;

export interface Waiting {
  hostId: string;
  /** Number of its records. */
  size: number;
  /** Null as soon as all of it was selected: it takes more memory than anything else that waits. */
  batch: StoredBatch | null;
  /** Number of its records that were written. */
  written: number;
  /** Results of these records. */
  records: number;
  duplicates: number;
  /** Called when all of it was given to the store. */
  given: () => void;
  resolve: (result: BatchResult) => void;
  reject: (error: unknown) => void;
}

/** The part of a batch that one transaction writes. */
export interface Slice {
  waiting: Waiting;
  slice: StoredBatch;
}

interface Queue {
  batches: Waiting[];
  records: number;
  /** True while a transaction with some of them is being written. */
  inFlight: boolean;
}

export class HostQueues {
  /** The first host is the next one to be served. */
  readonly #queues = new Map<string, Queue>();
  #freeRecords = 0;

  /** Number of hosts with waiting batches. */
  get size(): number {
    return this.#queues.size;
  }

  /** Waiting records of the hosts of which no transaction is being written. */
  get freeRecords(): number {
    return this.#freeRecords;
  }

  /** Returns true where no other batch of the host waits. */
  add(waiting: Waiting): boolean {
    const id = waiting.hostId;
    const size = sizeOf(waiting);
    const queue = this.#queues.get(id);
    if (queue?.inFlight !== true) this.#freeRecords += size;
    if (queue === undefined) {
      this.#queues.set(id, { batches: [waiting], records: size, inFlight: false });
      return true;
    }
    queue.batches.push(waiting);
    queue.records += size;
    return false;
  }

  /**
   * Selects one batch of each host in turn, until the transaction or the host's share of it is full. Only a
   * batch that is larger than the share is divided. `release` must follow.
   */
  select(share: number): Slice[] {
    const group: Slice[] = [];
    /** Selected records and batches by host. */
    const selected = new Map<string, { records: number; batches: number }>();
    let room = MAX_RECORDS_IN_TRANSACTION;
    for (let found = true; found && room > 0; ) {
      found = false;
      for (const [id, queue] of this.#queues) {
        if (queue.inFlight) continue;
        const host = selected.get(id) ?? { records: 0, batches: 0 };
        const next = queue.batches[host.batches];
        if (next === undefined || host.records >= share) continue;
        const left = next.size - next.written;
        const size = left <= share ? left : Math.min(left, share - host.records, room);
        group.push({ waiting: next, slice: sliceOf(next.batch!, next.written, next.written + size) });
        if (size === left) next.batch = null;
        // After a batch of which only a part fits, nothing more of this host is selected.
        const records = size < left ? share : host.records + Math.max(1, size);
        selected.set(id, { records, batches: host.batches + 1 });
        room -= Math.max(1, size);
        found = true;
        if (room <= 0) break;
      }
    }
    // Hosts that were not served come first in the next transaction.
    for (const id of selected.keys()) {
      const queue = this.#queues.get(id)!;
      queue.inFlight = true;
      this.#freeRecords -= queue.records;
      this.#queues.delete(id);
      this.#queues.set(id, queue);
    }
    return group;
  }

  /** Removes a batch from its queue. */
  remove(waiting: Waiting): void {
    const { hostId } = waiting;
    const queue = this.#queues.get(hostId);
    if (queue?.batches[0] === waiting) queue.batches.shift();
    if (queue?.batches.length === 0) this.#queues.delete(hostId);
  }

  /** Lets the next transactions have the hosts of a transaction that has ended. */
  release(selected: readonly { waiting: Waiting }[]): void {
    for (const { waiting } of selected) {
      const queue = this.#queues.get(waiting.hostId);
      if (queue === undefined || !queue.inFlight) continue;
      queue.inFlight = false;
      queue.records = queue.batches.reduce((sum, each) => sum + sizeOf(each), 0);
      this.#freeRecords += queue.records;
    }
  }
}

/** Returns the records of a batch that are not written. An empty batch counts as one record. */
function sizeOf({ size, written }: Waiting): number {
  return Math.max(1, size - written);
}
