/**
 * Returns a link such as `https://collector.example/sign-in#imdsw_c…`. Browsers send the part after the `#`
 * to no server, so it is in no log of a proxy. The page reads it, asks before it signs in, and posts it.
 */
export function signInLink(baseUrl: string, code: string): string {
  return `${baseUrl.replace(/\/+$/, '')}/sign-in#${code}`;
}
