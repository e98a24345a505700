/**
 * Checks the batches of one connection, one after the other: each may add to the connection's table of
 * callers.
 */
import { type AgentFrame, OLDEST_PROTOCOL_VERSION } from '../../protocol/frames.ts';
import { record, referringRecord } from '../../protocol/records.ts';
import { textsChanged } from '../../protocol/text_bounds.ts';
import { CallerTable } from './caller_table.ts';
import {
  CHECKED_AT_ONCE,
  type CheckedBatch,
  checkFullRecords,
  checkReferringRecords,
  parseInTurns,
  parseItems,
} from './checked_batch.ts';
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
  /** Checks that have begun or wait, and have not ended. */
  #unfinished = 0;
  /** The version that both sides have agreed on. */
  protocol = OLDEST_PROTOCOL_VERSION;

  constructor(counters: IngestCounters) {
    this.#counters = counters;
  }

  /**
   * Checks a batch when the batches before it are checked, and gives it to `use` before the next one is. A short one is
   * checked at once if no other waits. Returns null where the callers of the batch break the protocol.
   */
  check<T>(
    frame: BatchFrame,
    hostId: string,
    use: (checked: CheckedBatch) => T,
  ): T | null | Promise<T | null> {
    if (this.#unfinished === 0 && frame.records.length <= CHECKED_AT_ONCE) {
      try {
        const checked = this.#checkShort(frame, hostId);
        return checked === null ? null : use(checked);
      } catch (error) {
        return Promise.reject(error);
      }
    }
    this.#unfinished += 1;
    const done = this.#lastCheck.then(async () => {
      const checked = await this.#checkInTurns(frame, hostId);
      return checked === null ? null : use(checked);
    });
    this.#lastCheck = done
      .catch(() => {})
      .finally(() => {
        this.#unfinished -= 1;
      });
    return done;
  }

  #checkShort(frame: BatchFrame, hostId: string): CheckedBatch | null {
    const { records } = frame;
    if (this.protocol === 1) return checkFullRecords(parseItems(records, record, this.#counters), hostId);
    if (!this.#define(frame, hostId)) return null;
    const parsed = parseItems(records, referringRecord, this.#counters);
    return checkReferringRecords(parsed, hostId, this.#callers);
  }

  async #checkInTurns(frame: BatchFrame, hostId: string): Promise<CheckedBatch | null> {
    const { records } = frame;
    if (this.protocol === 1) {
      return checkFullRecords(await parseInTurns(records, record, this.#counters), hostId);
    }
    if (!this.#define(frame, hostId)) return null;
    const parsed = await parseInTurns(records, referringRecord, this.#counters);
    return checkReferringRecords(parsed, hostId, this.#callers);
  }

  /** Adds the callers of a batch. Returns false where they break the protocol. */
  #define({ records, callers = [], forget = false }: BatchFrame, hostId: string): boolean {
    if (callers.length > records.length + MAX_SPARE_CALLERS) return false;
    const changedBefore = textsChanged();
    const isValid = this.#callers.define(callers, forget, hostId);
    this.#counters.cut_texts += textsChanged() - changedBefore;
    return isValid;
  }
}
