/** Did our own page ask for this? What a browser shows by itself (a cookie, a proxy's sign-in) proves nothing about that. */
import { headerOf, type RequestHeaders } from './request_headers.ts';

export interface OwnOrigin {
  /** Served over TLS: then a page that came without is another origin, though it has the same name. */
  secure: boolean;
  /** Where people find the collector, when that is not the address that they ask. */
  publicUrl: string | null;
}

/**
 * By `Sec-Fetch-Site` (W3C Fetch Metadata), which pages cannot set; where the browser does not send it (it does so over TLS and to
 * localhost only), by `Origin` (RFC 6454 section 7), which browsers add to every request that changes something. Neither: no.
 */
export function isSameOrigin(headers: RequestHeaders, { secure, publicUrl }: OwnOrigin): boolean {
  const site = headerOf(headers, 'sec-fetch-site');
  if (site !== null) return site === 'same-origin';
  const origin = headerOf(headers, 'origin');
  const url = origin === null ? null : URL.parse(origin);
  if (url === null || url.origin === 'null') return false;
  if (publicUrl !== null && url.origin === URL.parse(publicUrl)?.origin) return true;
  const host = headerOf(headers, 'host');
  const allowed = secure ? ['https:'] : ['https:', 'http:'];
  return (
    host !== null &&
    allowed.includes(url.protocol) &&
    URL.parse(`${url.protocol}//${host}`)?.origin === url.origin
  );
}
