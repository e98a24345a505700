/**
 * The cookie of a session (RFC 6265bis). Scripts and other sites cannot use it, and with TLS it is bound to
 * this host.
 */

export interface SessionCookie {
  name: string;
  /** Returns the value of `Set-Cookie` for a new session. */
  set(session: string, maxAgeSeconds: number): string;
  /** Returns the value of `Set-Cookie` that removes the cookie. */
  clear(): string;
  /** Returns the session in a `Cookie` header. Null if there is none, or if several are different. */
  read(header: string | null | undefined): string | null;
}

/**
 * `secure` is true if people use TLS, of the collector or of a proxy. `__Host-` keeps other hosts of the
 * domain from setting it.
 */
export function sessionCookie(secure: boolean): SessionCookie {
  const name = secure ? '__Host-imdswatch' : 'imdswatch';
  const attributes = `Path=/; HttpOnly; SameSite=Strict${secure ? '; Secure' : ''}`;
  return {
    name,
    set: (session, maxAgeSeconds) => `${name}=${session}; Max-Age=${maxAgeSeconds}; ${attributes}`,
    clear: () => `${name}=; Max-Age=0; ${attributes}`,
    read: (header) => {
      const values = new Set<string>();
      for (const pair of (header ?? '').split(';')) {
        const equals = pair.indexOf('=');
        if (equals > 0 && pair.slice(0, equals).trim() === name) values.add(pair.slice(equals + 1).trim());
      }
      // An attacker who can set cookies for this host (another port, a sibling host without TLS) could add
      // one.
      return values.size === 1 ? [...values][0]! : null;
    },
  };
}
