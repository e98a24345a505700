/**
 * Reads the answers of Splunk's HTTP Event Collector. Its code says whether a record is wrong or the destination, where both
 * have the same HTTP status (help.splunk.com, "Troubleshoot HTTP Event Collector", possible error codes).
 */
import * as z from 'zod';
import { DeliveryError, type Next } from '../guarded_connect.ts';
import type { HttpAnswer } from './connections.ts';
import { checkStatus, retryAfterMs } from './outcome.ts';

const hecAnswer = z.object({ code: z.int() });

const CODES: Readonly<Record<number, { text: string; next: Next }>> = {
  1: { text: 'the token is disabled', next: 'blocked' },
  2: { text: 'a token is required', next: 'blocked' },
  3: { text: 'the authorization is invalid', next: 'blocked' },
  4: { text: 'the token is invalid', next: 'blocked' },
  5: { text: 'there is no data', next: 'refused' },
  6: { text: 'the data has an invalid format', next: 'refused' },
  7: { text: 'the token may not write to this index. Set another index, or allow it', next: 'blocked' },
  8: { text: 'internal server error', next: 'again' },
  9: { text: 'the server is busy', next: 'again' },
  10: { text: 'the token wants a channel. Set the value channel to a GUID', next: 'blocked' },
  11: { text: 'the channel is invalid. Set the value channel to a GUID', next: 'blocked' },
  12: { text: 'a record has no event', next: 'refused' },
  13: { text: 'a record has an empty event', next: 'refused' },
  14: { text: 'acknowledgements are disabled', next: 'blocked' },
  15: { text: 'the indexed fields cannot be read', next: 'refused' },
  16: { text: 'a token in the query string is not allowed', next: 'blocked' },
};

/** Throws `DeliveryError` where the events were not accepted. The error has no text of the receiver. */
export function checkHecAnswer(answer: HttpAnswer, nowMs: number): void {
  const { status, retryAfter, text } = answer;
  if (status >= 200 && status < 300) return;
  const known = CODES[codeOf(text) ?? -1];
  if (known === undefined) {
    checkStatus(answer, nowMs);
    return;
  }
  const retryMs = known.next === 'again' ? retryAfterMs(retryAfter, nowMs) : null;
  throw new DeliveryError(`the receiver answered HTTP ${status}: ${known.text}`, {
    next: known.next,
    retryAfterMs: retryMs,
  });
}

function codeOf(text: string): number | null {
  try {
    return hecAnswer.safeParse(JSON.parse(text)).data?.code ?? null;
  } catch {
    return null;
  }
}
