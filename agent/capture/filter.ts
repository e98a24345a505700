/**
 * Builds the kernel's packet filter, which passes only the traffic of the chosen endpoints. Syntax:
 * pcap-filter(7).
 */
import { ENDPOINTS, type EndpointService } from '../../protocol/endpoints.ts';

/**
 * Returns a filter for all TCP traffic with the endpoints. It does not select port 80: a fragment carries no
 * port, and it must be captured to be counted as a loss.
 */
export function endpointFilter(services: readonly EndpointService[]): string {
  const addresses = ENDPOINTS.filter(({ service }) => services.includes(service)).map(
    ({ address }) => address,
  );
  const ipv6 = addresses.filter((address) => address.includes(':'));
  const ipv4 = addresses.filter((address) => !address.includes(':'));
  const parts: string[] = [];
  if (ipv4.length > 0) parts.push(`(ip proto 6 and (${hosts('ip', ipv4)}))`);
  if (ipv6.length > 0) parts.push(`(not ip6 proto 58 and (${hosts('ip6', ipv6)}))`);
  return parts.join(' or ');
}

/** The Ethernet types of VLAN tags: 802.1Q, 802.1ad and the older stacked tag. */
const VLAN_TYPES = [0x8100, 0x88a8, 0x9100];
/**
 * In a cooked capture (LINKTYPE_LINUX_SLL) the frame's type is at 14, a tag at 16, and the tagged packet at
 * 20.
 */
const TYPE = 'link[14:2]';
const TAGGED_TYPE = 'link[18:2]';
const BEHIND_TAG = 20;
/** The index of the loopback in every network namespace. */
const LOOPBACK_INDEX = 1;
/** A newer kernel filters a sent frame without its tag, but with the tag's type; libpcap restores the tag. */
const IN_PLACE_OF_TAG = 16;

/**
 * Returns a filter for a live capture on `any`. It also passes frames that carry a VLAN tag in their bytes,
 * as raw sockets send them: a receiver treats a frame with tag 0 as untagged. Frames with more than one tag
 * pass with any content.
 */
export function cookedEndpointFilter(services: readonly EndpointService[]): string {
  const chosen = ENDPOINTS.filter(({ service }) => services.includes(service));
  const tagged = chosen.flatMap(({ address }) => {
    const isIpv6 = address.includes(':');
    const version = `link[${IN_PLACE_OF_TAG}] & 0xf0 = ${isIpv6 ? 0x60 : 0x40}`;
    return [
      `(${TAGGED_TYPE} = ${isIpv6 ? 0x86dd : 0x0800} and ${packetOf(address, BEHIND_TAG)})`,
      `(${version} and ${packetOf(address, IN_PLACE_OF_TAG)})`,
    ];
  });
  const parts = [...tagged, anyOf(TAGGED_TYPE, VLAN_TYPES)];
  return `(${endpointFilter(services)}) or ((${anyOf(TYPE, VLAN_TYPES)}) and (${parts.join(' or ')}))`;
}

function anyOf(field: string, values: readonly number[]): string {
  return values.map((value) => `${field} = ${value}`).join(' or ');
}

/**
 * Returns a filter for an IP packet at an offset that is or may be TCP, with an address as its source or
 * destination.
 */
function packetOf(address: string, offset: number): string {
  const bytes = bytesOf(address);
  const [source, destination] = bytes.length === 4 ? [12, 16] : [8, 24];
  const ends = `(${equalsBytes(offset + source!, bytes)} or ${equalsBytes(offset + destination!, bytes)})`;
  return bytes.length === 4 ? `link[${offset + 9}] = 6 and ${ends}` : ends;
}

/** Returns the bytes of an address of `ENDPOINTS`; an IPv6 address must be written with `::`. */
function bytesOf(address: string): Buffer {
  if (!address.includes(':')) return Buffer.from(address.split('.').map(Number));
  const [head = [], tail = []] = address.split('::').map((part) => part.split(':'));
  const groups = [...head, ...new Array(8 - head.length - tail.length).fill('0'), ...tail];
  return Buffer.from(groups.map((group) => group.padStart(4, '0')).join(''), 'hex');
}

/** Returns a filter for the bytes of an address at an offset, compared four at a time. */
function equalsBytes(offset: number, bytes: Buffer): string {
  const words = Array.from({ length: bytes.length / 4 }, (_, n) => {
    return `link[${offset + n * 4}:4] = ${bytes.readUInt32BE(n * 4)}`;
  });
  return `(${words.join(' and ')})`;
}

/** Returns the cooked filter for one interface of a capture on all of them. Needs libpcap 1.10. */
export function endpointFilterOnInterface(ifindex: number, services: readonly EndpointService[]): string {
  return `ifindex ${ifindex} and (${cookedEndpointFilter(services)})`;
}

/**
 * Returns the filter for a namespace that has an endpoint's address itself. It passes only the traffic of
 * this namespace with an endpoint elsewhere: calls that arrive are captured where they began, and calls on
 * the loopback never leave. Needs libpcap 1.10.
 */
export function endpointFilterBesideService(services: readonly EndpointService[]): string {
  return `not ifindex ${LOOPBACK_INDEX} and (${clientSideFilter(services)})`;
}

/** Returns a filter without calls that arrive. A cooked capture knows which packets the namespace sent. */
export function clientSideFilter(services: readonly EndpointService[]): string {
  const addresses = ENDPOINTS.filter(({ service }) => services.includes(service)).map(
    ({ address }) => address,
  );
  const ends = (end: 'src' | 'dst') =>
    addresses.map((address) => `${address.includes(':') ? 'ip6' : 'ip'} ${end} host ${address}`).join(' or ');
  const isServed = `(inbound and (${ends('dst')})) or (outbound and (${ends('src')}))`;
  return `(${cookedEndpointFilter(services)}) and not (${isServed})`;
}

function hosts(family: 'ip' | 'ip6', addresses: readonly string[]): string {
  return addresses.map((address) => `${family} host ${address}`).join(' or ');
}
