/**
 * Reads /proc/PID/net/nf_conntrack (net/netfilter/nf_conntrack_standalone.c, ct_seq_show). It needs no
 * CAP_NET_ADMIN and no entrance into the namespace, but the kernel prints every connection of it.
 */
import { type PacketTuple, packetTuple } from './netlink_conntrack.ts';

const FIELDS = /\bsrc=(\S+) dst=(\S+) sport=(\d+) dport=(\d+)/g;

/** Returns the tuple of the packets that come back on the TCP connection that began with `tuple`; else null. */
export function replyInTable(table: string, tuple: PacketTuple): PacketTuple | null {
  // The ports are compared as text first: parsing every address of a long table would cost milliseconds.
  const ports = ` sport=${tuple.sourcePort} dport=${tuple.destinationPort} `;
  for (const line of table.split('\n')) {
    if (!line.includes(ports) || !/^ipv[46]\s+\d+\s+tcp\s/.test(line)) continue;
    const [original, reply] = [...line.matchAll(FIELDS)].map(([, source, destination, from, to]) =>
      packetTuple(source!, Number(from), destination!, Number(to)),
    );
    if (original == null || reply == null) continue;
    const isSame =
      original.sourcePort === tuple.sourcePort &&
      original.destinationPort === tuple.destinationPort &&
      Buffer.compare(original.source, tuple.source) === 0 &&
      Buffer.compare(original.destination, tuple.destination) === 0;
    if (isSame) return reply;
  }
  return null;
}
