/** Everything that changes the findings, on the one connection that writes them. */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { HostFacts } from '../../../protocol/call.ts';
import { MAX_AHEAD_US } from '../packed_heartbeat.ts';
import type { BatchResult, CloudCount, CloudInstance, CloudInventory, HeardHost } from '../store.ts';
import { ArrivalNotes } from './arrival_notes.ts';
import { BatchWriter } from './batch_writer.ts';
import { CloudBriefs } from './cloud_briefs.ts';
import { CloudInventoryWriter } from './cloud_inventory_rows.ts';
import { StoredRows } from './counted_rows.ts';
import type { PackedBatches } from './packed_batch.ts';

export class FindingsWriter {
  readonly #database: DatabaseSync;
  readonly #nowUs: () => number;
  readonly #batches: BatchWriter;
  readonly #arrivals: ArrivalNotes;
  readonly #cloudInventory: CloudInventoryWriter;
  readonly #briefs: CloudBriefs;
  readonly #statements: ReturnType<typeof prepareAll>;

  /** `nowUs`: the collector's clock, in microseconds since 1970. */
  constructor(
    database: DatabaseSync,
    nowUs: () => number = () => Date.now() * 1000,
    helperPrograms: readonly string[] = [],
  ) {
    this.#database = database;
    this.#nowUs = nowUs;
    this.#arrivals = new ArrivalNotes(database);
    const rows = new StoredRows(database, this.#arrivals);
    this.#batches = new BatchWriter(database, nowUs, helperPrograms, undefined, rows);
    this.#cloudInventory = new CloudInventoryWriter(database);
    this.#briefs = new CloudBriefs(database);
    this.#statements = prepareAll(database);
  }

  /** See `Store.lastSeq`. */
  lastSeq(stream: string, hostId: string): number | null {
    return this.#batches.lastSeq(stream, hostId);
  }

  /** See `BatchWriter.missingCallers`. */
  missingCallers(batches: PackedBatches): number[] {
    return this.#batches.missingCallers(batches);
  }

  /** See `Store.write`. */
  write(batches: PackedBatches): BatchResult[] {
    return this.transaction(() => {
      const results = this.#batches.write(batches);
      this.#batches.flush();
      return results;
    });
  }

  /** Runs `work` in a transaction: all of its changes are stored, or none. */
  transaction<T>(work: () => T): T {
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      const result = work();
      this.#database.exec('COMMIT');
      return result;
    } catch (error) {
      this.forget();
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      throw error;
    }
  }

  /** Forgets all rows that are remembered from one batch to the next. Required after a deletion. */
  forget(): void {
    this.#batches.forget();
  }

  /** See `Store.heartbeats`. */
  heartbeats(heard: readonly HeardHost[]): void {
    const aheadUs = this.#nowUs() + MAX_AHEAD_US;
    this.transaction(() => {
      for (const { hostId, heardUs, firstUs, said } of heard) {
        this.#statements.setHeard.run(hostId, heardUs, aheadUs);
        if (said !== null) {
          this.#statements.setHeartbeat.run(hostId, said.timeUs, said.body, said.receivedUs, aheadUs);
        }
        if (firstUs !== null) this.#addHost(hostId, firstUs);
      }
    });
  }

  /** See `ArrivalStore`. */
  noteArrivals(nowUs: number): void {
    this.transaction(() => this.#arrivals.begin(nowUs));
  }

  /** See `ArrivalStore`. */
  followArrivals(nowUs: number): number {
    return this.transaction(() => this.#arrivals.follow(nowUs));
  }

  /** See `ArrivalStore`. */
  endArrivals(unlessFollowedUs: number): void {
    this.transaction(() => this.#arrivals.end(unlessFollowedUs));
  }

  /** See `ArrivalStore`. */
  forgetArrivals(upTo: number): void {
    this.transaction(() => this.#arrivals.forget(upTo));
  }

  /** Adds a host of which there is nothing yet. Its facts come with its first batch. */
  #addHost(id: string, firstUs: number): void {
    const facts: HostFacts = { id, name: id };
    const { changes } = this.#statements.addHost.run(
      facts.id,
      facts.name,
      JSON.stringify(facts),
      firstUs,
      firstUs,
    );
    if (changes > 0) this.#briefs.refresh(facts.id);
  }

  putCloudCounts(counts: CloudCount[]): void {
    this.transaction(() => {
      for (const { hostId, startUs, endUs, noToken, noTokenRejected } of counts) {
        // The sum of a quiet day replaces the hours of the day that were supplied while it was not over.
        if (noToken === 0 && (noTokenRejected ?? 0) === 0)
          this.#statements.dropZeroCounts.run(hostId, startUs, endUs);
        this.#statements.setCloudCount.run(hostId, startUs, endUs, noToken, noTokenRejected);
      }
      this.#refresh(counts);
    });
  }

  putCloudInstances(instances: CloudInstance[]): void {
    this.transaction(() => {
      for (const { hostId, httpTokens, hopLimit, httpEndpoint, suppliedUs } of instances) {
        this.#statements.setCloudInstance.run(hostId, httpTokens, hopLimit, suppliedUs, httpEndpoint);
      }
      this.#refresh(instances);
    });
  }

  putCloudInventory(inventory: CloudInventory): void {
    this.transaction(() => {
      this.#cloudInventory.write(inventory);
      this.#refresh(inventory.instances);
    });
  }

  #refresh(changed: readonly { hostId: string }[]): void {
    for (const hostId of new Set(changed.map((each) => each.hostId))) this.#briefs.refresh(hostId);
  }
}

function prepareAll(
  database: DatabaseSync,
): Record<
  'addHost' | 'setHeard' | 'setHeartbeat' | 'setCloudCount' | 'dropZeroCounts' | 'setCloudInstance',
  StatementSync
> {
  return {
    // A host whose batches had nothing new is there without times.
    addHost: database.prepare(
      `INSERT INTO hosts (host_id, name, facts, first_us, last_us) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (host_id) DO UPDATE SET first_us = excluded.first_us, last_us = excluded.last_us
         WHERE first_us IS NULL`,
    ),
    setHeard: database.prepare(
      `INSERT INTO last_heard (host_id, heard_us) VALUES (?1, ?2)
       ON CONFLICT (host_id) DO UPDATE SET heard_us = excluded.heard_us
         WHERE excluded.heard_us > heard_us OR heard_us > ?3`,
    ),
    setHeartbeat: database.prepare(
      `INSERT INTO heartbeats (host_id, time_us, body, received_us) VALUES (?1, ?2, ?3, ?4)
       ON CONFLICT (host_id) DO UPDATE SET time_us = excluded.time_us, body = excluded.body,
         received_us = excluded.received_us WHERE excluded.received_us >= received_us OR received_us > ?5`,
    ),
    dropZeroCounts: database.prepare(
      `DELETE FROM cloud_counts WHERE host_id = ? AND start_us >= ? AND end_us <= ?
         AND no_token = 0 AND coalesce(no_token_rejected, 0) = 0`,
    ),
    setCloudCount: database.prepare('INSERT OR REPLACE INTO cloud_counts VALUES (?, ?, ?, ?, ?)'),
    setCloudInstance: database.prepare('INSERT OR REPLACE INTO cloud_instances VALUES (?, ?, ?, ?, ?)'),
  };
}
