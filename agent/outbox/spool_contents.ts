/**
 * Everything that a spool knows and its ledger records: the lanes, the batches that are on their way, and the
 * counts that survive a restart. It touches the disk only through its lanes.
 */
import type { Counters } from '../../protocol/records.ts';
import { Batches } from './batches.ts';
import { Lane } from './lane.ts';
import { DROP_ORDER, EVIDENCE_LANES, type LaneName } from './lanes.ts';
import type { LedgerEntry } from './ledger.ts';

/** Counters that survive a restart and may stand for lost evidence too. */
const EVIDENCE_COUNTERS = ['rejected', 'unreadable_files', 'ledgers_lost', 'batches_forgotten_by_collector'];

export class SpoolContents {
  readonly lanes: Record<LaneName, Lane>;
  readonly batches: Batches;
  #lifetime: Record<string, number> = {};
  /** The part of the lost evidence that coverage reports have stated. */
  #reported: Record<string, number> = {};

  /** Makes the contents of an empty spool. */
  constructor(directory: string, segmentBytes: number) {
    const lane = (name: LaneName) => new Lane(name, directory, segmentBytes);
    this.lanes = { v1: lane('v1'), v2: lane('v2'), rollup: lane('rollup'), coverage: lane('coverage') };
    this.batches = new Batches(this.lanes);
  }

  /** Takes the counts and batches of a ledger. The lanes are recovered separately, from their files. */
  restoreFromLedger(entry: LedgerEntry): void {
    this.#lifetime = { ...entry.counters };
    this.#reported = { ...entry.reported };
    this.batches.restore(entry);
  }

  toLedgerEntry(): Omit<LedgerEntry, 'host_id' | 'boot_id' | 'clean'> {
    const lanes = Object.fromEntries(DROP_ORDER.map((name) => [name, this.lanes[name].state]));
    return { ...this.batches.state(), lanes, counters: this.#lifetime, reported: this.#reported };
  }

  /**
   * Adds the counts of other contents, and appends their records in memory behind the records that are here.
   */
  mergeFrom(other: SpoolContents): void {
    for (const name of DROP_ORDER) {
      this.lanes[name].addCounts(other.lanes[name].state);
      for (const payload of other.lanes[name].heldInMemory()) {
        this.lanes[name].holdInMemory(this.lanes[name].claimNumber(), payload);
      }
    }
    for (const [counter, count] of Object.entries(other.#lifetime)) this.countLifetime(counter, count);
    this.markReported(other.#reported);
  }

  get lifetimeCounters(): Counters {
    return this.#lifetime;
  }

  countLifetime(name: string, count = 1): void {
    this.#lifetime[name] = (this.#lifetime[name] ?? 0) + count;
  }

  /**
   * Frees `bytes` in the queues in memory by dropping records that are worth no more than those of `name`. Returns
   * false when that is not enough.
   */
  makeRoomInMemory(bytes: number, name: LaneName, maxBytes: number): boolean {
    while (this.sumOverLanes((lane) => lane.memoryBytes) + bytes > maxBytes) {
      if (this.dropFromLowestLane(name, (lane) => lane.dropOldestInMemory() || null) === null) return false;
    }
    return true;
  }

  /** Calls `drop` for each lane up to `highest` in the order of dropping, until one has dropped something. */
  dropFromLowestLane<T>(highest: LaneName, drop: (lane: Lane) => T | null): T | null {
    for (const name of DROP_ORDER.slice(0, DROP_ORDER.indexOf(highest) + 1)) {
      const dropped = drop(this.lanes[name]);
      if (dropped !== null) return dropped;
    }
    return null;
  }

  sumOverLanes(count: (lane: Lane) => number): number {
    return DROP_ORDER.reduce((sum, name) => sum + count(this.lanes[name]), 0);
  }

  /**
   * Returns the lost evidence that no coverage report has stated yet, by reason. Reasons without a loss are
   * left out.
   */
  unreportedLosses(): Counters {
    const losses: Counters = {};
    for (const [reason, count] of Object.entries(this.#lostEvidence())) {
      const unreported = count - (this.#reported[reason] ?? 0);
      if (unreported > 0) losses[reason] = unreported;
    }
    return losses;
  }

  markReported(losses: Counters): void {
    for (const [reason, count] of Object.entries(losses)) {
      this.#reported[reason] = (this.#reported[reason] ?? 0) + count;
    }
  }

  #lostEvidence(): Counters {
    const losses: Counters = {};
    for (const name of EVIDENCE_LANES) {
      const { overflowed, lost } = this.lanes[name].state;
      losses[`${name}_overflowed`] = overflowed;
      losses[`${name}_lost`] = lost;
    }
    for (const name of EVIDENCE_COUNTERS) losses[name] = this.#lifetime[name] ?? 0;
    return losses;
  }
}
