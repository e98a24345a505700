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
import { type StoredCounts, StoredTally } from '../store/stored_tally.ts';
import { Gathering } from './gathering.ts';
import { HostQueues } from './host_queues.ts';
import { partOf, type WrittenPart } from './written_part.ts';

/**
 * Records of a transaction that hosts share. Transactions stay short, so that batches that arrive meanwhile
 * do not wait for long.
 */
const RECORDS_SHARED = 1000;
/** Share of one host, however many hosts there are. */
const LEAST_RECORDS_OF_HOST = 25;
/** Records that must wait for a second transaction to be given to the store. */
const RECORDS_OF_SECOND = 1000;
/**
 * With this many recent hosts, a host that is alone in the next transaction waits for others, for at most
 * `ALONE_WAIT_MS`.
 */
const MANY_HOSTS = 20;
const ALONE_WAIT_MS = 20;
/** A host counts as recent for this time after its last batch. */
const RECENT_MS = 60_000;

export type IngestStore = Pick<Store, 'lastSeq' | 'write' | 'heartbeats' | 'heardHosts'>;

/** Receives batches that have become durable, for the live feed and for alerts. */
export interface StoredListener {
  /** Returns false while nobody wants the batches. Then they are forgotten as soon as the store was given them. */
  isListening: () => boolean;
  onStored: (batches: StoredBatch[]) => void;
}

export interface WriterOptions {
  /** Null where there is none. */
  stored?: StoredListener | null;
  /** See `Gathering`; default: 0. */
  gatherMs?: number;
}

/** A transaction that the store is writing. */
interface Transaction {
  parts: WrittenPart[];
  results: Promise<BatchResult[]>;
  noteEnd: () => void;
  /** The batches, for a listener; else null. */
  batches: StoredBatch[] | null;
}

export class Writer {
  readonly #store: IngestStore;
  readonly #log: Logger;
  readonly #stored: StoredListener | null;
  readonly #gathering: Gathering;
  readonly #queues = new HostQueues();
  /** Time of the last batch of each host, the oldest first. */
  readonly #recent = new Map<string, number>();
  /** Called when a batch of another host arrives while one host waits alone. */
  #onOtherHost: (() => void) | null = null;
  /** Transactions that the store is writing. */
  readonly #inFlight = new Set<Promise<unknown>>();
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
  readonly #tally = new StoredTally(null);

  constructor(store: IngestStore, log: Logger, { stored = null, gatherMs = 0 }: WriterOptions = {}) {
    this.#gathering = new Gathering(gatherMs);
    this.#stored = stored;
    this.#store = store;
    this.#log = log;
  }

  /**
   * Resolves when the batch is durable. Rejects where the store could not write it, and nothing of it is
   * stored. Calls `given` when the store was given all of it.
   */
  submit(batch: StoredBatch, given: () => void = () => {}): Promise<BatchResult> {
    return new Promise((resolve, reject) => {
      const { id } = batch.host;
      const size = batch.records.length;
      const counts = { written: 0, records: 0, duplicates: 0 };
      const waiting = { hostId: id, size, batch, ...counts, given, resolve, reject };
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
    const lane = this.#run().finally(() => {
      this.#lanes.delete(lane);
      this.#startLane();
    });
    this.#lanes.add(lane);
  }

  #needsSecond(): boolean {
    return this.#lanes.size < 2 && this.#hasMany();
  }

  #hasMany(): boolean {
    return this.#queues.freeRecords >= RECORDS_OF_SECOND;
  }

  /** Runs until nothing waits, or until little waits that the other lane can have: a small transaction costs nearly as much. */
  async #run(): Promise<void> {
    let transaction = await this.#beginLater(false);
    while (transaction !== null) {
      this.#startLane();
      const answer = await this.#complete(transaction);
      const hasLeftover = transaction.parts.some(({ isPartial }) => isPartial);
      // The answers to a thousand agents take longer than a small transaction. The store writes meanwhile.
      transaction = !hasLeftover && this.#hasMany() ? this.#begin() : null;
      answer();
      if (transaction === null && this.#lanes.size === 1 && this.#queues.size > 0) {
        transaction = await this.#beginLater(hasLeftover);
      }
    }
  }

  /** Begins the next transaction. `hasLeftover`: the one before wrote only a part of a waiting batch. */
  async #beginLater(hasLeftover: boolean): Promise<Transaction | null> {
    // Batches that have arrived on other sockets join this transaction.
    await new Promise((resolve) => setImmediate(resolve));
    if (hasLeftover && this.#lanes.size === 1) await this.#waitForOtherHosts();
    const { waitMs } = this.#gathering;
    if (waitMs > 0 && !this.#hasMany()) await new Promise((resolve) => setTimeout(resolve, waitMs));
    return this.#begin();
  }

  /**
   * Gives the store the next transaction; returns null where there is none. Nothing keeps the records from here on, unless
   * somebody listens: a thousand agents have some thousand of them in flight, which garbage collections would copy.
   */
  #begin(): Transaction | null {
    const group = this.#queues.select(this.#recordsPerHost());
    if (group.length === 0) return null;
    const parts = group.map(partOf);
    const batches = group.map(({ slice }) => slice);
    const noteEnd = this.#gathering.begin();
    const results = this.#store.write(batches);
    this.#inFlight.add(results);
    for (const { waiting, isPartial } of parts) if (!isPartial) waiting.given();
    return { parts, results, noteEnd, batches: this.#stored?.isListening() === true ? batches : null };
  }

  /** Waits for the end of a transaction. Resolves to a function that answers its batches. */
  async #complete({ parts, results: written, noteEnd, batches }: Transaction): Promise<() => void> {
    const answers: (() => void)[] = [];
    try {
      const results = await written;
      this.#count(parts, results);
      parts.forEach((part, index) => {
        const answer = this.#onWritten(part, results[index]!);
        if (answer !== null) answers.push(answer);
      });
      if (batches !== null) answers.push(() => this.#notifyStored(batches, results));
    } catch (error) {
      this.#onFailure(error);
      for (const { waiting } of parts) {
        this.#queues.remove(waiting);
        answers.push(() => waiting.reject(error));
      }
    }
    noteEnd();
    this.#inFlight.delete(written);
    this.#queues.release(parts);
    return () => {
      for (const answer of answers) answer();
    };
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

  /**
   * Notes the result of a slice. Returns a function that answers the batch where that was its last slice, or where the
   * store has refused it; else null.
   */
  #onWritten({ waiting, records, isPartial }: WrittenPart, result: BatchResult): (() => void) | null {
    waiting.written += records;
    waiting.records += result.records;
    waiting.duplicates += result.duplicates;
    if (isPartial && result.result === 'stored') return null;
    this.#queues.remove(waiting);
    return () => waiting.resolve({ ...result, records: waiting.records, duplicates: waiting.duplicates });
  }

  /**
   * Notifies the live feed. An error there must not look like a failure of the store: the records are
   * durable.
   */
  #notifyStored(batches: StoredBatch[], results: BatchResult[]): void {
    const fresh = batches.filter((_, index) => results[index]!.records > 0);
    if (fresh.length === 0) return;
    try {
      this.#stored?.onStored(fresh);
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

  #count(parts: readonly WrittenPart[], results: BatchResult[]): void {
    if (this.#failing) this.#log.info('the store accepts records again');
    this.#failing = false;
    this.#counters.transactions += 1;
    results.forEach(({ result, records, duplicates }, index) => {
      // A batch of which a part was stored before counts whole.
      if (records > 0) this.#tally.join(parts[index]!.tally);
      if (!parts[index]!.isPartial) this.#counters.batches += 1;
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

  /** Resolves when the transactions that the store is writing now have ended. */
  async storedSoFar(): Promise<void> {
    await Promise.allSettled(this.#inFlight);
  }

  /** Resolves when everything submitted so far is stored or refused. */
  async settled(): Promise<void> {
    while (this.#lanes.size > 0) await Promise.all(this.#lanes);
  }

  counters(): Counters {
    return { ...this.#counters };
  }

  stored(): StoredCounts {
    return this.#tally.counts();
  }
}
