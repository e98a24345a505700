/**
 * Decides if our own page sent a request. A cookie or the sign-in at a proxy does not prove that, because a
 * browser adds them to any request.
 */
import { headerOf, type RequestHeaders } from './request_headers.ts';

export interface OwnOrigin {
  /** The page is served over TLS. A page of the same name without TLS is another origin then. */
  secure: boolean;
  /** Address by which people reach the collector, if it differs from the Host header. */
  publicUrl: string | null;
}

/**
 * Decides by `Sec-Fetch-Site` (W3C Fetch Metadata), which pages cannot set. Browsers send it only over TLS
 * and to localhost. Otherwise decides by `Origin` (RFC 6454 section 7), which browsers add to every request
 * that changes something. Returns false without both.
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
