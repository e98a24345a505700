/** The batches that wait for a lane, in the order in which they came. A transaction takes as many as it can count quickly. */
import type { BatchResult, StoredBatch } from '../store.ts';

/** Records of one transaction, unless one batch has more. */
const MAX_RECORDS = 4_000;
/** With fewer, the statements of a transaction cost more than its records, and a busy machine falls behind. */
const LEAST_RECORDS = 500;
/** Time that counting the batches of a transaction may take: agents and other lanes wait meanwhile. */
const COUNTING_MS = 250;
/** Weight of the last transaction in the mean time of a record. */
const LAST_WEIGHT = 0.2;

interface Request {
  results: BatchResult[];
  /** Batches without a result. */
  left: number;
  resolve: (results: BatchResult[]) => void;
  reject: (error: unknown) => void;
  isRejected: boolean;
}

export interface WaitingBatch {
  batch: StoredBatch;
  request: Request;
  /** Its place in the request. */
  at: number;
}

export class BatchQueue {
  #waiting: WaitingBatch[] = [];
  #msPerRecord = COUNTING_MS / MAX_RECORDS;

  /** Resolves with the results of all batches. */
  add(batches: readonly StoredBatch[]): Promise<BatchResult[]> {
    return new Promise((resolve, reject) => {
      const request = { results: [], left: batches.length, resolve, reject, isRejected: false };
      batches.forEach((batch, at) => {
        this.#waiting.push({ batch, request, at });
      });
    });
  }

  /** Takes the batches of the next transaction. */
  next(): WaitingBatch[] {
    const room = Math.min(MAX_RECORDS, Math.max(LEAST_RECORDS, COUNTING_MS / this.#msPerRecord));
    let records = 0;
    let end = 0;
    for (const { batch } of this.#waiting) {
      records += Math.max(1, batch.records.length);
      if (end > 0 && records > room) break;
      end += 1;
    }
    return this.#waiting.splice(0, end);
  }

  /** Notes how long it took to count the batches of a transaction. */
  noteTime(waiting: readonly WaitingBatch[], ms: number): void {
    const records = waiting.reduce((sum, { batch }) => sum + Math.max(1, batch.records.length), 0);
    this.#msPerRecord += (ms / records - this.#msPerRecord) * LAST_WEIGHT;
  }

  resolve(waiting: readonly WaitingBatch[], results: readonly BatchResult[]): void {
    waiting.forEach(({ request, at }, index) => {
      request.results[at] = results[index]!;
      request.left -= 1;
      if (request.left === 0 && !request.isRejected) request.resolve(request.results);
    });
  }

  /** Rejects the requests of batches, with their other batches. Those that are stored are known when they come again. */
  reject(waiting: readonly WaitingBatch[], error: unknown): void {
    const rejected = new Set(waiting.map(({ request }) => request));
    for (const request of rejected) {
      request.isRejected = true;
      request.reject(error);
    }
    this.#waiting = this.#waiting.filter(({ request }) => !rejected.has(request));
  }
}
