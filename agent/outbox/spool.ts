/**
 * The agent's durable queue of records that the collector has not acknowledged yet. Records are appended to
 * one lane for each kind. A batch takes the oldest of them and gets a sequence number. The content of a
 * number never changes, so a batch that is sent twice is stored once.
 *
 * Durability: every record is handed to the kernel before `appendRecord` returns, so a killed agent loses
 * nothing. The record is on the disk half a second later (one fdatasync for all records of that time), so a
 * power cut costs at most the records of that window. The next start counts `power_cuts`, and counts in
 * `lost` the records that it knows of.
 *
 * The spool is bounded in bytes: when it is full, the oldest segment of the lowest lane in `DROP_ORDER` is
 * dropped first. Records of batches on their way are never dropped. While the disk cannot be written, records
 * wait in a bounded queue in memory.
 */
import { mkdirSync } from 'node:fs';
import type { Logger } from 'pino';
import { OperatorError } from '../../common/operator_error.ts';
import type { Counters } from '../../protocol/records.ts';
import { bootId } from '../linux/boot_id.ts';
import type { Batch } from './batches.ts';
import type { Lane } from './lane.ts';
import { segmentBytesFor } from './lane_files.ts';
import { DROP_ORDER, type LaneName } from './lanes.ts';
import { FrameEncoder } from './record_frame.ts';
import { SpoolContents } from './spool_contents.ts';
import { SpoolDisk } from './spool_disk.ts';
import { lockSpool } from './spool_lock.ts';
import { openSpool, type SpoolOwner } from './spool_opening.ts';

export interface SpoolOptions {
  directory: string;
  /** Bound on the segment files. */
  maxBytes: number;
  /** Bound on records in memory while the disk cannot be written. */
  maxMemoryBytes?: number;
  /** Host of the records. The spool of another host (a cloned image) is discarded and counted. */
  hostId: string;
  log: Logger;
}

export class Spool {
  readonly #owner: SpoolOwner;
  readonly #maxBytes: number;
  readonly #maxMemoryBytes: number;
  readonly #log: Logger;
  readonly #encoder = new FrameEncoder();
  readonly #disk: SpoolDisk;
  #contents: SpoolContents;
  #unlock: (() => void) | null = null;
  #closed = false;
  #received = 0;
  #oversize = 0;
  #readFailures = 0;

  /** Opens the spool. Throws `OperatorError` if another process has it; a bad disk becomes `fault`. */
  constructor({ directory, maxBytes, maxMemoryBytes, hostId, log }: SpoolOptions) {
    this.#maxBytes = maxBytes;
    this.#maxMemoryBytes = maxMemoryBytes ?? 4 * 1024 * 1024;
    this.#log = log;
    const segmentBytes = segmentBytesFor(maxBytes);
    this.#owner = { directory, hostId, bootId: bootId(), segmentBytes, log };
    this.#disk = new SpoolDisk({ ...this.#owner, retry: () => this.#recoverDisk() });
    this.#contents = new SpoolContents(directory, segmentBytes);
    try {
      this.#open();
    } catch (error) {
      if (error instanceof OperatorError) throw error;
      this.#disk.setFault(error);
    }
  }

  #open(): void {
    mkdirSync(this.#owner.directory, { recursive: true, mode: 0o700 });
    this.#unlock ??= lockSpool(this.#owner.directory);
    const { contents, ledger } = openSpool(this.#owner);
    this.#contents = contents;
    this.#disk.useLedger(ledger, contents);
  }

  /** Appends one record (JSON of a `record` of protocol/records.ts) to its lane. */
  appendRecord(name: LaneName, json: string): void {
    if (this.#closed) throw new Error('The spool is closed.');
    this.#received += 1;
    const lane = this.#contents.lanes[name];
    const number = lane.claimNumber();
    const frame = this.#encoder.encode(number, json);
    if (frame === null) {
      this.#oversize += 1;
      lane.countLost(1);
      return;
    }
    if (this.#disk.fault === null) {
      try {
        if (this.#makeRoom(frame.length, name)) this.#writeFrame(lane, number, frame);
        else lane.countOverflowed();
        return;
      } catch (error) {
        this.#disk.setFault(error);
      }
    }
    const hasRoom = this.#contents.makeRoomInMemory(frame.length, name, this.#maxMemoryBytes);
    if (hasRoom) lane.holdInMemory(number, Buffer.from(json, 'utf8'));
    else lane.countOverflowed();
  }

  #writeFrame(lane: Lane, number: number, frame: Buffer): void {
    const segmentsBefore = lane.segmentCount;
    lane.writeFrame(number, frame);
    this.#disk.countWrittenBytes(frame.length, lane.segmentCount !== segmentsBefore);
  }

  /**
   * Frees `bytes` by dropping records that are worth no more than those of `name`. Returns false when that is
   * not enough: then the new record itself is dropped.
   */
  #makeRoom(bytes: number, name: LaneName): boolean {
    const disk = this.#disk;
    if (disk.bytes + bytes <= this.#maxBytes) return true;
    if (disk.hasSpentFiles) disk.syncNow();
    while (disk.bytes + bytes > this.#maxBytes) {
      const dropped = this.#contents.dropFromLowestLane(name, (lane) => lane.dropOldestSegment());
      if (dropped === null) return false;
      // The ledger comes first: after a crash between the two, the next start corrects the count. Until the
      // ledger is written the file is spent, so that a failing disk leaves neither the file nor its bytes in
      // the account.
      disk.addSpentFiles([dropped]);
      disk.writeLedger();
      disk.deleteSpentFiles([dropped]);
    }
    return true;
  }

  get stream(): string {
    return this.#contents.batches.stream;
  }
  /** Records that are in no batch yet. */
  get unsent(): number {
    return this.#contents.sumOverLanes((lane) => lane.unsent);
  }
  /** Batches that are sent and not acknowledged. */
  get inFlight(): number {
    return this.#contents.batches.inFlight;
  }

  /** Returns the next batch, or null when no record waits or the records cannot be read now. */
  takeBatch(maxRecords: number, maxBytes: number): Batch | null {
    const batch = this.#readOrNull(() => this.#contents.batches.takeBatch(maxRecords, maxBytes));
    // The ledger has the number and its content before anybody can send it.
    if (batch !== null) this.#disk.tryWriteLedger();
    return batch;
  }

  /** Returns the sent batches under their old numbers, or null when they cannot be read now. */
  unacknowledgedBatches(): Batch[] | null {
    return this.#readOrNull(() => this.#contents.batches.unacknowledgedBatches());
  }

  #readOrNull<T>(read: () => T | null): T | null {
    try {
      return read();
    } catch (error) {
      this.#readFailures += 1;
      if (this.#readFailures === 1) this.#log.error({ err: error }, 'the spool cannot be read; trying again');
      return null;
    }
  }

  /**
   * Deletes the records of all batches up to and including `seq`, which the collector has stored. `rejected`:
   * the number of records in them that the collector refused.
   */
  acknowledgeBatches(seq: number, rejected: number): void {
    this.#disk.addSpentFiles(this.#contents.batches.acknowledgeBatches(seq));
    if (rejected > 0) this.#contents.countLifetime('rejected', rejected);
    this.#writeDownProgress();
  }

  /**
   * Continues the stream where the collector has it. `stream` is another one afterwards if the collector has
   * lost batches that it had acknowledged (its store was replaced): then a new `hello` must be sent.
   */
  resumeAfter(lastSeq: number): void {
    const { spent, forgotten } = this.#contents.batches.resumeAfter(lastSeq);
    this.#disk.addSpentFiles(spent);
    if (forgotten > 0) {
      this.#contents.countLifetime('batches_forgotten_by_collector', forgotten);
      this.#log.warn(
        { batches: forgotten },
        'the collector has lost batches that it had acknowledged; a new stream begins',
      );
    }
    this.#writeDownProgress();
  }

  #writeDownProgress(): void {
    this.#disk.tryWriteLedger();
    if (this.#disk.hasSpentFiles) this.#disk.scheduleSync();
  }

  /** Returns the spool's part of the heartbeat. Overflowed and lost records survive restarts. */
  report(): { bytes: number; records: number; overflowed: Counters } {
    const overflowed: Counters = {};
    for (const name of DROP_ORDER) overflowed[name] = this.#contents.lanes[name].state.overflowed;
    return {
      bytes: this.#disk.bytes,
      records: this.#contents.sumOverLanes((lane) => lane.present),
      overflowed,
    };
  }

  /**
   * Returns the losses since the last `markReported` that may have been IMDSv1 calls or coverage: records
   * dropped at the bound, lost to damage, refused or forgotten by the collector. By reason; reasons without a
   * loss are left out.
   */
  unreportedLosses(): Counters {
    return this.#contents.unreportedLosses();
  }

  /**
   * Marks losses as stated by a coverage report that is in the spool now. A process that dies before this
   * call states them again: too often, never too seldom.
   */
  markReported(losses: Counters): void {
    if (Object.keys(losses).length === 0) return;
    this.#contents.markReported(losses);
    this.#disk.tryWriteLedger();
  }

  counters(): Counters {
    const contents = this.#contents;
    return {
      received: this.#received,
      acknowledged: contents.sumOverLanes((lane) => lane.state.acknowledged),
      overflowed: contents.sumOverLanes((lane) => lane.state.overflowed),
      lost: contents.sumOverLanes((lane) => lane.state.lost),
      oversize: this.#oversize,
      disk_faults: this.#disk.faultCount,
      read_failures: this.#readFailures,
      ...contents.lifetimeCounters,
    };
  }

  /** The reason why the disk cannot be written now; null when it can. */
  get fault(): string | null {
    return this.#disk.fault;
  }

  /** Tries to write again, beginning with the records that wait in memory. */
  #recoverDisk(): void {
    const { directory } = this.#owner;
    try {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      if (!this.#disk.isOpen) this.#openLate();
      for (const name of [...DROP_ORDER].reverse()) this.#writeMemoryToDisk(name);
      this.#disk.markDirectoryDirty();
      this.#disk.syncNow();
    } catch (error) {
      this.#disk.setFault(error);
      return;
    }
    this.#disk.clearFault();
    this.#log.info({ spool: directory }, 'the spool can be written again');
  }

  #writeMemoryToDisk(name: LaneName): void {
    const lane = this.#contents.lanes[name];
    for (let oldest = lane.oldestInMemory; oldest !== null; oldest = lane.oldestInMemory) {
      const { number, payload, inFlight } = oldest;
      const frame = this.#encoder.encode(number, payload)!;
      if (inFlight || this.#makeRoom(frame.length, name)) this.#writeFrame(lane, number, frame);
      else lane.countOverflowed();
      lane.forgetOldestInMemory();
    }
  }

  /**
   * Opens a directory that could not be used until now. It may hold the records of a former process, under
   * the stream and numbers of that process; the records that arrived since are appended to them. The stream
   * changes with it, so the uplink sends `hello` again. The collector knows by their ids the records that
   * were sent under the old stream.
   */
  #openLate(): void {
    const before = this.#contents;
    this.#open();
    this.#contents.mergeFrom(before);
  }

  /** Makes everything durable and releases the spool. Its records stay for the next start. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#disk.close();
    this.#unlock?.();
  }
}
