/**
 * Reads the answer of Elasticsearch's `_bulk` API, which is 200 also where records failed. A record that is there already
 * (409, its id is used) was stored by an earlier attempt.
 */
import * as z from 'zod';
import { DeliveryError } from '../guarded_connect.ts';
import { checkStatus } from './outcome.ts';
import type { FailedValue } from './partial_answer.ts';

const result = z.record(
  z.string(),
  z.object({ status: z.int(), error: z.object({ type: z.string() }).optional() }),
);
const bulkAnswer = z.object({ errors: z.boolean(), items: z.array(result).default([]) });

/**
 * Returns the records that were not stored. `count`: records of the request. Throws `DeliveryError` where the answer does not
 * say which those are.
 */
export function failedInBulk(text: string, count: number, nowMs: number): FailedValue[] {
  const parsed = bulkAnswer.safeParse(parseOrNull(text));
  if (!parsed.success)
    throw new DeliveryError('the receiver did not answer as _bulk does', { next: 'blocked' });
  const { errors, items } = parsed.data;
  if (!errors) return [];
  if (items.length !== count) {
    const error = `the receiver named ${items.length} of ${count} records. Its answer needs items: check "query" of the destination`;
    throw new DeliveryError(error, { next: 'blocked' });
  }
  return items.flatMap((item, place) =>
    Object.values(item).flatMap(({ status, error }) => failureOf(place, status, error?.type, nowMs)),
  );
}

function failureOf(place: number, status: number, type: string | undefined, nowMs: number): FailedValue[] {
  if (status < 300 || status === 409) return [];
  try {
    checkStatus({ status, retryAfter: null }, nowMs);
    return [];
  } catch (failure) {
    const reason = type?.replace(/[^\w.-]/g, '').slice(0, 80) ?? 'no reason';
    const error = `the receiver did not store a record: HTTP ${status}, ${reason}`;
    return [{ place, error, next: (failure as DeliveryError).next }];
  }
}

function parseOrNull(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
