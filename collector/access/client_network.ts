import { isIPv6 } from 'node:net';

/**
 * Returns the network that limits count by. For IPv6 that is the /64, because one subscriber has all its
 * addresses (RFC 4291 section 2.5.4); for IPv4 it is the address itself.
 */
export function networkOf(remoteAddress: string | null): string {
  const address = remoteAddress ?? '';
  if (!isIPv6(address)) return address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  if (mapped !== null) return mapped[1]!;
  return ipv6Network(address);
}

function ipv6Network(address: string): string {
  const [head = '', tail] = address.replace(/%.*$/, '').split('::', 2);
  const before = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const missing = tail === undefined ? 0 : 8 - before.length - after.length - (address.includes('.') ? 1 : 0);
  const groups = [...before, ...new Array<string>(Math.max(0, missing)).fill('0'), ...after];
  return groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':');
}
