/**
 * Connections of alert channels. They never go to a link-local address or to a cloud's metadata service
 * (refused_addresses.ts): an admin chooses the destinations, and still must not be able to make the collector
 * call its own host's metadata service. Names are resolved first, and the connection goes to the addresses
 * that were checked. A name that resolves differently a moment later changes nothing.
 */
import { lookup as resolveName } from 'node:dns/promises';
import { connect, isIP, type LookupFunction, type Socket } from 'node:net';
import { bareHost } from '../../common/host_address.ts';
import { isRefused } from './refused_addresses.ts';

export interface Address {
  address: string;
  family: number;
}
export type Resolve = (host: string) => Promise<Address[]>;

export const byNameService: Resolve = (host) => resolveName(host, { all: true });

/**
 * The way on after a failed delivery. `again`: the same may succeed a little later. `blocked`: nothing succeeds until
 * somebody changes the destination or the receiver. `refused`: the receiver will never take this, so it is given up.
 */
export type Next = 'again' | 'blocked' | 'refused';

/** An error whose message holds no secret. */
export class DeliveryError extends Error {
  override name = 'DeliveryError';
  readonly next: Next;
  /** Time that the receiver wants to be left alone, in milliseconds; null where it did not say. */
  readonly retryAfterMs: number | null;

  constructor(
    message: string,
    { next = 'again', retryAfterMs = null }: { next?: Next; retryAfterMs?: number | null } = {},
  ) {
    super(message);
    this.next = next;
    this.retryAfterMs = retryAfterMs;
  }
}

/**
 * Returns all addresses of `host`, a name or an address. Rejects with `DeliveryError` if one of them is
 * refused.
 */
export async function allowedAddresses(host: string, resolve: Resolve): Promise<Address[]> {
  const bare = bareHost(host);
  const family = isIP(bare);
  const addresses = family === 0 ? await resolve(bare) : [{ address: bare, family }];
  if (addresses.length === 0) throw new DeliveryError(`the name service has no address for ${bare}`);
  for (const { address } of addresses) {
    if (isRefused(address)) {
      throw new DeliveryError(
        `${bare === address ? bare : `${bare} is ${address}, which`} is a link-local address or the address of a cloud's metadata service: alerts are never sent there`,
        { next: 'blocked' },
      );
    }
  }
  return addresses;
}

/**
 * Returns a look-up function for `net.connect` and `http.request` that gives these addresses for every name.
 */
export function lookupOf(addresses: readonly Address[]): LookupFunction {
  return (_host, { all }, callback) => {
    if (all === true) callback(null, [...addresses]);
    else callback(null, addresses[0]!.address, addresses[0]!.family);
  };
}

/** Returns a connected TCP socket. Rejects with the cause, also when `signal` ends the attempt. */
export async function connectTo(
  host: string,
  port: number,
  { resolve, signal }: { resolve: Resolve; signal: AbortSignal },
): Promise<Socket> {
  const addresses = await raceSignal(signal, allowedAddresses(host, resolve));
  const { promise, resolve: connected, reject } = Promise.withResolvers<Socket>();
  const socket = connect({
    host: addresses[0]!.address,
    port,
    autoSelectFamily: true,
    lookup: lookupOf(addresses),
    signal,
    ...(addresses.length > 1 ? { host } : {}),
  });
  socket.once('connect', () => connected(socket));
  // This listener stays: the signal can end the socket before its new owner listens. The owner notices that
  // it closed.
  socket.on('error', reject);
  return promise;
}

/**
 * Returns the result of `work`. Rejects as soon as `signal` is raised, because a name look-up cannot be
 * interrupted.
 */
export async function raceSignal<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  signal.throwIfAborted();
  const { promise: ended, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([work, ended]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
