import type { IncomingHttpHeaders } from 'node:http';

/** Headers as Node's server has them, or as the Fetch API does. */
export type RequestHeaders = IncomingHttpHeaders | Headers;

/** Several of one name are one value with commas between, either way; null where there is none. */
export function headerOf(headers: RequestHeaders, name: string): string | null {
  if (headers instanceof Headers) return headers.get(name);
  const value = headers[name.toLowerCase()];
  return Array.isArray(value) ? value.join(', ') : (value ?? null);
}
