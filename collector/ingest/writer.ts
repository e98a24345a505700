/**
 * Group commit. Batches of all connections that arrive while one transaction is synced to disk go into the
 * next one, so that one sync serves many. Hosts take turns, and each has a share of a transaction: a host
 * that sends as fast as it can makes no transaction long.
 *
 * The store is given the next transaction while it still writes one, if many records wait. So it never waits
 * for this thread. No host is in both: its batches keep their order.
 */
import type { Logger } from 'pino';
import type { Counters } from '../../protocol/records.ts';
import type { BatchResult, Store, StoredBatch } from '../store/store.ts';
import { HostQueues, type Slice, type Waiting } from './host_queues.ts';

/**
 * Records of a transaction that hosts share. Transactions stay short, so that batches that arrive meanwhile
 * do not wait for long.
 */
const RECORDS_SHARED = 1000;
/** Share of one host, however many hosts there are. */
const LEAST_RECORDS_OF_HOST = 25;
/** Records that must wait for a second transaction to be given to the store. */
const RECORDS_OF_SECOND = 500;
/**
 * With this many recent hosts, a host that is alone in the next transaction waits for others, for at most
 * `ALONE_WAIT_MS`.
 */
const MANY_HOSTS = 20;
const ALONE_WAIT_MS = 20;
/** A host counts as recent for this time after its last batch. */
const RECENT_MS = 60_000;

/** The part of a store that ingest uses. */
export type IngestStore = Pick<Store, 'lastSeq' | 'write' | 'heartbeat'>;

export interface WriterOptions {
  /** Called with batches that have become durable, for the live feed. Null where there is none. */
  stored?: ((batches: StoredBatch[]) => void) | null;
}

export class Writer {
  readonly #store: IngestStore;
  readonly #log: Logger;
  readonly #stored: ((batches: StoredBatch[]) => void) | null;
  readonly #queues = new HostQueues();
  /** Time of the last batch of each host, the oldest first. */
  readonly #recent = new Map<string, number>();
  /** Called when a batch of another host arrives while one host waits alone. */
  #onOtherHost: (() => void) | null = null;
  /** Each lane gives the store one transaction after the other. */
  readonly #lanes = new Set<Promise<void>>();
  #failing = false;
  #counters = {
    transactions: 0,
    failed_transactions: 0,
    batches: 0,
    known_batches: 0,
    records: 0,
    duplicates: 0,
    feed_failures: 0,
  };

  constructor(store: IngestStore, log: Logger, { stored = null }: WriterOptions = {}) {
    this.#stored = stored;
    this.#store = store;
    this.#log = log;
  }

  /**
   * Resolves when the batch is durable. Rejects where the store could not write it, and nothing of it is
   * stored.
   */
  submit(batch: StoredBatch): Promise<BatchResult> {
    return new Promise((resolve, reject) => {
      const { id } = batch.host;
      const waiting = { batch, written: 0, records: 0, duplicates: 0, resolve, reject };
      if (this.#queues.add(waiting)) this.#onOtherHost?.();
      this.#recent.delete(id);
      this.#recent.set(id, performance.now());
      this.#startLane();
    });
  }

  /** Starts a lane if there is none, or a second one where enough records wait for it. */
  #startLane(): void {
    const isNeeded = this.#lanes.size === 0 ? this.#queues.size > 0 : this.#needsSecond();
    if (!isNeeded) return;
    const lane = this.#run(this.#lanes.size === 0).finally(() => {
      this.#lanes.delete(lane);
      this.#startLane();
    });
    this.#lanes.add(lane);
  }

  #needsSecond(): boolean {
    return this.#lanes.size < 2 && this.#queues.freeRecords >= RECORDS_OF_SECOND;
  }

  /** `isFirst`: no other lane runs when it starts. The second one ends with its transaction. */
  async #run(isFirst: boolean): Promise<void> {
    /** The transaction before wrote only a part of a waiting batch. */
    let hasLeftover = false;
    do {
      // Batches that have arrived on other sockets join this transaction.
      await new Promise((resolve) => setImmediate(resolve));
      if (hasLeftover && this.#lanes.size === 1) await this.#waitForOtherHosts();
      const group = this.#queues.select(this.#recordsPerHost());
      if (group.length === 0) return;
      this.#startLane();
      hasLeftover = group.some(({ slice }) => slice.partial === true);
      await this.#writeGroup(group);
    } while (isFirst && this.#queues.size > 0);
  }

  async #writeGroup(group: Slice[]): Promise<void> {
    const batches = group.map(({ slice }) => slice);
    let results: BatchResult[];
    try {
      results = await this.#store.write(batches);
    } catch (error) {
      this.#onFailure(error);
      for (const { waiting } of group) this.#finish(waiting, () => waiting.reject(error));
      this.#queues.release(batches);
      return;
    }
    this.#count(batches, results);
    group.forEach(({ waiting, slice }, index) => {
      this.#onWritten(waiting, slice, results[index]!);
    });
    this.#queues.release(batches);
    this.#notifyStored(batches, results);
  }

  /**
   * Waits for other hosts where one host alone has the rest of a large batch. Without it, that host would
   * fill one transaction after the other, and each new batch would wait for one.
   */
  async #waitForOtherHosts(): Promise<void> {
    if (this.#queues.size !== 1 || this.#recent.size < MANY_HOSTS) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ALONE_WAIT_MS);
      this.#onOtherHost = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#onOtherHost = null;
  }

  /** Resolves a batch when its last slice is durable, or when the store refuses it. */
  #onWritten(waiting: Waiting, slice: StoredBatch, result: BatchResult): void {
    waiting.written += slice.records.length;
    waiting.records += result.records;
    waiting.duplicates += result.duplicates;
    if (slice.partial === true && result.result === 'stored') return;
    this.#finish(waiting, () =>
      waiting.resolve({ ...result, records: waiting.records, duplicates: waiting.duplicates }),
    );
  }

  /** Removes a batch from its queue and answers it. */
  #finish(waiting: Waiting, answer: () => void): void {
    this.#queues.remove(waiting);
    answer();
  }

  /**
   * Notifies the live feed. An error there must not look like a failure of the store: the records are
   * durable.
   */
  #notifyStored(batches: StoredBatch[], results: BatchResult[]): void {
    if (this.#stored === null) return;
    const fresh = batches.filter((_, index) => results[index]!.records > 0);
    if (fresh.length === 0) return;
    try {
      this.#stored(fresh);
    } catch (error) {
      this.#counters.feed_failures += 1;
      if (this.#counters.feed_failures === 1) this.#log.error({ err: error }, 'the live feed failed');
    }
  }

  #recordsPerHost(): number {
    const before = performance.now() - RECENT_MS;
    for (const [id, ms] of this.#recent) {
      if (ms >= before) break;
      this.#recent.delete(id);
    }
    const hosts = this.#recent.size;
    if (hosts <= 1) return Number.POSITIVE_INFINITY;
    return Math.max(LEAST_RECORDS_OF_HOST, Math.floor(RECORDS_SHARED / hosts));
  }

  #count(batches: StoredBatch[], results: BatchResult[]): void {
    if (this.#failing) this.#log.info('the store accepts records again');
    this.#failing = false;
    this.#counters.transactions += 1;
    results.forEach(({ result, records, duplicates }, index) => {
      if (batches[index]!.partial !== true) this.#counters.batches += 1;
      if (result === 'known') this.#counters.known_batches += 1;
      this.#counters.records += records;
      this.#counters.duplicates += duplicates;
    });
  }

  #onFailure(error: unknown): void {
    this.#counters.failed_transactions += 1;
    if (this.#failing) return;
    this.#failing = true;
    this.#log.error(
      { reason: error instanceof Error ? error.message : String(error) },
      'the store cannot write records; agents keep them and send them again. Check free space and permissions of data_dir, or the database',
    );
  }

  /** True where the last transaction could not be stored. */
  get failing(): boolean {
    return this.#failing;
  }

  /** Resolves when everything submitted so far is stored or refused. */
  async settled(): Promise<void> {
    while (this.#lanes.size > 0) await Promise.all(this.#lanes);
  }

  counters(): Counters {
    return { ...this.#counters };
  }
}
