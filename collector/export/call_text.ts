/** Makes texts of a call that several shapes have: one line for people, and its URL. */
import type { Call } from '../../protocol/call.ts';

/** Returns one line, such as `IMDSv1 GET /latest/user-data by /usr/bin/curl: answered, 200`. */
export function lineOf(call: Call): string {
  const version = call['imds.version'];
  const status = call['http.response.status_code'];
  const request = [
    version === null ? null : `IMDSv${version}`,
    call['http.request.method'] ?? (call.outcome === 'blocked' ? 'attempt' : 'request'),
    call['url.path'],
  ].filter((part) => part !== null);
  const caller = call.process?.['executable.path'] ?? call.process?.name ?? call['source.address'];
  return `${request.join(' ')} by ${caller}: ${call.outcome}${status === null ? '' : `, ${status}`}`;
}

/** Returns the address that was requested; null where the path is not known. */
export function urlOf(call: Call): string | null {
  const path = call['url.path'];
  if (path === null) return null;
  const { 'destination.address': address, 'destination.port': port, 'url.query': query } = call;
  const host = address.includes(':') ? `[${address}]` : address;
  return `http://${host}${port === 80 ? '' : `:${port}`}${path}${query === null ? '' : `?${query}`}`;
}
