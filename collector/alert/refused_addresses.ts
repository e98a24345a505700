/**
 * Addresses that alerts are never sent to: link-local addresses and those of the metadata services of clouds.
 * An IPv6 address that stands for an IPv4 address is judged by the IPv4 address.
 */
import { BlockList, isIP } from 'node:net';

const REFUSED = new BlockList();
// IPv4 link-local (RFC 3927): metadata of AWS, Azure, Google and most others.
REFUSED.addSubnet('169.254.0.0', 16, 'ipv4');
// Metadata of Alibaba Cloud, of Oracle Cloud's older images, and Azure's wire server.
REFUSED.addAddress('100.100.100.200', 'ipv4');
REFUSED.addAddress('192.0.0.192', 'ipv4');
REFUSED.addAddress('168.63.129.16', 'ipv4');
// IPv6 link-local (RFC 4291 section 2.5.6).
REFUSED.addSubnet('fe80::', 10, 'ipv6');
// Metadata in IPv6 of AWS, Google, Oracle and Scaleway.
REFUSED.addSubnet('fd00:ec2::', 32, 'ipv6');
REFUSED.addSubnet('fd20:ce::', 32, 'ipv6');
REFUSED.addSubnet('fd00:c1::', 32, 'ipv6');
REFUSED.addSubnet('fd00:42::', 32, 'ipv6');

/** Returns false also for a text that is not an address. Names must be resolved first. */
export function isRefused(address: string): boolean {
  const plain = address.split('%', 1)[0]!;
  const family = isIP(plain);
  if (family === 0) return false;
  if (family === 4) return REFUSED.check(plain, 'ipv4');
  return REFUSED.check(plain, 'ipv6') || embedded(bytesOf(plain)).some((v4) => REFUSED.check(v4, 'ipv4'));
}

/** Returns the IPv4 addresses that an IPv6 address may stand for. */
function embedded(bytes: readonly number[]): string[] {
  const at = (...places: number[]) => places.map((place) => bytes[place]).join('.');
  const last = at(12, 13, 14, 15);
  const begins = (...prefix: number[]) => prefix.every((byte, place) => bytes[place] === byte);
  const found: string[] = [];
  const zeros = (count: number) => new Array<number>(count).fill(0);
  // IPv4-compatible and IPv4-mapped (RFC 4291 section 2.5.5), IPv4-translated (RFC 2765 section 2.1).
  if (begins(...zeros(12)) || begins(...zeros(10), 0xff, 0xff) || begins(...zeros(8), 0xff, 0xff, 0, 0)) {
    found.push(last);
  }
  // NAT64: the well-known prefix (RFC 6052), and the prefix for local use (RFC 8215) with every prefix length
  // that fits.
  if (begins(0, 0x64, 0xff, 0x9b, ...zeros(8))) found.push(last);
  if (begins(0, 0x64, 0xff, 0x9b, 0, 1)) {
    found.push(last, at(6, 7, 9, 10), at(7, 9, 10, 11), at(9, 10, 11, 12));
  }
  // 6to4 (RFC 3056 section 2).
  if (begins(0x20, 0x02)) found.push(at(2, 3, 4, 5));
  // Teredo (RFC 4380 section 4): the server, and the client with its bits inverted.
  if (begins(0x20, 0x01, 0, 0)) {
    found.push(
      at(4, 5, 6, 7),
      bytes
        .slice(12)
        .map((byte) => byte ^ 0xff)
        .join('.'),
    );
  }
  // ISATAP (RFC 5214 section 6.1), under any prefix.
  if ((bytes[8] === 0 || bytes[8] === 2) && bytes[9] === 0 && bytes[10] === 0x5e && bytes[11] === 0xfe) {
    found.push(last);
  }
  return found;
}

/** Returns the 16 bytes of a valid IPv6 address. */
function bytesOf(address: string): number[] {
  // The URL parser turns a dotted end into two groups (WHATWG URL, IPv6 serializer).
  const text = new URL(`http://[${address}]`).hostname.slice(1, -1);
  const [head = '', tail] = text.split('::', 2);
  const groups = (part: string) => (part === '' ? [] : part.split(':'));
  const before = groups(head);
  const after = groups(tail ?? '');
  const missing = new Array<string>(8 - before.length - after.length).fill('0');
  return [...before, ...missing, ...after].flatMap((group) => {
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}
