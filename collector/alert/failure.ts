/** Judges the error of a delivery: what it says, and whether trying again can help. */
import { DeliveryError, type Next } from './guarded_connect.ts';

export interface Failure {
  error: string;
  next: Next;
  retryAfterMs: number | null;
}

/** Codes of Node's TLS for a certificate that is not trusted, or not for this name, and of protocols that do not fit. */
const TLS_CODES =
  /^(ERR_TLS_|ERR_SSL_|CERT_|DEPTH_ZERO_SELF_SIGNED_CERT$|SELF_SIGNED_CERT_IN_CHAIN$|UNABLE_TO_|HOSTNAME_MISMATCH$)/;

/** The message may still hold secrets of the destination. */
export function failureOf(error: unknown): Failure {
  // Several addresses were tried. The first failure says as much as all of them.
  const cause: unknown = error instanceof AggregateError ? error.errors[0] : error;
  if (cause instanceof DeliveryError) {
    return { error: cause.message, next: cause.next, retryAfterMs: cause.retryAfterMs };
  }
  const text = cause instanceof Error ? cause.message : String(cause);
  return { error: text, next: nextOf(cause), retryAfterMs: null };
}

function nextOf(cause: unknown): Next {
  const { code, responseCode } = cause as { code?: unknown; responseCode?: unknown };
  if (code === 'EAUTH') return 'blocked';
  // A reply of SMTP: 5yz is permanent (RFC 5321 section 4.2.1).
  if (typeof responseCode === 'number' && responseCode >= 500) return 'refused';
  return typeof code === 'string' && TLS_CODES.test(code) ? 'blocked' : 'again';
}
