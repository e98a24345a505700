/** Decides which calls may be rolled up and which must be sent whole. */
import type { Call } from '../../protocol/call.ts';

/**
 * Returns true for an ordinary call of a busy host, which nobody will look at one by one: a successful IMDSv2
 * token request or read. Every other call is evidence and is sent whole: IMDSv1, credentials with any
 * version, calls without an answer, refusals, and calls where the service's own verdict disagrees with the
 * agent's.
 *
 * A 404 to an ordinary read is routine: it is how the service answers "nothing yet" to programs that poll
 * `spot/instance-action` or `events/…` every few seconds (AWS EC2 user guide, "Spot Instance interruption
 * notices").
 */
export function isRoutine(call: Call): boolean {
  if (call['imds.version'] !== 2 || call['imds.server_version'] === 1) return false;
  if (call['imds.category'] === 'credentials' || call['imds.kind'] === 'other') return false;
  const status = call['http.response.status_code'];
  if (call.outcome !== 'answered' || status === null) return false;
  return status < 400 || (status === 404 && call['imds.kind'] === 'read');
}
