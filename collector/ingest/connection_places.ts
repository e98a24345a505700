/** Decides whether another agent may connect. Pure. */

/** One part in this many of all places is kept for agents that show a credential. */
const RESERVED_SHARE = 8;
/** Connections that have shown an enrolment token and have sent no `hello`. */
const MAX_WITHOUT_HELLO = 256;
/** Connections with the credential of one host. An agent has one, and a half-open one or two after a cut. */
const MAX_CONNECTIONS_OF_HOST = 4;

interface Connection {
  /** The only host that its credential or certificate speaks for; null for an enrolment token. */
  readonly boundTo: string | null;
  /** Null before its `hello`. */
  readonly stream: string | null;
}

/**
 * Tells whether there is a place for a connection with the credential of `hostId` (null: with an enrolment
 * token), and which other one must be closed for it. Some places are reserved for agents that show a credential
 * or a certificate. They may also replace a connection that showed an enrolment token and has sent no `hello`.
 * `connections`: the oldest first.
 */
export function placeFor<C extends Connection>(
  hostId: string | null,
  connections: ReadonlySet<C>,
  maxConnections: number,
): { hasPlace: boolean; leaving: C | null } {
  const { size } = connections;
  const withoutHello = () =>
    [...connections].filter(({ boundTo, stream }) => boundTo === null && stream === null);
  if (hostId === null) {
    const reserved = Math.floor(maxConnections / RESERVED_SHARE);
    const hasPlace = size < maxConnections - reserved && withoutHello().length < MAX_WITHOUT_HELLO;
    return { hasPlace, leaving: null };
  }
  const ofHost = [...connections].filter(({ boundTo }) => boundTo === hostId);
  const oldest = ofHost.length >= MAX_CONNECTIONS_OF_HOST ? ofHost[0] : undefined;
  const leaving = oldest ?? (size >= maxConnections ? withoutHello()[0] : undefined) ?? null;
  return { hasPlace: leaving !== null || size < maxConnections, leaving };
}
