/** Rates a call for receivers that have levels of severity. */
import type { Call } from '../../protocol/call.ts';
import { isV1Use, judgedFields } from '../../protocol/v1_use.ts';

/**
 * `credentials`: role credentials were delivered without a token. `v1`: another use of IMDSv1. `fallback`: one that followed a
 * token request that failed. `rejected`: one that was refused with 401. `blocked`: no request left the host. `routine`: all
 * else; nothing breaks if tokens are required.
 */
export type CallRating = 'credentials' | 'v1' | 'fallback' | 'rejected' | 'blocked' | 'routine';

export function ratingOf(call: Call): CallRating {
  if (call.outcome === 'blocked') return 'blocked';
  if (!isV1Use(judgedFields(call))) return 'routine';
  const status = call['http.response.status_code'];
  if (status === 401) return 'rejected';
  if (call['imds.category'] === 'credentials' && status !== null && status >= 200 && status < 300) {
    return 'credentials';
  }
  return call['imds.fallback'] === null ? 'v1' : 'fallback';
}
