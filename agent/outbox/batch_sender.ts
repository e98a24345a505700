/**
 * Sends the spool's batches on the connection of the moment. Only `MAX_IN_FLIGHT` batches are on their way,
 * so a slow collector fills the spool and not the memory.
 */
import type { CollectorLink } from './collector_link.ts';
import type { Spool } from './spool.ts';

const MAX_IN_FLIGHT = 8;
const MAX_BATCH_RECORDS = 1000;
const MAX_BATCH_BYTES = 256 * 1024;
/** Batching delay: the time that a record may wait for others to join its batch. */
const LINGER_MS = 50;

export class BatchSender {
  readonly #spool: Spool;
  /**
   * The connection on which the collector has accepted `#stream`; null before its `welcome` and between
   * connections.
   */
  #link: CollectorLink | null = null;
  #stream = '';
  #lingerTimer: NodeJS.Timeout | null = null;
  sent = 0;
  resent = 0;

  constructor(spool: Spool) {
    this.#spool = spool;
  }

  get isActive(): boolean {
    return this.#link !== null;
  }

  /**
   * True if no record of the spool can be delivered any more: all are acknowledged, or there is no
   * connection.
   */
  get isDrained(): boolean {
    return this.#link === null || (this.#spool.unsent === 0 && this.#spool.inFlight === 0);
  }

  /**
   * Begins to use a connection, and sends again what is not acknowledged. Returns false, without having
   * begun, if the spool cannot be read now.
   */
  begin(link: CollectorLink): boolean {
    const unacknowledged = this.#spool.unacknowledgedBatches();
    if (unacknowledged === null) return false;
    this.#link = link;
    this.#stream = this.#spool.stream;
    for (const batch of unacknowledged) {
      this.resent += 1;
      link.sendBatch(batch);
    }
    return true;
  }

  /** Stops using the connection, which has ended. */
  end(): void {
    this.#link = null;
  }

  /** Schedules a batch for a new record. Called for every record, so it must be cheap. */
  notifyOfRecord(): void {
    if (this.#link === null || this.#lingerTimer !== null) return;
    this.#lingerTimer = setTimeout(() => {
      this.#lingerTimer = null;
      this.sendWaiting();
    }, LINGER_MS);
  }

  /** Sends full batches at once. A few records wait for others to join them. */
  sendFullBatches(): void {
    if (this.#spool.unsent >= MAX_BATCH_RECORDS) this.sendWaiting();
    else if (this.#spool.unsent > 0) this.notifyOfRecord();
  }

  /**
   * Sends all records that wait. Closes the connection if the spool has begun another stream, which needs a
   * new `hello`.
   */
  sendWaiting(): void {
    if (this.#link === null) return;
    if (this.#spool.stream !== this.#stream) {
      this.#link.close();
      return;
    }
    while (this.#spool.inFlight < MAX_IN_FLIGHT) {
      const batch = this.#spool.takeBatch(MAX_BATCH_RECORDS, MAX_BATCH_BYTES);
      if (batch === null) return;
      this.sent += 1;
      this.#link.sendBatch(batch);
    }
  }

  stop(): void {
    if (this.#lingerTimer !== null) clearTimeout(this.#lingerTimer);
  }
}
