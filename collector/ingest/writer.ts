/**
 * Group commit: batches of all connections that arrive while one transaction is synced to disk go into the
 * next one, so that a sync is paid once for many. Hosts take turns, and each has a share of a transaction:
 * one that sends as fast as it can makes no transaction long.
 */
import type { Logger } from 'pino';
import type { Counters } from '../../protocol/records.ts';
import type { BatchResult, Store, StoredBatch } from '../store/store.ts';
import { sliceOf } from './batch_slice.ts';

const MAX_RECORDS_IN_TRANSACTION = 4000;
/**
 * What hosts share of a transaction: it stays short, so that whoever comes meanwhile does not wait for long.
 */
const RECORDS_SHARED = 1000;
/** Of one host, however many hosts there are. */
const LEAST_RECORDS_OF_HOST = 25;
/**
 * From so many recent hosts on, one whose batches alone wait for the next transaction waits for others, or
 * for this time.
 */
const MANY_HOSTS = 20;
const ALONE_WAIT_MS = 20;
/** A host counts among those that share the transactions for so long after its last batch. */
const RECENT_MS = 60_000;

/** What ingest needs of a store. */
export type IngestStore = Pick<Store, 'lastSeq' | 'write' | 'heartbeat'>;

interface Waiting {
  batch: StoredBatch;
  /** Records of it that were written before. */
  written: number;
  /** What became of those. */
  records: number;
  duplicates: number;
  resolve: (result: BatchResult) => void;
  reject: (error: unknown) => void;
}

/** What a transaction takes of a batch. */
interface Slice {
  of: Waiting;
  slice: StoredBatch;
}

export interface WriterOptions {
  /** Told what is newly durable, for whoever watches it come in. Nobody listens: null. */
  stored?: ((batches: StoredBatch[]) => void) | null;
}

export class Writer {
  readonly #store: IngestStore;
  readonly #log: Logger;
  readonly #stored: ((batches: StoredBatch[]) => void) | null;
  /** By host; the one whose turn it is first. */
  readonly #queues = new Map<string, Waiting[]>();
  /** When a batch of each host came last; the longest ago first. */
  readonly #recent = new Map<string, number>();
  /** Called when another host's batch comes while one host alone waits. */
  #hasCompany: (() => void) | null = null;
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

  /**
   * Resolves when the batch is durable; rejects when the store could not take it, and nothing of it is
   * stored.
   */
  submit(batch: StoredBatch): Promise<BatchResult> {
    return new Promise((resolve, reject) => {
      const { id } = batch.host;
      const waiting = { batch, written: 0, records: 0, duplicates: 0, resolve, reject };
      const queue = this.#queues.get(id);
      if (queue === undefined) {
        this.#queues.set(id, [waiting]);
        this.#hasCompany?.();
      } else queue.push(waiting);
      this.#recent.delete(id);
      this.#recent.set(id, performance.now());
      this.#running ??= this.#run();
    });
  }

  async #run(): Promise<void> {
    /** The transaction before took a part only of what waited. */
    let hasLeftover = false;
    while (this.#queues.size > 0) {
      // Lets what has already arrived on other sockets join this transaction.
      await new Promise((resolve) => setImmediate(resolve));
      if (hasLeftover) await this.#whileAlone();
      const group = this.#nextGroup();
      const batches = group.map(({ slice }) => slice);
      hasLeftover = group.some(({ slice }) => slice.partial === true);
      let results: BatchResult[];
      try {
        results = await this.#store.write(batches);
      } catch (error) {
        this.#onFailure(error);
        for (const { of } of group) this.#end(of, () => of.reject(error));
        continue;
      }
      this.#count(batches, results);
      group.forEach(({ of, slice }, index) => {
        this.#onWritten(of, slice, results[index]!);
      });
      this.#tell(batches, results);
    }
    this.#running = null;
  }

  /**
   * What is left of one host's large batches makes no transactions one after the other among many hosts:
   * whoever else comes would wait for each of them.
   */
  async #whileAlone(): Promise<void> {
    if (this.#queues.size !== 1 || this.#recent.size < MANY_HOSTS) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ALONE_WAIT_MS);
      this.#hasCompany = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#hasCompany = null;
  }

  /** A batch is answered when its last slice is durable, or when its stream does not want it. */
  #onWritten(of: Waiting, slice: StoredBatch, result: BatchResult): void {
    of.written += slice.records.length;
    of.records += result.records;
    of.duplicates += result.duplicates;
    if (slice.partial === true && result.result === 'stored') return;
    this.#end(of, () => of.resolve({ ...result, records: of.records, duplicates: of.duplicates }));
  }

  /** Takes a batch out of its queue, where it may still stand with what is left of it. */
  #end(of: Waiting, answer: () => void): void {
    const { id } = of.batch.host;
    const queue = this.#queues.get(id);
    if (queue?.[0] === of) queue.shift();
    if (queue?.length === 0) this.#queues.delete(id);
    answer();
  }

  /** What goes wrong with those who watch must not look like a store that failed: the records are durable. */
  #tell(batches: StoredBatch[], results: BatchResult[]): void {
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

  /** One batch of each host in turn, until the transaction or the host's share of it is full. */
  #nextGroup(): Slice[] {
    const group: Slice[] = [];
    const share = this.#shareOfHost();
    /** By host: records taken, and how many of its batches are in the group. */
    const taken = new Map<string, { records: number; batches: number }>();
    let room = MAX_RECORDS_IN_TRANSACTION;
    for (let found = true; found && room > 0; ) {
      found = false;
      for (const [id, queue] of this.#queues) {
        const of = taken.get(id) ?? { records: 0, batches: 0 };
        const next = queue[of.batches];
        if (next === undefined || of.records >= share || room <= 0) continue;
        const left = next.batch.records.length - next.written;
        const size = Math.min(left, share - of.records, room);
        group.push({ of: next, slice: sliceOf(next.batch, next.written, next.written + size) });
        // Behind a batch of which only a part fits, nothing of this host follows.
        const records = size < left ? share : of.records + Math.max(1, size);
        taken.set(id, { records, batches: of.batches + 1 });
        room -= Math.max(1, size);
        found = true;
      }
    }
    // Those that were not served are the first of the next transaction.
    for (const id of taken.keys()) {
      const queue = this.#queues.get(id)!;
      this.#queues.delete(id);
      this.#queues.set(id, queue);
    }
    return group;
  }

  #shareOfHost(): number {
    const before = performance.now() - RECENT_MS;
    for (const [id, ms] of this.#recent) {
      if (ms >= before) break;
      this.#recent.delete(id);
    }
    const hosts = this.#recent.size;
    if (hosts <= 1) return MAX_RECORDS_IN_TRANSACTION;
    return Math.max(LEAST_RECORDS_OF_HOST, Math.floor(RECORDS_SHARED / hosts));
  }

  #count(batches: StoredBatch[], results: BatchResult[]): void {
    if (this.#failing) this.#log.info('the store takes records again');
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
