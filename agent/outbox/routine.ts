/** Which calls may be rolled up, and which must travel whole. */
import type { Call } from '../../protocol/call.ts';

/**
 * True for what a busy host does all day and nobody will ask about one by one: an IMDSv2 token request or read that went
 * as it should. Everything else is evidence and travels whole: IMDSv1, credentials by whatever version, calls without
 * an answer, refusals, and calls where the service's own verdict disagrees with ours.
 *
 * A 404 to an ordinary read is routine: it is how the service says "nothing yet" to what polls `spot/instance-action`
 * or `events/…` every few seconds (AWS EC2 user guide, "Spot Instance interruption notices").
 */
export function isRoutine(call: Call): boolean {
  if (call['imds.version'] !== 2 || call['imds.server_version'] === 1) return false;
  if (call['imds.category'] === 'credentials' || call['imds.kind'] === 'other') return false;
  const status = call['http.response.status_code'];
  if (call.outcome !== 'answered' || status === null) return false;
  return status < 400 || (status === 404 && call['imds.kind'] === 'read');
}
