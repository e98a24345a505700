/** The cookie of a session (RFC 6265bis): not for scripts, not for other sites, and under TLS for this very host only. */

export interface SessionCookie {
  name: string;
  /** Value of `Set-Cookie` for a new session. */
  set(session: string, maxAgeSeconds: number): string;
  /** Value of `Set-Cookie` that removes it. */
  clear(): string;
  /** The session in a `Cookie` header; null where there is none, or where several disagree. */
  read(header: string | null | undefined): string | null;
}

/** `secure`: people reach the collector over TLS, its own or a proxy's. `__Host-` keeps other hosts of the domain from setting it. */
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
      // Somebody who may set cookies for this host (another port, a sibling without TLS) could add one of theirs.
      return values.size === 1 ? [...values][0]! : null;
    },
  };
}
