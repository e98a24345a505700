/**
 * How alerts leave: never to a link-local address. An admin says where alerts go, and still must not be able to make the collector
 * ask its own host's metadata service. Names are resolved first, and the connection goes to the addresses that were
 * checked: a name that resolves differently a moment later changes nothing.
 */
import { lookup as resolveName } from 'node:dns/promises';
import { BlockList, connect, isIP, type LookupFunction, type Socket } from 'node:net';

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

const REFUSED = new BlockList();
// IPv4 link-local (RFC 3927), and the same inside IPv6: mapped (RFC 4291 section 2.5.5.2), NAT64 (RFC 6052), 6to4 (RFC 3056).
REFUSED.addSubnet('169.254.0.0', 16, 'ipv4');
REFUSED.addSubnet('::ffff:169.254.0.0', 112, 'ipv6');
REFUSED.addSubnet('::169.254.0.0', 112, 'ipv6');
REFUSED.addSubnet('64:ff9b::169.254.0.0', 112, 'ipv6');
REFUSED.addSubnet('2002:a9fe::', 32, 'ipv6');
// IPv6 link-local (RFC 4291 section 2.5.6), and where AWS has its link-local services in IPv6.
REFUSED.addSubnet('fe80::', 10, 'ipv6');
REFUSED.addSubnet('fd00:ec2::', 32, 'ipv6');

export function isLinkLocal(address: string): boolean {
  const plain = address.split('%', 1)[0]!;
  return REFUSED.check(plain, isIP(plain) === 6 ? 'ipv6' : 'ipv4');
}

/** All addresses of `host` (a name, or an address with or without brackets). Throws `DeliveryError` if one of them is link-local. */
export async function allowedAddresses(host: string, resolve: Resolve): Promise<Address[]> {
  const bare = host.replace(/^\[|\]$/g, '');
  const family = isIP(bare);
  const addresses = family === 0 ? await resolve(bare) : [{ address: bare, family }];
  if (addresses.length === 0) throw new DeliveryError(`${bare} has no address`);
  for (const { address } of addresses) {
    if (isLinkLocal(address)) {
      throw new DeliveryError(
        `${bare === address ? bare : `${bare} is ${address}, which`} is a link-local address, where instance metadata is: alerts are never sent there`,
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
