/**
 * Cookies of the collector (RFC 6265bis). Scripts cannot read them, and with TLS they are bound to this host.
 */

export interface OwnCookie {
  name: string;
  /** Returns the value of `Set-Cookie` for a new value. */
  set(value: string, maxAgeSeconds: number): string;
  /** Returns the value of `Set-Cookie` that removes the cookie. */
  clear(): string;
  /** Returns the value in a `Cookie` header. Null if there is none, or if several are different. */
  read(header: string | null | undefined): string | null;
}

/** The cookie of a session. Other sites cannot use it. */
export function sessionCookie(secure: boolean): OwnCookie {
  return ownCookie('imdswatch', secure, 'Strict');
}

/**
 * `secure` is true if people use TLS, of the collector or of a proxy. `__Host-` keeps other hosts of the
 * domain from setting it.
 */
export function ownCookie(plainName: string, secure: boolean, sameSite: 'Strict' | 'Lax'): OwnCookie {
  const name = secure ? `__Host-${plainName}` : plainName;
  const attributes = `Path=/; HttpOnly; SameSite=${sameSite}${secure ? '; Secure' : ''}`;
  return {
    name,
    set: (value, maxAgeSeconds) => `${name}=${value}; Max-Age=${maxAgeSeconds}; ${attributes}`,
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
