/** The kernel's packet filter: only the chosen endpoints' traffic ever reaches us. Syntax: pcap-filter(7). */
import { ENDPOINTS, type EndpointService } from '../../protocol/endpoints.ts';

/**
 * All TCP with an endpoint and not only port 80: a fragment carries no port, and a fragment is a loss that must be
 * seen to be counted.
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

/** The same on one interface of a capture on all of them. Needs libpcap 1.10. */
export function endpointFilterOnInterface(ifindex: number, services: readonly EndpointService[]): string {
  return `ifindex ${ifindex} and (${endpointFilter(services)})`;
}

function hosts(family: 'ip' | 'ip6', addresses: readonly string[]): string {
  return addresses.map((address) => `${family} host ${address}`).join(' or ');
}
