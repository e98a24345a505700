/** The kernel's packet filter: only metadata traffic ever reaches us. Syntax: pcap-filter(7). */
import { IMDS_IPV4, IMDS_IPV6 } from '../../protocol/endpoints.ts';

/**
 * All TCP with an endpoint and not only port 80: a fragment carries no port, and a fragment is a loss that must be
 * seen to be counted.
 */
export const METADATA_FILTER = `(ip host ${IMDS_IPV4} and ip proto 6) or (ip6 host ${IMDS_IPV6} and not ip6 proto 58)`;

/** The same on one interface of a capture on all of them. Needs libpcap 1.10. */
export function filterOnInterface(ifindex: number): string {
  return `ifindex ${ifindex} and (${METADATA_FILTER})`;
}
