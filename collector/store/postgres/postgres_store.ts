/**
 * The store of large fleets: a PostgreSQL database that many collectors share. Its collectors keep nothing of their own,
 * so that an agent may come to any of them.
 */
import { OperatorError } from '../../../common/operator_error.ts';
import type { ArrivedCalls, WaitingArrivals } from '../arrivals.ts';
import type { OnSchemaChange } from '../schema_change.ts';
import type {
  BatchResult,
  CloudCount,
  CloudInstance,
  CloudInventory,
  HeardHost,
  Retention,
  RetentionResult,
  Store,
  StoredBatch,
} from '../store.ts';
import { endArrivals, followArrivals, forgetArrivals, noteArrivals } from './arrival_notes.ts';
import { ArrivalsReader } from './arrivals.ts';
import { COLLECTOR_NAMES } from './connected_collectors.ts';
import { hasNoRoom } from './database_errors.ts';
import { DatabasePool } from './database_pool.ts';
import type { DatabaseAddress } from './database_url.ts';
import { type Durability, readDurability } from './durability.ts';
import { FINDINGS_SCHEMA } from './findings_schema.ts';
import { Partitions } from './partitions.ts';
import { PostgresReader } from './postgres_reader.ts';
import { PostgresWriter } from './postgres_writer.ts';
import { Retainer } from './retention.ts';
import { migrate } from './schema_steps.ts';
import { PrimaryViews, type Views } from './views.ts';

export interface PostgresStoreOptions {
  /** Names of programs that are not the workload, besides the built-in ones. */
  helperPrograms?: readonly string[];
  /** The collector's clock, in microseconds since 1970. */
  nowUs?: () => number;
  /** Transactions that are in flight at the same time, each about other hosts. */
  lanes?: number;
  onSchemaChange?: OnSchemaChange;
}

const LANES = 2;
/** Connections for questions. The page asks several at a time. */
export const READERS = 6;

export class PostgresStore extends PostgresReader implements Store {
  /** The views of its questions. */
  readonly views: Views;
  readonly #pools: readonly DatabasePool[];
  readonly #writes: DatabasePool;
  readonly #writer: PostgresWriter;
  readonly #retainer: Retainer;
  readonly #arrivals: ArrivalsReader;

  private constructor(
    { questions, writes, dictionaries }: Record<'questions' | 'writes' | 'dictionaries', DatabasePool>,
    partitions: Partitions,
    options: Required<Omit<PostgresStoreOptions, 'onSchemaChange'>>,
  ) {
    const views = new PrimaryViews(questions);
    super(views);
    this.views = views;
    this.#pools = [questions, writes, dictionaries];
    this.#writes = writes;
    this.#writer = new PostgresWriter({ pool: writes, dictionaries, partitions, ...options });
    this.#retainer = new Retainer(writes, partitions);
    this.#arrivals = new ArrivalsReader(questions);
  }

  /** Opens the store, and brings its schema up to date. Throws `OperatorError`. */
  static async open(
    address: DatabaseAddress,
    {
      helperPrograms = [],
      nowUs = () => Date.now() * 1000,
      lanes = LANES,
      onSchemaChange,
    }: PostgresStoreOptions = {},
  ): Promise<PostgresStore> {
    // Heartbeats, figures of the cloud and retention are written besides the lanes.
    const writes = new DatabasePool(address, {
      max: lanes + 3,
      applicationName: COLLECTOR_NAMES.writer,
      prepares: true,
    });
    const dictionaries = new DatabasePool(address, {
      max: lanes + 1,
      applicationName: COLLECTOR_NAMES.dictionaries,
      prepares: true,
    });
    const questions = new DatabasePool(address, { max: READERS, applicationName: COLLECTOR_NAMES.reader });
    try {
      await migrate(writes, FINDINGS_SCHEMA, onSchemaChange);
      const partitions = new Partitions(dictionaries, nowUs);
      await partitions.ensureNext();
      return new PostgresStore({ questions, writes, dictionaries }, partitions, {
        helperPrograms,
        nowUs,
        lanes,
      });
    } catch (error) {
      await Promise.all([writes, dictionaries, questions].map((pool) => pool.close()));
      throw error;
    }
  }

  lastSeq(stream: string, hostId: string): Promise<number | null> {
    return this.#writer.lastSeq(stream, hostId);
  }
  write(batches: StoredBatch[]): Promise<BatchResult[]> {
    return this.#writer.write(batches);
  }
  heartbeats(heard: readonly HeardHost[]): Promise<void> {
    return this.#writer.heartbeats(heard);
  }
  putCloudCounts(counts: CloudCount[]): Promise<void> {
    return this.#writer.putCloudCounts(counts);
  }
  putCloudInstances(instances: CloudInstance[]): Promise<void> {
    return this.#writer.putCloudInstances(instances);
  }
  putCloudInventory(inventory: CloudInventory): Promise<void> {
    return this.#writer.putCloudInventory(inventory);
  }
  async noteArrivals(nowUs: number): Promise<void> {
    await noteArrivals(this.#writes, nowUs);
  }
  async followArrivals(nowUs: number): Promise<number> {
    return followArrivals(this.#writes, nowUs);
  }
  endArrivals(unlessFollowedUs: number): Promise<void> {
    return endArrivals(this.#writes, unlessFollowedUs);
  }
  arrivals(after: number, limit: number): Promise<ArrivedCalls> {
    return this.#arrivals.arrivals(after, limit);
  }
  arrivalsBehind(after: number): Promise<WaitingArrivals> {
    return this.#arrivals.arrivalsBehind(after);
  }
  forgetArrivals(upTo: number): Promise<void> {
    return forgetArrivals(this.#writes, upTo);
  }
  retain(retention: Retention, nowUs: number): Promise<RetentionResult> {
    return this.#retainer.retain(retention, nowUs);
  }

  /** Says what an acknowledgement is worth in this database now. */
  durability(): Promise<Durability> {
    return this.#writes.session(readDurability);
  }

  /** Says in a sentence why batches cannot be stored; null where the last one was stored. */
  problem(): string | null {
    const fault = this.#writer.fault;
    return fault === null ? null : faultText(fault.error, fault.secondsAgo);
  }

  async backup(): Promise<void> {
    throw new OperatorError(
      1,
      'The findings are in PostgreSQL, which has its own tools for backups: pg_basebackup with an archive of its write-ahead log (restores to any moment), pg_dump (one consistent copy), or the snapshots of a managed service.',
    );
  }

  async close(): Promise<void> {
    await this.#writer.close();
    await Promise.all(this.#pools.map((pool) => pool.close()));
  }
}

function faultText(error: unknown, secondsAgo: number): string {
  const reason = (error as Error).message;
  const kept = 'Agents keep their records until it stores them again.';
  return hasNoRoom(error)
    ? `The database has no room: it refused the last batch ${secondsAgo} s ago (${reason}). Free space on its disk, or add some. ${kept}`
    : `The database refused the last batch ${secondsAgo} s ago (${reason}). ${kept}`;
}
