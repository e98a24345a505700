/**
 * Writes the batches of some hosts, one transaction after the other. Batches that arrive meanwhile go into the next one.
 * A store has several lanes, each with its own hosts, so that some transactions are in flight at the same time.
 *
 * One transaction locks the rows of its hosts and of their streams in the order of their keys, compares the positions of
 * the streams, writes, and sets the positions. So a batch is stored once, whichever collector it comes to, and one that is
 * in flight elsewhere is waited for.
 */
import type { BatchResult, StoredBatch } from '../store.ts';
import { WRITERS_LOCK } from './advisory_locks.ts';
import { DuplicateError, RetryError, storeCallers, storeChanges } from './changes_writer.ts';
import { lockBriefs, refreshBriefs } from './cloud_briefs.ts';
import { isConflict } from './database_errors.ts';
import type { DatabasePool, Session } from './database_pool.ts';
import { areStored, storeDictionaries } from './dictionary_writer.ts';
import { FINDINGS_SCHEMA } from './findings_schema.ts';
import type { Partitions } from './partitions.ts';
import { requireKnown } from './schema_steps.ts';
import {
  loadCallers,
  loadCoverageDays,
  loadDictionaries,
  loadFound,
  loadHosts,
  loadStoredRecords,
} from './set_loader.ts';
import { WorkingSet } from './working_set.ts';
import { CALLERS } from './working_tables.ts';

/** Records of one transaction, unless one request has more. */
const MAX_RECORDS = 4_000;
const MAX_ATTEMPTS = 8;

export interface LaneOptions {
  pool: DatabasePool;
  /** A pool of its own: a transaction that waits for a dictionary must not wait for its own connection. */
  dictionaries: DatabasePool;
  partitions: Partitions;
  slot: number;
  nowUs: () => number;
  helperPrograms: readonly string[];
}

interface Request {
  batches: StoredBatch[];
  resolve: (results: BatchResult[]) => void;
  reject: (error: unknown) => void;
}

interface HostRow {
  id: number;
  host_id: string;
  name: string;
  facts: string;
  first_us: number | null;
  last_us: number | null;
  version: number;
}

/** Why a transaction is tried again, and how. */
interface Attempt {
  /** Look for records that are stored already. */
  checkRecords: boolean;
}

export class Lane {
  readonly #options: LaneOptions;
  readonly #requests: Request[] = [];
  #set: WorkingSet | null = null;
  /** State of the database that the set was filled from. */
  #generation = 0;
  #epoch: number | null = null;
  #running: Promise<void> | null = null;

  constructor(options: LaneOptions) {
    this.#options = options;
  }

  /** Resolves when the batches are durable. */
  write(batches: StoredBatch[]): Promise<BatchResult[]> {
    return new Promise((resolve, reject) => {
      this.#requests.push({ batches, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  async close(): Promise<void> {
    await this.#running;
    this.#forget();
  }

  async #run(): Promise<void> {
    while (this.#requests.length > 0) {
      const requests = this.#next();
      try {
        const results = await this.#writeAll(requests.flatMap(({ batches }) => batches));
        for (const { batches, resolve } of requests) resolve(results.splice(0, batches.length));
      } catch (error) {
        for (const { reject } of requests) reject(error);
      }
    }
    this.#running = null;
  }

  #next(): Request[] {
    let records = 0;
    let end = 0;
    for (const { batches } of this.#requests) {
      records += batches.reduce((sum, batch) => sum + batch.records.length, 0);
      if (end > 0 && records > MAX_RECORDS) break;
      end += 1;
    }
    return this.#requests.splice(0, end);
  }

  async #writeAll(batches: StoredBatch[]): Promise<BatchResult[]> {
    const attempt: Attempt = { checkRecords: false };
    for (let left = MAX_ATTEMPTS; ; left -= 1) {
      try {
        return await this.#writeOnce(batches, attempt);
      } catch (error) {
        // The set may remember what was not stored.
        this.#forget();
        if (error instanceof DuplicateError) attempt.checkRecords = true;
        const isRetried = error instanceof DuplicateError || error instanceof RetryError || isConflict(error);
        if (!isRetried || left <= 1) throw error;
      }
    }
  }

  async #writeOnce(batches: StoredBatch[], { checkRecords }: Attempt): Promise<BatchResult[]> {
    const { pool, partitions, nowUs } = this.#options;
    if (this.#set?.isFull === true) this.#forget();
    await partitions.ensureFor(batches);
    const versions = new Map<number, number>();
    const results = await pool.transaction(async (session) => {
      const [set, hosts, positions] = await Promise.all([
        this.#begin(session),
        lockHosts(session, batches),
        lockStreams(session, batches),
      ]);
      const needed = storableHosts(batches, positions);
      await this.#addHosts(session, batches, needed, hosts);
      const rowOf = (hostId: string) => hosts.get(hostId)!.id;
      await this.#loadHosts(
        session,
        set,
        [...needed].map((id) => hosts.get(id)!),
      );
      for (const [stream, { host, lastSeq }] of positions) set.loadStream(stream, host, lastSeq);
      const storable = batches.filter(({ host }) => needed.has(host.id));
      await loadCoverageDays(session, set, storable, rowOf);
      if (checkRecords) await loadStoredRecords(session, set, storable, rowOf);
      const { results: written, newCallers } = await this.#account(session, set, batches);
      const stored = new Set<number>();
      written.forEach(({ result }, index) => {
        if (result === 'stored') stored.add(rowOf(batches[index]!.host.id));
      });
      await storeChanges(session, set, {
        slot: this.#options.slot,
        nowUs: nowUs(),
        hosts: [...stored],
        newCallers,
        positions: new Map([...positions].map(([stream, { lastSeq }]) => [stream, lastSeq])),
      });
      for (const id of stored) versions.set(id, set.hosts.get(id)!.version + 1);
      return written;
    });
    const set = this.#set!;
    set.commit();
    for (const [id, version] of versions) set.hosts.get(id)!.version = version;
    return results;
  }

  /** Returns the working set, a new one where the old one is of another state of the database. */
  async #begin(session: Session): Promise<WorkingSet> {
    const { nowUs, helperPrograms } = this.#options;
    const [, [row]] = await Promise.all([
      session.query(`SELECT pg_advisory_xact_lock_shared(${WRITERS_LOCK})`),
      session.query<{ value: number; needed: number }>(
        `SELECT value, (SELECT needed FROM imdswatch_schemas WHERE name = $1) AS needed FROM sums WHERE name = 'epoch'`,
        [FINDINGS_SCHEMA.name],
      ),
    ]);
    // A newer release may have changed the schema while this collector runs.
    if (row!.needed > FINDINGS_SCHEMA.steps.length) await requireKnown(session, FINDINGS_SCHEMA);
    // After a failover the new primary may lack what the old one had.
    if (this.#generation !== session.generation || this.#epoch !== row!.value) this.#forget();
    this.#generation = session.generation;
    this.#epoch = row!.value;
    if (this.#set === null) {
      this.#set = new WorkingSet(nowUs, helperPrograms);
      await loadDictionaries(session, this.#set);
    }
    return this.#set;
  }

  async #addHosts(
    session: Session,
    batches: readonly StoredBatch[],
    needed: ReadonlySet<string>,
    hosts: Map<string, HostRow>,
  ): Promise<void> {
    const facts = new Map(batches.map(({ host }) => [host.id, host]));
    const added = [...needed].filter((id) => !hosts.has(id)).sort();
    if (added.length === 0) return;
    // Hosts are locked before others are inserted, so that who waits here holds nothing that the other one waits for.
    const rows = await session.query<HostRow>(
      `INSERT INTO hosts (host_id, name, facts)
       SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) AS v (host_id, name, facts) ORDER BY host_id COLLATE "C"
       ON CONFLICT (host_id) DO NOTHING RETURNING id, host_id, name, facts, first_us, last_us, version`,
      [added, added.map((id) => facts.get(id)!.name), added.map((id) => JSON.stringify(facts.get(id)!))],
    );
    if (rows.length < added.length) throw new RetryError('A host was stored by another writer.');
    for (const row of rows) {
      hosts.set(row.host_id, row);
      this.#set!.hosts.set(row.id, { version: row.version, days: new Set() });
      this.#set!.loadHost(row);
    }
    await lockBriefs(session, false);
    await refreshBriefs(session, added);
  }

  async #loadHosts(session: Session, set: WorkingSet, hosts: readonly HostRow[]): Promise<void> {
    const outdated = hosts.filter(({ id, version }) => set.hosts.get(id)?.version !== version);
    for (const host of outdated) {
      set.dropHost(host.id);
      set.hosts.set(host.id, { version: host.version, days: new Set() });
      set.loadHost(host);
    }
    await loadHosts(
      session,
      set,
      outdated.map(({ id }) => id),
    );
  }

  /** Runs the accounting, again where it lacked rows that another writer had stored. */
  async #account(
    session: Session,
    set: WorkingSet,
    batches: readonly StoredBatch[],
  ): Promise<{ results: BatchResult[]; newCallers: Set<number> }> {
    for (let left = MAX_ATTEMPTS; left > 0; left -= 1) {
      set.begin();
      const results = set.write(batches);
      const { added: stored, found } = await storeDictionaries(this.#options.dictionaries, set);
      if (!(await areStored(session, stored))) throw new RetryError('The dictionary is on another server.');
      const ids = set.ids('callers');
      const added = set.changes(CALLERS).rows.filter((row) => !ids.hasStored(row[0] as number));
      if (found.length > 0) {
        set.rollback();
        await loadFound(session, set, found);
        continue;
      }
      const hashes = added.map((row) => row[1]!);
      if (hashes.length > 0 && (await hasCallers(session, hashes))) {
        set.rollback();
        await loadFound(session, set, stored);
        await loadCallers(session, set, hashes);
        continue;
      }
      if (added.length > 0) await storeCallers(session, set, added);
      return { results, newCallers: new Set(added.map((row) => row[0] as number)) };
    }
    throw new RetryError('Other writers kept storing the same new rows.');
  }

  #forget(): void {
    this.#set?.close();
    this.#set = null;
  }
}

async function hasCallers(session: Session, hashes: readonly unknown[]): Promise<boolean> {
  const rows = await session.query('SELECT 1 FROM callers WHERE hash = ANY ($1)', [hashes]);
  return rows.length > 0;
}

async function lockHosts(session: Session, batches: readonly StoredBatch[]): Promise<Map<string, HostRow>> {
  const ids = [...new Set(batches.map(({ host }) => host.id))];
  const rows = await session.query<HostRow>(
    `SELECT id, host_id, name, facts, first_us, last_us, version FROM hosts WHERE host_id = ANY ($1)
     ORDER BY host_id FOR UPDATE`,
    [ids],
  );
  return new Map(rows.map((row) => [row.host_id, row]));
}

interface Position {
  host: number;
  lastSeq: number;
}

async function lockStreams(
  session: Session,
  batches: readonly StoredBatch[],
): Promise<Map<string, Position>> {
  const streams = [...new Set(batches.map(({ stream }) => stream))];
  const rows = await session.query<{ stream: string; host: number; last_seq: number }>(
    'SELECT stream, host, last_seq FROM streams WHERE stream = ANY ($1) ORDER BY stream FOR UPDATE',
    [streams],
  );
  return new Map(rows.map(({ stream, host, last_seq: lastSeq }) => [stream, { host, lastSeq }]));
}

/** Returns the hosts of which a batch is the next one of its stream. */
function storableHosts(
  batches: readonly StoredBatch[],
  positions: ReadonlyMap<string, Position>,
): Set<string> {
  const last = new Map([...positions].map(([stream, { lastSeq }]) => [stream, lastSeq]));
  const hosts = new Set<string>();
  for (const { stream, seq, host, partial } of batches) {
    if (seq !== (last.get(stream) ?? 0) + 1) continue;
    hosts.add(host.id);
    if (partial !== true) last.set(stream, seq);
  }
  return hosts;
}
