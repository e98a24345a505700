/**
 * A part of a batch as a batch of its own, so that one host's large batch need not be written in one
 * transaction.
 */
import type { StoredBatch, StoredRecord } from '../store/store.ts';

/**
 * Returns records `from` to `to` (exclusive) with the callers that they name. All parts but the last are
 * `partial`: they leave the stream where it is. The agent sends a batch again of which only a part became
 * durable, and those records are known by their ids.
 */
export function sliceOf(batch: StoredBatch, from: number, to: number): StoredBatch {
  if (from === 0 && to >= batch.records.length) return batch;
  const callers: StoredBatch['callers'] = [];
  const indexOf = new Map<number, number>();
  const records = batch.records.slice(from, to).map((record): StoredRecord => {
    if (record.kind === 'coverage') return record;
    let caller = indexOf.get(record.caller);
    if (caller === undefined) {
      caller = callers.push(batch.callers[record.caller]!) - 1;
      indexOf.set(record.caller, caller);
    }
    return { ...record, caller };
  });
  const isLast = to >= batch.records.length;
  return { ...batch, callers, records, leftOut: isLast ? (batch.leftOut ?? 0) : 0, partial: !isLast };
}
