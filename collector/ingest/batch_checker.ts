/**
 * Checks the batches of one connection, one after the other: each may add to the connection's table of
 * callers.
 */
import { type AgentFrame, OLDEST_PROTOCOL_VERSION } from '../../protocol/frames.ts';
import { record, referringRecord } from '../../protocol/records.ts';
import { textsChanged } from '../../protocol/text_bounds.ts';
import { CallerTable } from './caller_table.ts';
import { type CheckedBatch, checkFullRecords, checkReferringRecords, parseInTurns } from './checked_batch.ts';
import type { IngestCounters } from './ingest_counters.ts';

/**
 * A batch defines the callers that its records name. Some more do no harm; thousands that no record names
 * would cost as much as records.
 */
const MAX_SPARE_CALLERS = 100;

export type BatchFrame = Extract<AgentFrame, { type: 'batch' }>;

export class BatchChecker {
  readonly #counters: IngestCounters;
  readonly #callers = new CallerTable();
  #lastCheck: Promise<unknown> = Promise.resolve();
  /** The version that both sides have agreed on. */
  protocol = OLDEST_PROTOCOL_VERSION;

  constructor(counters: IngestCounters) {
    this.#counters = counters;
  }

  /**
   * Checks a batch when the batches before it are checked, and gives it to `use` before the next one is.
   * Resolves to null where the callers of the batch break the protocol.
   */
  check<T>(frame: BatchFrame, hostId: string, use: (checked: CheckedBatch) => T): Promise<T | null> {
    const done = this.#lastCheck.then(async () => {
      const checked = await this.#check(frame, hostId);
      return checked === null ? null : use(checked);
    });
    this.#lastCheck = done.catch(() => {});
    return done;
  }

  async #check(
    { records, callers = [], forget = false }: BatchFrame,
    hostId: string,
  ): Promise<CheckedBatch | null> {
    if (this.protocol === 1) {
      return checkFullRecords(await parseInTurns(records, record, this.#counters), hostId);
    }
    const changedBefore = textsChanged();
    const isValid =
      callers.length <= records.length + MAX_SPARE_CALLERS && this.#callers.define(callers, forget, hostId);
    this.#counters.cut_texts += textsChanged() - changedBefore;
    if (!isValid) return null;
    const parsed = await parseInTurns(records, referringRecord, this.#counters);
    return checkReferringRecords(parsed, hostId, this.#callers);
  }
}
