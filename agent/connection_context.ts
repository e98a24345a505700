/** The facts that the pipeline keeps with each connection. */
import type { ConnectionUse, Opener, ProcessFacts } from '../protocol/call.ts';
import type { Place } from './attribution/answerer.ts';
import type { SocketOwner } from './attribution/owner.ts';
import type { Relayed } from './attribution/relays.ts';
import type { Translation } from './attribution/translations.ts';
import type { TokenRequest } from './conversation/fallback.ts';
import type { WorkloadRef } from './identity/workload.ts';
import type { HeldRequest } from './user_network_calls.ts';

export interface ConnectionContext {
  owner: SocketOwner | null;
  process: ProcessFacts | null;
  /** Container, pod and unit of the owner; the engine may still be looking up their names. */
  workload: WorkloadRef | null;
  /** Sequence number of the SYN; null if the SYN was not seen. */
  initialSequence: number | null;
  /** When the SYN was sent, in microseconds since the Unix epoch; null if it was not seen. */
  begunUs: number | null;
  /** New network namespaces were looked for, because its owner was found in none of the known ones. */
  isSearched: boolean;
  /** A socket of this process made the connection, as far as that is known without eBPF. */
  isOwn: boolean;
  /** The number of requests that were taken for our own. We send one request per connection. */
  ownRequests: number;
  /** Token requests whose end is not known yet, oldest first. */
  tokenRequests: TokenRequest[];
  /** The namespaces and interfaces on which the client's packets were seen. */
  places: Place[];
  /** The connection was also seen with translated addresses, on its way to the endpoint. */
  isCopied: boolean;
  /** The translation by the namespace in which its packets arrived; null until that was asked. */
  translation: { netns: number; answer: Translation } | null;
  /** A socket of the host is the other end of the connection. */
  endsInHostSocket: boolean;
  /** Requests that a user-mode network may have sent on, or has sent; oldest first. */
  heldRequests: HeldRequest<ConnectionContext>[];
  /** The way in which the sender of the latest request has the connection; null where that is not known. */
  use: ConnectionUse | null;
  /** The first process that was known as the owner. */
  connector: SocketOwner | null;
  /** The process that sent the latest request, if it is not the one that opened the connection; then it is `owner`. */
  sender: SocketOwner | null;
  /** The process that opened the connection, if it is another one than `owner`. */
  opener: Opener | null;
  /** The program on whose behalf the latest request was sent; null if the caller sent it for itself. */
  relayed: Relayed<ConnectionContext> | null;
}

export function newContext(
  owner: SocketOwner | null,
  initialSequence: number | null,
  begunUs: number | null = null,
): ConnectionContext {
  return {
    ...{ owner, process: null, workload: null, initialSequence, begunUs, isOwn: false, ownRequests: 0 },
    tokenRequests: [],
    ...{
      places: [],
      isCopied: false,
      translation: null,
      endsInHostSocket: false,
      use: null,
      connector: null,
      sender: null,
      opener: null,
      isSearched: false,
      relayed: null,
      heldRequests: [],
    },
  };
}

/** Returns a string that names one process of one boot; null if the owner is unknown. */
export function callerKey({ owner }: Pick<ConnectionContext, 'owner'>): string | null {
  return owner === null ? null : `${owner.pid}:${owner.startTicks}`;
}
