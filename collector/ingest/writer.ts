/**
 * Group commit: batches of all connections that arrive while one transaction is synced to disk go into the next one, so
 * that a sync is paid once for many.
 */
import type { Logger } from 'pino';
import type { Counters } from '../../protocol/records.ts';
import type { BatchResult, Store, StoredBatch } from '../store/store.ts';

const MAX_RECORDS_IN_TRANSACTION = 4000;

/** What ingest needs of a store. */
export type IngestStore = Pick<Store, 'lastSeq' | 'write' | 'heartbeat'>;

interface Waiting {
  batch: StoredBatch;
  resolve: (result: BatchResult) => void;
  reject: (error: unknown) => void;
}

export interface WriterOptions {
  /** Told what is newly durable, for whoever watches it come in. Nobody listens: null. */
  stored?: ((batches: StoredBatch[]) => void) | null;
}

export class Writer {
  readonly #store: IngestStore;
  readonly #log: Logger;
  readonly #stored: ((batches: StoredBatch[]) => void) | null;
  #queue: Waiting[] = [];
  #running: Promise<void> | null = null;
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

  /** Resolves when the batch is durable; rejects when the store could not take it, and nothing of it is stored. */
  submit(batch: StoredBatch): Promise<BatchResult> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ batch, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  async #run(): Promise<void> {
    while (this.#queue.length > 0) {
      // Lets what has already arrived on other sockets join this transaction.
      await new Promise((resolve) => setImmediate(resolve));
      const group = this.#nextGroup();
      let results: BatchResult[];
      try {
        results = await this.#store.write(group.map(({ batch }) => batch));
      } catch (error) {
        this.#onFailure(error);
        for (const { reject } of group) reject(error);
        continue;
      }
      this.#count(results);
      group.forEach(({ resolve }, index) => {
        resolve(results[index]!);
      });
      this.#tell(group, results);
    }
    this.#running = null;
  }

  /** What goes wrong with those who watch must not look like a store that failed: the records are durable. */
  #tell(group: Waiting[], results: BatchResult[]): void {
    if (this.#stored === null) return;
    const fresh = group.filter((_, index) => results[index]!.records > 0).map(({ batch }) => batch);
    if (fresh.length === 0) return;
    try {
      this.#stored(fresh);
    } catch (error) {
      this.#counters.feed_failures += 1;
      if (this.#counters.feed_failures === 1) this.#log.error({ err: error }, 'the live feed failed');
    }
  }

  #nextGroup(): Waiting[] {
    let records = 0;
    let size = 0;
    for (const { batch } of this.#queue) {
      records += batch.records.length;
      if (size > 0 && records > MAX_RECORDS_IN_TRANSACTION) break;
      size += 1;
    }
    return this.#queue.splice(0, size);
  }

  #count(results: BatchResult[]): void {
    if (this.#failing) this.#log.info('the store takes records again');
    this.#failing = false;
    this.#counters.transactions += 1;
    for (const { result, records, duplicates } of results) {
      this.#counters.batches += 1;
      if (result === 'known') this.#counters.known_batches += 1;
      this.#counters.records += records;
      this.#counters.duplicates += duplicates;
    }
  }

  #onFailure(error: unknown): void {
    this.#counters.failed_transactions += 1;
    if (this.#failing) return;
    this.#failing = true;
    this.#log.error(
      { reason: error instanceof Error ? error.message : String(error) },
      'the store cannot take records; agents keep them and send them again. Check the free space and the permissions of data_dir',
    );
  }

  /** The last transaction could not be stored. */
  get failing(): boolean {
    return this.#failing;
  }

  /** Resolves when everything submitted so far is stored or refused. */
  async settled(): Promise<void> {
    while (this.#running !== null) await this.#running;
  }

  counters(): Counters {
    return { ...this.#counters };
  }
}
