/** Decides from the answer of a receiver whether it has accepted what it was sent, and whether to try again. */
import { DeliveryError } from '../guarded_connect.ts';
import type { HttpAnswer } from './connections.ts';

/**
 * Client errors after which the same request may succeed: request timeout (RFC 9110), too early (RFC 8470), too many
 * requests (RFC 6585), locked (RFC 4918), misdirected request (RFC 9110).
 */
const AGAIN_4XX = new Set([408, 421, 423, 425, 429]);
/** The destination must be changed, or the receiver: a credential, an address, a permission. */
const BLOCKED_4XX = new Set([401, 402, 403, 404, 405, 407]);
/** Server errors that say that the request is not understood. */
const REFUSED_5XX = new Set([501, 505]);

/** Throws `DeliveryError` if the status is not 2xx. `nowMs`: milliseconds since 1970, for a date in `Retry-After`. */
export function checkStatus(
  { status, retryAfter }: Pick<HttpAnswer, 'status' | 'retryAfter'>,
  nowMs: number,
): void {
  if (status >= 200 && status < 300) return;
  const answered = `the receiver answered HTTP ${status}`;
  if (status >= 300 && status < 400) {
    throw new DeliveryError(`${answered}: redirects are not followed, set the final URL`, {
      next: 'blocked',
    });
  }
  if (BLOCKED_4XX.has(status)) throw new DeliveryError(answered, { next: 'blocked' });
  const isRefused = status >= 500 ? REFUSED_5XX.has(status) : !AGAIN_4XX.has(status);
  if (isRefused) throw new DeliveryError(answered, { next: 'refused' });
  throw new DeliveryError(answered, { next: 'again', retryAfterMs: retryAfterMs(retryAfter, nowMs) });
}

/** Returns the time to wait in milliseconds (RFC 9110 section 10.2.3): seconds or a date. Null where it is neither. */
export function retryAfterMs(header: string | null, nowMs: number): number | null {
  if (header === null) return null;
  const text = header.trim();
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  const date = /^[A-Z][a-z]{2}, .* GMT$/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(date) ? null : Math.max(0, date - nowMs);
}
