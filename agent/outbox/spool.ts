/**
 * What the collector has not acknowledged yet, on disk. Records are appended to one lane a kind; a batch takes the oldest
 * of them and gets a sequence number; what a number carries never changes, so a batch sent twice is stored once.
 *
 * Durability: every record is handed to the kernel before `append` returns, so a killed agent loses nothing. It is on the
 * disk at most `SYNC_WINDOW_MS` later (one fdatasync for all that came in meanwhile), so a power cut costs at
 * most the records of that window; the next start counts `power_cuts`, and in `lost` the records that it knows of.
 *
 * Bounded in bytes: when full, the oldest segment of the lowest lane in `DROP_ORDER` goes first. Records of batches on
 * their way are never dropped. While the disk cannot be written, records wait in a bounded queue in memory.
 */
import { closeSync, fdatasync, fsyncSync, mkdirSync, openSync, readdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Logger } from 'pino';
import { OperatorError } from '../../common/operator_error.ts';
import type { Counters } from '../../protocol/records.ts';
import { type Batch, Batches, type SpentFile } from './batches.ts';
import { isSegmentFile, Lane } from './lane.ts';
import { DROP_ORDER, EVIDENCE_LANES, type LaneName } from './lanes.ts';
import { Ledger, type LedgerEntry } from './ledger.ts';
import { FrameEncoder } from './record_frame.ts';
import { JOURNAL_FILE } from './roll_up_journal.ts';
import { bootId, lockSpool } from './spool_lock.ts';

/** Of the counters that survive a restart, those that may stand for lost evidence too. */
const EVIDENCE_COUNTERS = ['rejected', 'unreadable_files', 'ledgers_lost', 'batches_forgotten_by_collector'];

const SYNC_WINDOW_MS = 500;
const RETRY_DISK_MS = 1000;
const MIN_SEGMENT_BYTES = 16 * 1024;
const MAX_SEGMENT_BYTES = 1024 * 1024;
const SEGMENTS_IN_SPOOL = 32;

export interface SpoolOptions {
  directory: string;
  /** Bound on the segment files. */
  maxBytes: number;
  /** Bound on records in memory while the disk cannot be written. */
  maxMemoryBytes?: number;
  /** Whose records these are. A spool that another host left (a cloned image) is discarded, and counted. */
  hostId: string;
  log: Logger;
}

const fdatasyncAsync = promisify(fdatasync);

export class Spool {
  readonly #directory: string;
  readonly #maxBytes: number;
  readonly #maxMemoryBytes: number;
  readonly #hostId: string;
  readonly #log: Logger;
  readonly #bootId = bootId();
  readonly #encoder = new FrameEncoder();
  #lanes!: Record<LaneName, Lane>;
  #batches!: Batches;
  readonly #segmentBytes: number;
  #ledger: Ledger | null = null;
  #unlock: (() => void) | null = null;
  #diskBytes = 0;
  /** Files whose records are acknowledged; they go once the ledger that says so is on the disk. */
  #spent: SpentFile[] = [];
  #directoryDirty = false;
  #fault: string | null = null;
  #syncTimer: NodeJS.Timeout | null = null;
  #syncing: Promise<void> | null = null;
  #retryTimer: NodeJS.Timeout | null = null;
  #closed = false;
  #received = 0;
  /** Survive a restart. */
  #lifetime: Record<string, number> = {};
  /** Of `lossesOfEvidence`, what coverage reports have said. Survives a restart too. */
  #reported: Record<string, number> = {};
  #diskFaults = 0;
  #oversize = 0;
  #readFailures = 0;

  /** Opens or makes the spool. Throws `OperatorError` only when another process has it; a bad disk is a state, not an end. */
  constructor({ directory, maxBytes, maxMemoryBytes, hostId, log }: SpoolOptions) {
    this.#directory = directory;
    this.#maxBytes = maxBytes;
    this.#maxMemoryBytes = maxMemoryBytes ?? 4 * 1024 * 1024;
    this.#hostId = hostId;
    this.#log = log;
    this.#segmentBytes = Math.min(
      MAX_SEGMENT_BYTES,
      Math.max(MIN_SEGMENT_BYTES, Math.floor(maxBytes / SEGMENTS_IN_SPOOL)),
    );
    this.#begin();
    try {
      this.#open();
    } catch (error) {
      if (error instanceof OperatorError) throw error;
      this.#setFault(error);
    }
  }

  #begin(): void {
    const lane = (name: LaneName) => new Lane(name, this.#directory, this.#segmentBytes);
    this.#lanes = { v1: lane('v1'), v2: lane('v2'), rollup: lane('rollup'), coverage: lane('coverage') };
    this.#batches = new Batches(this.#lanes);
    this.#lifetime = {};
    this.#reported = {};
    this.#spent = [];
    this.#diskBytes = 0;
  }

  #open(): void {
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    this.#unlock ??= lockSpool(this.#directory);
    const { ledger, entry, damaged } = Ledger.open(this.#directory);
    try {
      if (entry !== null && entry.host_id !== this.#hostId) this.#discardForeign(entry);
      else this.#recover(entry, damaged);
      ledger.write(this.#entry(false));
      ledger.sync();
      this.#removeSpent();
    } catch (error) {
      ledger.close();
      throw error;
    }
    this.#ledger = ledger;
  }

  #recover(entry: LedgerEntry | null, damaged: boolean): void {
    let isPowerCut = false;
    if (entry !== null) {
      this.#lifetime = { ...entry.counters };
      this.#reported = { ...entry.reported };
      this.#batches.restore(entry);
      isPowerCut = !entry.clean && entry.boot_id !== this.#bootId;
      if (isPowerCut) this.#countLifetime('power_cuts');
    }
    if (damaged) this.#countLifetime('ledgers_lost');
    let lost = 0;
    for (const name of DROP_ORDER) {
      const lane = this.#lanes[name];
      const saved = entry?.lanes[name] ?? null;
      const { spent, unreadable } = lane.recover(saved, this.#batches.sentUpTo(name));
      this.#spent.push(...spent.map((path) => ({ path, bytes: 0 })));
      if (unreadable > 0) this.#countLifetime('unreadable_files', unreadable);
      lost += lane.state.lost - (saved?.lost ?? 0);
    }
    if (lost > 0 || isPowerCut) this.#withdrawCoverage();
    this.#diskBytes = DROP_ORDER.reduce((sum, name) => sum + this.#lanes[name].diskBytes, 0);
    if (lost > 0) this.#log.warn({ lost, spool: this.#directory }, 'spooled records were lost to damage');
  }

  /**
   * Records are gone, and when they were made nobody can tell. The reports that wait beside them would claim that their time was
   * watched: without those it counts as unwatched, from the last report that the collector has to the next one.
   */
  #withdrawCoverage(): void {
    this.#batches.withdraw('coverage');
    this.#spent.push(...this.#lanes.coverage.discard().map((path) => ({ path, bytes: 0 })));
  }

  /** A disk image made of a host that had a spool: its records are not ours to send, and its stream is not ours to use. */
  #discardForeign(entry: LedgerEntry): void {
    // Other files in the directory are not records: the agent's state and credential name their host themselves, and
    // what an operator put there is not ours to delete.
    for (const file of readdirSync(this.#directory)) {
      if (isSegmentFile(file) || file === JOURNAL_FILE) unlinkSync(join(this.#directory, file));
    }
    const held = Object.values(entry.lanes).reduce(
      (sum, lane) => sum + lane.next - lane.acknowledged - lane.overflowed - lane.lost,
      0,
    );
    this.#countLifetime('foreign_records', held);
    this.#log.warn({ records: held, host: entry.host_id }, 'discarded the spool of another host');
  }

  /** Takes one record (JSON of a `record` of protocol/records.ts) into its lane. */
  append(name: LaneName, json: string): void {
    if (this.#closed) throw new Error('The spool is closed.');
    this.#received += 1;
    const lane = this.#lanes[name];
    const number = lane.claimNumber();
    const frame = this.#encoder.encode(number, json);
    if (frame === null) {
      this.#oversize += 1;
      lane.lose(1);
      return;
    }
    if (this.#fault === null) {
      try {
        if (this.#makeRoom(frame.length, name)) this.#writeFrame(lane, number, frame);
        else lane.overflow();
        return;
      } catch (error) {
        this.#setFault(error);
      }
    }
    if (this.#makeRoomInMemory(frame.length, name)) lane.hold(number, Buffer.from(json, 'utf8'));
    else lane.overflow();
  }

  #writeFrame(lane: Lane, number: number, frame: Buffer): void {
    const before = lane.segmentCount;
    lane.write(number, frame);
    if (lane.segmentCount !== before) this.#directoryDirty = true;
    this.#diskBytes += frame.length;
    this.#scheduleSync();
  }

  /** Frees `bytes` by dropping what is worth no more than `name`. False when that is not enough: then `name` itself goes. */
  #makeRoom(bytes: number, name: LaneName): boolean {
    if (this.#diskBytes + bytes <= this.#maxBytes) return true;
    if (this.#spent.length > 0) this.#syncNow();
    while (this.#diskBytes + bytes > this.#maxBytes) {
      const dropped = this.#droppable(name, (lane) => lane.dropOldestSegment());
      if (dropped === null) return false;
      // The ledger comes first: after a crash between the two, the next start corrects the count. Until the ledger is
      // written the file is spent, so that a failing disk leaves neither the file nor its bytes in the account.
      this.#spent.push(dropped);
      this.#writeLedger();
      this.#removeSpent([dropped]);
    }
    return true;
  }

  #makeRoomInMemory(bytes: number, name: LaneName): boolean {
    const held = () => DROP_ORDER.reduce((sum, lane) => sum + this.#lanes[lane].memoryBytes, 0);
    while (held() + bytes > this.#maxMemoryBytes) {
      if (this.#droppable(name, (lane) => lane.dropOldestInMemory() || null) === null) return false;
    }
    return true;
  }

  #droppable<T>(upTo: LaneName, drop: (lane: Lane) => T | null): T | null {
    for (const name of DROP_ORDER.slice(0, DROP_ORDER.indexOf(upTo) + 1)) {
      const dropped = drop(this.#lanes[name]);
      if (dropped !== null) return dropped;
    }
    return null;
  }

  get stream(): string {
    return this.#batches.stream;
  }
  /** Records that are in no batch yet. */
  get unsent(): number {
    return DROP_ORDER.reduce((sum, name) => sum + this.#lanes[name].unsent, 0);
  }
  /** Batches that are sent and not acknowledged. */
  get inFlight(): number {
    return this.#batches.inFlight;
  }

  /** The next batch, or null when nothing waits (or, for now, cannot be read). */
  take(maxRecords: number, maxBytes: number): Batch | null {
    try {
      const batch = this.#batches.take(maxRecords, maxBytes);
      // The number and what it carries are written down before anybody can send it.
      if (batch !== null) this.#tryWriteLedger();
      return batch;
    } catch (error) {
      this.#countReadFailure(error);
      return null;
    }
  }

  /** The batches that were sent and not acknowledged, with the same content under the same numbers. Null: cannot be read now. */
  unacknowledged(): Batch[] | null {
    try {
      return this.#batches.unacknowledged();
    } catch (error) {
      this.#countReadFailure(error);
      return null;
    }
  }

  /** Everything up to and including `seq` is stored; `rejected` of its records were refused by the collector. */
  acknowledge(seq: number, rejected: number): void {
    this.#spent.push(...this.#batches.acknowledge(seq));
    if (rejected > 0) this.#countLifetime('rejected', rejected);
    this.#tryWriteLedger();
    if (this.#spent.length > 0) this.#scheduleSync();
  }

  /**
   * Takes up the stream where the collector has it. `stream` is another one afterwards if the collector has lost batches
   * that it had acknowledged (its store was replaced): then a new `hello` must be said.
   */
  resume(lastSeq: number): void {
    const { spent, forgotten } = this.#batches.resume(lastSeq);
    this.#spent.push(...spent);
    if (forgotten > 0) {
      this.#countLifetime('batches_forgotten_by_collector', forgotten);
      this.#log.warn(
        { batches: forgotten },
        'the collector has lost batches that it had acknowledged; a new stream begins',
      );
    }
    this.#tryWriteLedger();
    if (this.#spent.length > 0) this.#scheduleSync();
  }

  /** For the heartbeat. `overflowed` and what is lost survive restarts. */
  report(): { bytes: number; records: number; overflowed: Counters } {
    const overflowed: Counters = {};
    for (const name of DROP_ORDER) overflowed[name] = this.#lanes[name].state.overflowed;
    return { bytes: this.#diskBytes, records: this.#sum((lane) => lane.present), overflowed };
  }

  /**
   * What may have been IMDSv1 calls or coverage and will never be delivered, since it was last `reported`: dropped at the bound, lost to
   * damage, refused or forgotten by the collector. By reason; only what is not zero.
   */
  unreportedLosses(): Counters {
    const losses: Counters = {};
    for (const [reason, count] of Object.entries(this.#lossesOfEvidence())) {
      const more = count - (this.#reported[reason] ?? 0);
      if (more > 0) losses[reason] = more;
    }
    return losses;
  }

  /** They are in the spool now as part of a coverage report. A process that dies before this says them again: too often, not too seldom. */
  reported(losses: Counters): void {
    if (Object.keys(losses).length === 0) return;
    for (const [reason, count] of Object.entries(losses)) {
      this.#reported[reason] = (this.#reported[reason] ?? 0) + count;
    }
    this.#tryWriteLedger();
  }

  #lossesOfEvidence(): Counters {
    const losses: Counters = {};
    for (const name of EVIDENCE_LANES) {
      const { overflowed, lost } = this.#lanes[name].state;
      losses[`${name}_overflowed`] = overflowed;
      losses[`${name}_lost`] = lost;
    }
    for (const name of EVIDENCE_COUNTERS) losses[name] = this.#lifetime[name] ?? 0;
    return losses;
  }

  counters(): Counters {
    return {
      received: this.#received,
      acknowledged: this.#sum((lane) => lane.state.acknowledged),
      overflowed: this.#sum((lane) => lane.state.overflowed),
      lost: this.#sum((lane) => lane.state.lost),
      oversize: this.#oversize,
      disk_faults: this.#diskFaults,
      read_failures: this.#readFailures,
      ...this.#lifetime,
    };
  }

  /** Why the disk cannot be written now; null when it can. */
  get fault(): string | null {
    return this.#fault;
  }

  #sum(of: (lane: Lane) => number): number {
    return DROP_ORDER.reduce((sum, name) => sum + of(this.#lanes[name]), 0);
  }

  #countLifetime(name: string, count = 1): void {
    this.#lifetime[name] = (this.#lifetime[name] ?? 0) + count;
  }

  #countReadFailure(error: unknown): void {
    this.#readFailures += 1;
    if (this.#readFailures === 1) this.#log.error({ err: error }, 'the spool cannot be read; trying again');
  }

  #entry(clean: boolean): LedgerEntry {
    const lanes = Object.fromEntries(DROP_ORDER.map((name) => [name, this.#lanes[name].state]));
    return {
      ...this.#batches.state(),
      host_id: this.#hostId,
      boot_id: this.#bootId,
      clean,
      lanes,
      counters: this.#lifetime,
      reported: this.#reported,
    };
  }

  #writeLedger(clean = false): void {
    this.#ledger?.write(this.#entry(clean));
  }

  #tryWriteLedger(): void {
    try {
      this.#writeLedger();
    } catch (error) {
      this.#setFault(error);
    }
  }

  #scheduleSync(): void {
    if (this.#syncTimer !== null || this.#closed) return;
    this.#syncTimer = setTimeout(() => {
      this.#syncTimer = null;
      if (this.#syncing !== null) {
        this.#scheduleSync();
        return;
      }
      this.#syncing = this.#sync().finally(() => {
        this.#syncing = null;
      });
    }, SYNC_WINDOW_MS);
  }

  /** Data first, then the ledger that speaks of it, then the files that it says are spent. */
  async #sync(): Promise<void> {
    try {
      for (const name of DROP_ORDER) {
        const { open, closed } = this.#lanes[name].unsynced();
        try {
          for (const fd of [...closed, ...(open === null ? [] : [open])]) await fdatasyncAsync(fd);
        } finally {
          for (const fd of closed) closeSync(fd);
        }
      }
      if (this.#closed || this.#ledger === null) return;
      // Files that are acknowledged during the wait below are not covered by the ledger that is synced there.
      const spent = [...this.#spent];
      this.#syncDirectory();
      this.#writeLedger();
      await fdatasyncAsync(this.#ledger.fd);
      this.#removeSpent(spent);
    } catch (error) {
      if (this.#closed) return;
      for (const name of DROP_ORDER) this.#lanes[name].startNewSegment();
      this.#setFault(error);
    }
  }

  #syncNow(): void {
    this.#syncDirectory();
    this.#writeLedger();
    this.#ledger?.sync();
    this.#removeSpent();
  }

  #syncDirectory(): void {
    if (!this.#directoryDirty) return;
    this.#directoryDirty = false;
    const fd = openSync(this.#directory, 'r');
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  }

  /** Deletes those of `files` that are still waiting to be deleted. */
  #removeSpent(files: readonly SpentFile[] = [...this.#spent]): void {
    for (const file of files) {
      const index = this.#spent.indexOf(file);
      if (index === -1) continue;
      this.#spent.splice(index, 1);
      this.#unlink(file);
    }
  }

  #unlink({ path, bytes }: { path: string; bytes: number }): void {
    this.#diskBytes -= bytes;
    try {
      unlinkSync(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }

  #setFault(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    if (this.#fault === null) {
      this.#diskFaults += 1;
      this.#log.error(
        { reason: message, spool: this.#directory },
        'the spool cannot be written; keeping records in memory and trying again',
      );
    }
    this.#fault = message;
    if (this.#closed) return;
    this.#retryTimer ??= setTimeout(() => {
      this.#retryTimer = null;
      this.#recoverDisk();
    }, RETRY_DISK_MS);
  }

  /** Tries to write again, first of all what waits in memory. */
  #recoverDisk(): void {
    try {
      mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
      if (this.#ledger === null) this.#openLate();
      for (const name of [...DROP_ORDER].reverse()) this.#settle(name);
      this.#directoryDirty = true;
      this.#syncNow();
    } catch (error) {
      this.#setFault(error);
      return;
    }
    this.#fault = null;
    this.#log.info({ spool: this.#directory }, 'the spool can be written again');
  }

  #settle(name: LaneName): void {
    const lane = this.#lanes[name];
    for (let oldest = lane.oldestInMemory; oldest !== null; oldest = lane.oldestInMemory) {
      const { number, payload, inFlight } = oldest;
      const frame = this.#encoder.encode(number, payload)!;
      if (inFlight || this.#makeRoom(frame.length, name)) this.#writeFrame(lane, number, frame);
      else lane.overflow();
      lane.forgetOldestInMemory();
    }
  }

  /**
   * The directory could not be used until now. It may hold the records of a former process, under that one's stream and
   * numbers; what came in since is appended to them. The stream changes with it, so the uplink says hello again; what
   * was sent under the old one and sent again is known by its id.
   */
  #openLate(): void {
    const [lanes, batches, lifetime, reported] = [this.#lanes, this.#batches, this.#lifetime, this.#reported];
    this.#begin();
    try {
      this.#open();
    } catch (error) {
      [this.#lanes, this.#batches, this.#lifetime, this.#reported] = [lanes, batches, lifetime, reported];
      throw error;
    }
    for (const name of DROP_ORDER) {
      this.#lanes[name].inherit(lanes[name].state);
      for (const payload of lanes[name].heldInMemory()) {
        this.#lanes[name].hold(this.#lanes[name].claimNumber(), payload);
      }
    }
    for (const [counter, count] of Object.entries(lifetime)) this.#countLifetime(counter, count);
    for (const [reason, count] of Object.entries(reported)) {
      this.#reported[reason] = (this.#reported[reason] ?? 0) + count;
    }
  }

  /** Writes down everything and gives the spool back. Records stay for the next start. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#syncTimer !== null) clearTimeout(this.#syncTimer);
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer);
    await this.#syncing;
    try {
      for (const name of DROP_ORDER) {
        const { open, closed } = this.#lanes[name].unsynced();
        for (const fd of [...closed, ...(open === null ? [] : [open])]) await fdatasyncAsync(fd);
        for (const fd of closed) closeSync(fd);
      }
      this.#writeLedger(true);
      this.#ledger?.sync();
      this.#removeSpent();
    } catch (error) {
      this.#setFault(error);
    }
    for (const name of DROP_ORDER) this.#lanes[name].close();
    this.#ledger?.close();
    this.#unlock?.();
  }
}
