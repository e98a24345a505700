/**
 * One kind of record in the spool. Records are numbered from 0 without gaps and kept in segment files
 * (lane_files.ts). A queue in memory takes them while the disk cannot be written. Recovery counts losses by
 * an equation that always holds:
 *
 *   next = acknowledged + overflowed + lost + present
 *
 * File errors are thrown to the spool.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { readSegmentFiles, segmentFileName } from './lane_files.ts';
import { type LaneState, reduceCounts } from './lane_state.ts';
import type { Range } from './lanes.ts';
import { MemoryQueue } from './memory_queue.ts';
import { readSegment, type Segment, takeFromSegment } from './segment.ts';

export class Lane {
  readonly name: string;
  readonly #directory: string;
  readonly #segmentBytes: number;
  #segments: Segment[] = [];
  /** Descriptor of the last segment while it is being appended to. */
  #fd: number | null = null;
  /** Descriptors of full segments that are not yet synced. */
  #unsyncedFds: number[] = [];
  #dirty = false;
  readonly #memory = new MemoryQueue();
  #state: LaneState;
  #sent: number;

  constructor(name: string, directory: string, segmentBytes: number) {
    this.name = name;
    this.#directory = directory;
    this.#segmentBytes = segmentBytes;
    this.#state = { next: 0, cursor: 0, acknowledged: 0, overflowed: 0, lost: 0 };
    this.#sent = 0;
  }

  get state(): LaneState {
    return { ...this.#state };
  }
  get memoryBytes(): number {
    return this.#memory.bytes;
  }
  get diskBytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.bytes, 0);
  }
  /** Records that are neither acknowledged nor gone. */
  get present(): number {
    const { next, acknowledged, overflowed, lost } = this.#state;
    return next - acknowledged - overflowed - lost;
  }
  get unsent(): number {
    return (
      this.#memory.countFrom(this.#sent) + this.#segments.reduce((sum, segment) => sum + segment.unsent, 0)
    );
  }
  get segmentCount(): number {
    return this.#segments.length;
  }

  /**
   * Reads the files of a former process. `saved` is null when the ledger was lost: then every record found is
   * unsent. `inFlight` has the ranges of batches on their way. Each range counts afterwards the records that were
   * found of it: the others are lost, also if the collector has them. Returns the segment files without a record
   * that counts, the number of files that could not be read, and whether the ledger's counts were wrong.
   */
  recover(
    saved: LaneState | null,
    inFlight: readonly Range[],
  ): { spent: string[]; unreadable: number; isMiscounted: boolean } {
    const found = readSegmentFiles(this.#directory, this.name, saved?.cursor ?? 0, inFlight);
    this.#segments.push(...found.segments);
    const firstFound = this.#segments[0]?.first ?? 0;
    this.#state =
      saved === null
        ? { next: 0, cursor: firstFound, acknowledged: firstFound, overflowed: 0, lost: 0 }
        : { ...saved };
    const state = this.#state;
    state.next = Math.max(state.next, found.end);
    this.#sent = Math.max(state.cursor, ...inFlight.map(({ to }) => to));
    const { spent, unreadable } = found;
    const missing = state.next - state.acknowledged - state.overflowed - state.lost - found.records;
    if (missing >= 0) {
      state.lost += missing;
      return { spent, unreadable, isMiscounted: false };
    }
    // More is here than the ledger knows: an overflow was written down, and the process died before the file
    // was deleted.
    reduceCounts(state, -missing);
    return { spent, unreadable, isMiscounted: state.acknowledged !== saved?.acknowledged };
  }

  /** Counts every record that `recover` has found as lost. Returns the files that hold them. */
  discardAll(): string[] {
    const files = this.#segments.map(({ path }) => path);
    this.#state.lost += this.present;
    this.#state.cursor = this.#state.next;
    this.#sent = this.#state.next;
    this.#segments = [];
    return files;
  }

  /** Returns the number of the next record, which is counted from here on. */
  claimNumber(): number {
    const number = this.#state.next;
    this.#state.next += 1;
    return number;
  }

  /** Appends a frame to the last segment. Throws errors of the file system; then nothing was appended. */
  writeFrame(number: number, frame: Buffer): void {
    let segment = this.#segments.at(-1);
    if (this.#fd === null || segment === undefined || segment.bytes + frame.length > this.#segmentBytes) {
      const path = join(this.#directory, segmentFileName(this.name, number));
      const fd = openSync(path, 'w', 0o600);
      this.#seal();
      this.#fd = fd;
      segment = { path, first: number, end: number, bytes: 0, unsent: 0, unsentOffset: 0 };
      this.#segments.push(segment);
    }
    // The position is explicit, so that the next attempt overwrites the bytes of a failed one.
    let written = 0;
    while (written < frame.length) {
      written += writeSync(this.#fd!, frame, written, frame.length - written, segment.bytes + written);
    }
    if (number >= this.#sent) {
      if (segment.unsent === 0) segment.unsentOffset = segment.bytes;
      segment.unsent += 1;
    } else {
      segment.unsentOffset = segment.bytes + frame.length;
    }
    segment.bytes += frame.length;
    segment.end = number + 1;
    this.#dirty = true;
  }

  #seal(): void {
    if (this.#fd !== null) this.#unsyncedFds.push(this.#fd);
    this.#fd = null;
  }

  holdInMemory(number: number, payload: Buffer): void {
    this.#memory.addRecord({ number, payload });
  }

  /** Returns the oldest record in memory. `inFlight`: a batch on its way contains it. */
  get oldestInMemory(): { number: number; payload: Buffer; inFlight: boolean } | null {
    const { oldest } = this.#memory;
    return oldest === null ? null : { ...oldest, inFlight: oldest.number < this.#sent };
  }

  /** Removes the oldest record in memory, which is on disk now or was dropped. */
  forgetOldestInMemory(): void {
    this.#memory.removeOldest();
  }

  heldInMemory(): Buffer[] {
    return this.#memory.records.map(({ payload }) => payload);
  }

  /** Adds the counts of a lane that this one replaces. The caller appends its records here again. */
  addCounts({ acknowledged, overflowed, lost }: LaneState): void {
    this.#state.next += acknowledged + overflowed + lost;
    this.#state.acknowledged += acknowledged;
    this.#state.overflowed += overflowed;
    this.#state.lost += lost;
  }

  /** Counts a record that has a number and found no room. */
  countOverflowed(): void {
    this.#state.overflowed += 1;
  }

  /** Drops the oldest segment that no batch on its way needs. Returns null if there is none. */
  dropOldestSegment(): { path: string; bytes: number } | null {
    const inFlight = this.#sent > this.#state.cursor;
    const index = this.#segments.findIndex(
      (segment) => !inFlight || segment.first >= this.#sent || segment.end <= this.#state.cursor,
    );
    const segment = this.#segments[index];
    if (segment === undefined) return null;
    if (index === this.#segments.length - 1) this.#seal();
    this.#segments.splice(index, 1);
    this.#state.overflowed += segment.unsent;
    if (!inFlight && segment.end > this.#sent && segment.first <= this.#sent) {
      this.#sent = segment.end;
      this.#state.cursor = segment.end;
    }
    return { path: segment.path, bytes: segment.bytes };
  }

  /** Drops the oldest record in memory that no batch on its way needs. Returns false if there is none. */
  dropOldestInMemory(): boolean {
    if (!this.#memory.removeFirstFrom(this.#sent)) return false;
    this.#state.overflowed += 1;
    return true;
  }

  /**
   * Takes the oldest unsent records, at most `maxRecords` and `maxBytes`. `atLeastOne`: a first record may be
   * larger.
   */
  takeRecords(
    maxRecords: number,
    maxBytes: number,
    atLeastOne: boolean,
  ): { payloads: Buffer[]; range: Range } {
    const payloads: Buffer[] = [];
    const from = this.#sent;
    let bytes = 0;
    const fits = (length: number) =>
      payloads.length < maxRecords && (bytes + length <= maxBytes || (atLeastOne && payloads.length === 0));
    const accept = (number: number, payload: Buffer) => {
      payloads.push(Buffer.from(payload));
      bytes += payload.length;
      this.#sent = number + 1;
    };
    for (const segment of this.#segments) {
      if (segment.end <= this.#sent) continue;
      const lost = takeFromSegment(segment, this.#sent, fits, accept);
      if (lost === null) return { payloads, range: { from, to: this.#sent, count: payloads.length } };
      this.#state.lost += lost;
      this.#sent = segment.end;
    }
    for (const { number, payload } of this.#memory.records) {
      if (number < this.#sent) continue;
      if (!fits(payload.length)) break;
      accept(number, payload);
    }
    return { payloads, range: { from, to: this.#sent, count: payloads.length } };
  }

  /** Reads the records of a batch again: fewer than `range.count` if some became unreadable. */
  rereadRecords(range: Range): Buffer[] {
    const payloads: Buffer[] = [];
    for (const segment of this.#segments) {
      if (segment.end <= range.from || segment.first >= range.to) continue;
      for (const { number, payload } of readSegment(segment)) {
        if (number >= range.from && number < range.to) payloads.push(Buffer.from(payload));
      }
    }
    for (const { number, payload } of this.#memory.records) {
      if (number >= range.from && number < range.to) payloads.push(payload);
    }
    return payloads;
  }

  /** Counts records of a batch on its way that could not be read again. */
  countLost(count: number): void {
    this.#state.lost += count;
  }

  /** Counts the records of `range` as stored by the collector. Returns segments that are now spent. */
  acknowledgeRange({ to, count }: Range): { path: string; bytes: number }[] {
    this.#state.acknowledged += count;
    this.#state.cursor = Math.max(this.#state.cursor, to);
    this.#memory.removeBelow(this.#state.cursor);
    const last = this.#fd === null ? null : this.#segments.at(-1);
    const spent = this.#segments.filter((segment) => segment.end <= this.#state.cursor && segment !== last);
    if (spent.length > 0) this.#segments = this.#segments.filter((segment) => !spent.includes(segment));
    return spent.map(({ path, bytes }) => ({ path, bytes }));
  }

  /** Returns the descriptors that need a sync. The caller closes the `closed` ones after it. */
  unsynced(): { open: number | null; closed: number[] } {
    const closed = this.#unsyncedFds;
    this.#unsyncedFds = [];
    const open = this.#dirty ? this.#fd : null;
    this.#dirty = false;
    return { open, closed };
  }

  /** Begins a new segment with the next write: after a failed sync the content of the old one is unknown. */
  startNewSegment(): void {
    this.#seal();
  }

  close(): void {
    this.#seal();
    for (const fd of this.#unsyncedFds) closeSync(fd);
    this.#unsyncedFds = [];
  }
}
