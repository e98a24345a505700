/**
 * Reads the answer of Elasticsearch's `_bulk` API, which is 200 also where records failed. A record that is there already
 * (409, its id is used) was stored by an earlier attempt.
 */
import * as z from 'zod';
import { DeliveryError } from '../guarded_connect.ts';
import { checkStatus } from './outcome.ts';

const result = z.record(
  z.string(),
  z.object({ status: z.int(), error: z.object({ type: z.string() }).optional() }),
);
const bulkAnswer = z.object({ errors: z.boolean(), items: z.array(result).default([]) });

/** Throws `DeliveryError` where a record was not stored. */
export function checkBulkAnswer(text: string, nowMs: number): void {
  const parsed = bulkAnswer.safeParse(parseOrNull(text));
  if (!parsed.success)
    throw new DeliveryError('the receiver did not answer as _bulk does', { next: 'blocked' });
  if (!parsed.data.errors) return;
  for (const { status, error } of parsed.data.items.flatMap((item) => Object.values(item))) {
    if (status < 300 || status === 409) continue;
    try {
      checkStatus({ status, retryAfter: null }, nowMs);
    } catch (failure) {
      const type = error?.type.replace(/[^\w.-]/g, '').slice(0, 80) ?? 'no reason';
      const { next } = failure as DeliveryError;
      throw new DeliveryError(`the receiver did not store a record: HTTP ${status}, ${type}`, { next });
    }
  }
}

function parseOrNull(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
