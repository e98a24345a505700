/** Checks the path to which a person returns after signing in. */

/** The path travels in a cookie, of which browsers keep 4,096 bytes. */
const MAX_CHARACTERS = 1000;
/** No real host has this name (RFC 2606 section 2). */
const ORIGIN = 'https://own.invalid';

/**
 * Returns a path of our own page with its query. Returns `/` for anything else, so that no link to the sign-in can lead
 * to another site, to the API, or back to the sign-in.
 */
export function returnPath(wanted: string | null | undefined): string {
  if (wanted === null || wanted === undefined || wanted.length > MAX_CHARACTERS || !wanted.startsWith('/')) {
    return '/';
  }
  const url = URL.parse(wanted, ORIGIN);
  if (url === null || url.origin !== ORIGIN) return '/';
  // "/.//other.example" is a path of ours, and becomes "//other.example", which is another site.
  if (url.pathname.startsWith('//') || /^\/(?:api|sign-in)(?:\/|$)/.test(url.pathname)) return '/';
  const path = url.pathname + url.search;
  return path.length > MAX_CHARACTERS ? '/' : path;
}
