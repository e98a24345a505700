/** Everything that changes the findings in PostgreSQL, except retention. */
import { hash, randomBytes } from 'node:crypto';
import type {
  BatchResult,
  CloudCount,
  CloudInstance,
  CloudInventory,
  HeardHost,
  StoredBatch,
} from '../store.ts';
import { putCloudCounts, putCloudInstances, putCloudInventory } from './cloud_writer.ts';
import { isConflict, isServerFault } from './database_errors.ts';
import type { DatabasePool, Session } from './database_pool.ts';
import { FINDINGS_SCHEMA } from './findings_schema.ts';
import { storeHeartbeats } from './heartbeats_writer.ts';
import { Lane } from './lane.ts';
import type { Partitions } from './partitions.ts';
import { requireKnown } from './schema_steps.ts';

/** Slots for the sums that many writers add to. Two writers that chose the same one wait for each other. */
const SLOTS = 64;
const MAX_ATTEMPTS = 5;
/**
 * A fault of the server, such as a full disk, counts for so long unless a batch is stored meanwhile. Then a load balancer
 * sends agents here again, and the next batch shows whether there is room.
 */
const FAULT_MS = 30_000;

export interface PostgresWriterOptions {
  pool: DatabasePool;
  dictionaries: DatabasePool;
  partitions: Partitions;
  /** Transactions that are in flight at the same time, each about other hosts. */
  lanes: number;
  nowUs: () => number;
  helperPrograms: readonly string[];
}

export class PostgresWriter {
  readonly #pool: DatabasePool;
  readonly #lanes: Lane[];
  readonly #nowUs: () => number;
  #probe: Promise<void> | null = null;
  #confirmation: Promise<void> = Promise.resolve();
  #nextConfirmation: Promise<void> | null = null;
  /** Why the last batch could not be stored, if that was a fault of the server. */
  #fault: { error: unknown; atMs: number } | null = null;

  constructor({ lanes, ...options }: PostgresWriterOptions) {
    this.#pool = options.pool;
    this.#nowUs = options.nowUs;
    const first = randomBytes(1)[0]!;
    this.#lanes = Array.from(
      { length: lanes },
      (_, at) => new Lane({ ...options, slot: (first + at) % SLOTS }),
    );
  }

  /**
   * Resolves when what it says is as durable as a batch that is acknowledged: the agent deletes its records up to there. A
   * commit whose wait for a standby was given up can be seen before any standby has it.
   */
  async lastSeq(stream: string, hostId: string): Promise<number | null> {
    const [row] = await this.#pool.query<{ last_seq: number; host_id: string | null }>(
      `SELECT s.last_seq, h.host_id FROM streams s LEFT JOIN hosts h ON h.id = s.host WHERE s.stream = $1`,
      [stream],
    );
    if (row === undefined) return 0;
    if (row.host_id !== hostId) return null;
    await this.#confirm();
    return row.last_seq;
  }

  /**
   * Stores the batches of each host in order. Where it rejects, some may be stored; these are known afterwards.
   * Without batches it only finds out whether a commit would be durable, and whether the server could store the last one.
   */
  async write(batches: StoredBatch[]): Promise<BatchResult[]> {
    if (batches.length === 0) {
      // All who ask meanwhile get the same answer, so that questions never take the connections of the lanes.
      this.#probe ??= this.#commitNothing().finally(() => {
        this.#probe = null;
      });
      await this.#probe;
      // A commit needs no room in the tables.
      if (this.#fault !== null && performance.now() - this.#fault.atMs < FAULT_MS) throw this.#fault.error;
      return [];
    }
    const parts = this.#lanes.map(() => ({ batches: [] as StoredBatch[], places: [] as number[] }));
    batches.forEach((batch, place) => {
      const part = parts[laneOf(batch.host.id, this.#lanes.length)]!;
      part.batches.push(batch);
      part.places.push(place);
    });
    const results: BatchResult[] = new Array(batches.length);
    const settled = await Promise.allSettled(
      parts.map(async ({ batches: ofLane, places }, at) => {
        if (ofLane.length === 0) return;
        const written = await this.#lanes[at]!.write(ofLane);
        written.forEach((result, index) => {
          results[places[index]!] = result;
        });
      }),
    );
    const failed = settled.find((each) => each.status === 'rejected');
    if (failed !== undefined) {
      if (isServerFault(failed.reason)) this.#fault = { error: failed.reason, atMs: performance.now() };
      throw failed.reason;
    }
    this.#fault = null;
    return results;
  }

  /** Says why the server refused the last batch, and how long ago; null where it stored the last batch. */
  get fault(): { error: unknown; secondsAgo: number } | null {
    if (this.#fault === null) return null;
    const { error, atMs } = this.#fault;
    return { error, secondsAgo: Math.floor((performance.now() - atMs) / 1000) };
  }

  /** Resolves when everything that could be seen at the call is durable. Who asks meanwhile waits for the next commit. */
  #confirm(): Promise<void> {
    this.#nextConfirmation ??= this.#confirmation.then(() => {
      this.#nextConfirmation = null;
      const commit = this.#commitNothing();
      this.#confirmation = commit.catch(() => {});
      return commit;
    });
    return this.#nextConfirmation;
  }

  /**
   * Commits a transaction that changes nothing. It has a message in the write-ahead log that nobody reads: a commit without
   * any log waits neither for the disk nor for the standbys (PostgreSQL 15, xact.c, RecordTransactionCommit).
   */
  async #commitNothing(): Promise<void> {
    await this.#pool.transaction(async (session) => {
      await requireKnown(session, FINDINGS_SCHEMA);
      await session.query(`SELECT pg_logical_emit_message(true, 'imdswatch', '')`);
    });
  }

  heartbeats(heard: readonly HeardHost[]): Promise<void> {
    return this.#change((session) => storeHeartbeats(session, heard, this.#nowUs()));
  }

  putCloudCounts(counts: CloudCount[]): Promise<void> {
    return this.#change((session) => putCloudCounts(session, counts));
  }
  putCloudInstances(instances: CloudInstance[]): Promise<void> {
    return this.#change((session) => putCloudInstances(session, instances));
  }
  putCloudInventory(inventory: CloudInventory): Promise<void> {
    return this.#change((session) => putCloudInventory(session, inventory));
  }

  async #change(work: (session: Session) => Promise<void>): Promise<void> {
    for (let left = MAX_ATTEMPTS; ; left -= 1) {
      try {
        await this.#pool.transaction(work);
        return;
      } catch (error) {
        if (!isConflict(error) || left <= 1) throw error;
      }
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#lanes.map((lane) => lane.close()));
    await this.#probe?.catch(() => {});
    await this.#nextConfirmation?.catch(() => {});
    await this.#confirmation;
  }
}

/** The batches of a host are always written by the same lane, one after the other. */
function laneOf(hostId: string, lanes: number): number {
  return hash('sha256', hostId, 'buffer').readUInt32LE() % lanes;
}
