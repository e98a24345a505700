/**
 * How alerts leave: never to a link-local address, nor to a cloud's metadata service (refused_addresses.ts). An admin says where alerts go, and still must not be able to make the collector
 * ask its own host's metadata service. Names are resolved first, and the connection goes to the addresses that were
 * checked: a name that resolves differently a moment later changes nothing.
 */
import { lookup as resolveName } from 'node:dns/promises';
import { connect, isIP, type LookupFunction, type Socket } from 'node:net';
import { isRefused } from './refused_addresses.ts';

export interface Address {
  address: string;
  family: number;
}
export type Resolve = (host: string) => Promise<Address[]>;

export const byNameService: Resolve = (host) => resolveName(host, { all: true });

/** Says what went wrong in words that hold no secret. */
export class DeliveryError extends Error {
  override name = 'DeliveryError';
}

/** All addresses of `host` (a name, or an address with or without brackets). Throws `DeliveryError` if one of them is refused. */
export async function allowedAddresses(host: string, resolve: Resolve): Promise<Address[]> {
  const bare = host.replace(/^\[|\]$/g, '');
  const family = isIP(bare);
  const addresses = family === 0 ? await resolve(bare) : [{ address: bare, family }];
  if (addresses.length === 0) throw new DeliveryError(`${bare} has no address`);
  for (const { address } of addresses) {
    if (isRefused(address)) {
      throw new DeliveryError(
        `${bare === address ? bare : `${bare} is ${address}, which`} is a link-local address, or another one where a cloud has its metadata service: alerts are never sent there`,
      );
    }
  }
  return addresses;
}

/** For `net.connect` and `http.request`: answers with these addresses, whatever is asked. */
export function lookupOf(addresses: readonly Address[]): LookupFunction {
  return (_host, { all }, callback) => {
    if (all === true) callback(null, [...addresses]);
    else callback(null, addresses[0]!.address, addresses[0]!.family);
  };
}

/** A connected TCP socket. Rejects with what went wrong, also when `signal` ends it. */
export async function connectTo(
  host: string,
  port: number,
  { resolve, signal }: { resolve: Resolve; signal: AbortSignal },
): Promise<Socket> {
  const addresses = await within(signal, allowedAddresses(host, resolve));
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
  // Stays: the signal can end the socket before its new owner listens, and that owner is told by its closing.
  socket.on('error', reject);
  return promise;
}

/** `work`, or the signal's reason as soon as that is raised: a name service cannot be interrupted. */
export async function within<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
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
