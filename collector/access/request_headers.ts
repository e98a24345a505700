import type { IncomingHttpHeaders } from 'node:http';

/** Headers of a request in the form of Node's server or of the Fetch API. */
export type RequestHeaders = IncomingHttpHeaders | Headers;

/**
 * Returns the value of a header, null if it is missing. Several headers of one name are joined with commas.
 */
export function headerOf(headers: RequestHeaders, name: string): string | null {
  if (headers instanceof Headers) return headers.get(name);
  const value = headers[name.toLowerCase()];
  return Array.isArray(value) ? value.join(', ') : (value ?? null);
}
