/**
 * Writes the batches of some hosts, one transaction after the other. Batches that arrive meanwhile go into the next one.
 * A store has several lanes, each with its own hosts, so that some transactions are in flight at the same time.
 *
 * Batches are written into a working set first, and then stored in one short transaction (`batch_transaction.ts`), which
 * finds out if the set was right. So no other writer waits while this one counts, and a collector that is frozen mostly
 * holds no lock.
 */
import type { HostFacts } from '../../../protocol/call.ts';
import { type PackedBatches, pack } from '../sqlite/packed_batch.ts';
import type { BatchResult, StoredBatch } from '../store.ts';
import { BatchQueue, type WaitingBatch } from './batch_queue.ts';
import { readOrigin, type SetOrigin, storeWritten } from './batch_transaction.ts';
import { isConflict, isDuplicate } from './database_errors.ts';
import type { DatabasePool, Session } from './database_pool.ts';
import { type FoundRows, storeDictionaries } from './dictionary_writer.ts';
import { addHosts } from './host_adder.ts';
import { removeNul } from './nul_characters.ts';
import type { Partitions } from './partitions.ts';
import { DuplicateError, OutdatedHostsError, RetryError, StoredCallersError } from './retries.ts';
import {
  isAboutHosts,
  lackingOf,
  loadCallers,
  loadDictionaries,
  loadFound,
  loadLacking,
  loadStoredRecords,
} from './set_loader.ts';
import { WorkingSet } from './working_set.ts';

const MAX_ATTEMPTS = 8;
const READ_ONLY = 'READ ONLY ISOLATION LEVEL REPEATABLE READ';

export interface LaneOptions {
  pool: DatabasePool;
  /** A pool of its own: dictionaries never wait for a connection of those who need them. */
  dictionaries: DatabasePool;
  partitions: Partitions;
  slot: number;
  nowUs: () => number;
  helperPrograms: readonly string[];
}

/** Things that are looked at besides, after an attempt that failed. */
interface Attempt {
  /** Look for records that are stored already. */
  checksRecords: boolean;
  /** Hashes of processes that may be stored already. */
  callers: readonly Buffer[];
}

/** A working set with what it relies on. */
interface Filled {
  set: WorkingSet;
  origin: SetOrigin;
  /** Rows of dictionaries from other connections, which the next transaction looks for. */
  rows: FoundRows[];
}

export class Lane {
  readonly #options: LaneOptions;
  readonly #queue = new BatchQueue();
  #filled: Filled | null = null;
  #running: Promise<void> | null = null;

  constructor(options: LaneOptions) {
    this.#options = options;
  }

  /** Resolves when the batches are durable. */
  write(batches: StoredBatch[]): Promise<BatchResult[]> {
    const written = this.#queue.add(batches);
    this.#running ??= this.#run();
    return written;
  }

  async close(): Promise<void> {
    await this.#running;
    this.#forget();
  }

  async #run(): Promise<void> {
    // Other requests of this turn of the event loop join the transaction.
    await null;
    for (let waiting = this.#queue.next(); waiting.length > 0; waiting = this.#queue.next()) {
      await this.#writeAll(waiting);
    }
    this.#running = null;
  }

  async #writeAll(waiting: readonly WaitingBatch[]): Promise<void> {
    const attempt: Attempt = { checksRecords: false, callers: [] };
    for (let left = MAX_ATTEMPTS; ; left -= 1) {
      try {
        this.#queue.resolve(waiting, await this.#writeOnce(waiting, attempt));
        return;
      } catch (error) {
        if (this.#mend(error, attempt) && left > 1) continue;
        this.#queue.reject(waiting, error);
        return;
      }
    }
  }

  /** Prepares another attempt. Returns false where that would fail too. */
  #mend(error: unknown, attempt: Attempt): boolean {
    const set = this.#filled?.set;
    if (set !== undefined && error instanceof OutdatedHostsError) {
      set.rollback();
      for (const hostId of error.hostIds) set.dropHost(hostId);
      return true;
    }
    if (set !== undefined && error instanceof StoredCallersError) {
      set.rollback();
      attempt.callers = error.hashes;
      return true;
    }
    // The set may remember what was not stored.
    this.#forget();
    const isRepeated = error instanceof DuplicateError || isDuplicate(error);
    attempt.checksRecords ||= isRepeated;
    return isRepeated || error instanceof RetryError || isConflict(error);
  }

  async #writeOnce(waiting: readonly WaitingBatch[], attempt: Attempt): Promise<BatchResult[]> {
    const { pool, partitions, slot, nowUs } = this.#options;
    const batches = waiting.map(({ batch }) => batch);
    await partitions.ensureFor(batches);
    const packed = pack(batches);
    removeNul(packed);
    const filled = await this.#fill(batches, packed, attempt);
    const results = await this.#account(filled, packed, waiting);
    const { set, origin, rows } = filled;
    await storeWritten(pool, { set, origin, batches, results, rows, slot, nowUs: nowUs() });
    rows.length = 0;
    set.commit();
    return results;
  }

  /** Returns a working set with everything that the batches are about. */
  async #fill(batches: readonly StoredBatch[], packed: PackedBatches, attempt: Attempt): Promise<Filled> {
    if (this.#filled?.set.isFull === true) this.#forget();
    const { pool } = this.#options;
    const load = (session: Session) => this.#load(session, batches, packed, attempt);
    const lacking = this.#filled === null ? null : lackingOf(this.#filled.set, batches, packed);
    // Processes never change, so that no transaction is needed to see them in one state.
    const isStateNeeded = attempt.checksRecords || lacking === null || isAboutHosts(lacking);
    if (isStateNeeded) await pool.transaction(load, READ_ONLY);
    else if (lacking.callers.length + attempt.callers.length > 0) await pool.session(load);
    const filled = this.#filled!;
    const added = newHosts(filled.set, batches);
    if (added.size > 0) {
      await pool.transaction(async (session) => {
        await addHosts(session, filled.set, added);
        await loadLacking(session, filled.set, lackingOf(filled.set, batches, packed));
      });
    }
    return filled;
  }

  async #load(
    session: Session,
    batches: readonly StoredBatch[],
    packed: PackedBatches,
    attempt: Attempt,
  ): Promise<void> {
    const { nowUs, helperPrograms } = this.#options;
    if (this.#filled?.origin.generation !== session.generation) {
      this.#forget();
      const set = new WorkingSet(nowUs, helperPrograms);
      this.#filled = { set, origin: await readOrigin(session), rows: [] };
      await loadDictionaries(session, set);
    }
    const { set } = this.#filled!;
    await loadLacking(session, set, lackingOf(set, batches, packed));
    await loadCallers(session, set, attempt.callers);
    if (attempt.checksRecords) await loadStoredRecords(session, set, batches);
  }

  /** Writes batches into the set, again where it lacked rows of dictionaries that another writer had stored. */
  async #account(
    { set, rows }: Filled,
    packed: PackedBatches,
    waiting: readonly WaitingBatch[],
  ): Promise<BatchResult[]> {
    const { pool, dictionaries } = this.#options;
    for (let left = MAX_ATTEMPTS; left > 0; left -= 1) {
      set.begin();
      const startMs = performance.now();
      const results = set.write(packed);
      this.#queue.noteTime(waiting, performance.now() - startMs);
      const { added, found } = await storeDictionaries(dictionaries, set);
      rows.push(...added);
      if (found.length === 0) return results;
      set.rollback();
      await pool.session((session) => loadFound(session, set, found));
    }
    throw new RetryError('Other writers kept storing the same new rows.');
  }

  #forget(): void {
    this.#filled?.set.close();
    this.#filled = null;
  }
}

/** Returns the hosts that are not stored, and of which a batch is the next one of its stream. */
function newHosts(set: WorkingSet, batches: readonly StoredBatch[]): Map<string, HostFacts> {
  const added = new Map<string, HostFacts>();
  const positions = new Map<string, number>();
  for (const { stream, seq, host, partial } of batches) {
    if (set.hosts.get(host.id) !== undefined) continue;
    if (seq !== (positions.get(stream) ?? set.lastSeq(stream)) + 1) continue;
    added.set(host.id, host);
    if (partial !== true) positions.set(stream, seq);
  }
  return added;
}
