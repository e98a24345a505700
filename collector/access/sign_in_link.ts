/**
 * `https://collector.example/sign-in#imdsw_c…`: what stands behind the `#` is not sent to any server, so that it is in no log of a
 * proxy; the page takes it from there, asks before it signs in, and posts it.
 */
export function signInLink(baseUrl: string, code: string): string {
  return `${baseUrl.replace(/\/+$/, '')}/sign-in#${code}`;
}
