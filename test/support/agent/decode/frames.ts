/** Builds frames byte by byte from the RFCs, independently of the decoder that reads them. */
export interface TcpParts {
  sourcePort?: number;
  destinationPort?: number;
  seq?: number;
  ack?: number;
  flags?: number;
  window?: number;
  options?: Uint8Array;
  payload?: Uint8Array;
}

/** Builds a TCP segment (RFC 9293, section 3.1). `options` must fill whole words of four bytes. */
export function tcp(parts: TcpParts = {}): Buffer {
  const options = parts.options ?? new Uint8Array(0);
  const header = Buffer.alloc(20 + options.length);
  header.writeUInt16BE(parts.sourcePort ?? 40_000, 0);
  header.writeUInt16BE(parts.destinationPort ?? 80, 2);
  header.writeUInt32BE(parts.seq ?? 1, 4);
  header.writeUInt32BE(parts.ack ?? 0, 8);
  header[12] = ((20 + options.length) / 4) << 4;
  header[13] = parts.flags ?? 0x10;
  header.writeUInt16BE(parts.window ?? 65_535, 14);
  header.set(options, 20);
  return Buffer.concat([header, parts.payload ?? new Uint8Array(0)]);
}

/** The state of a packet's TCP checksum: right, not yet computed by the network card, or wrong. */
export type TcpChecksum = 'right' | 'partial' | 'wrong';

/** Returns the ones' complement of the ones' complement sum of 16-bit words (RFC 1071). */
function internetChecksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let n = 0; n < bytes.length; n += 2) {
    sum += bytes[n]! * 256 + (bytes[n + 1] ?? 0);
    if (sum > 0xffff) sum -= 0xffff;
  }
  return 0xffff - sum;
}

/** Returns the TCP segment with its checksum field filled in for these addresses (RFC 9293, section 3.1). */
function withTcpChecksum(segment: Uint8Array, addresses: number[], kind: TcpChecksum): Buffer {
  const copy = Buffer.from(segment);
  if (copy.length < 20) return copy;
  copy.writeUInt16BE(0, 16);
  const tail = Buffer.alloc(8);
  tail.writeUInt32BE(copy.length, 0);
  tail[7] = 6;
  const pseudo = Buffer.concat([Buffer.from(addresses), tail]);
  let checksum =
    kind === 'partial' ? 0xffff - internetChecksum(pseudo) : internetChecksum(Buffer.concat([pseudo, copy]));
  if (kind === 'wrong') checksum ^= 0x5555;
  copy.writeUInt16BE(checksum, 16);
  return copy;
}

export interface Ipv4Parts {
  source?: number[];
  destination?: number[];
  protocol?: number;
  options?: Uint8Array;
  /** Bits of the flags and fragment offset field. */
  fragment?: number;
  totalLength?: number;
  timeToLive?: number;
  tcpChecksum?: TcpChecksum;
  /** The header's own checksum is wrong. */
  isDamaged?: boolean;
}

/** Builds an IPv4 packet (RFC 791). */
export function ipv4(payload: Uint8Array, parts: Ipv4Parts = {}): Buffer {
  const options = parts.options ?? new Uint8Array(0);
  const header = Buffer.alloc(20 + options.length);
  header[0] = 0x40 | ((20 + options.length) / 4);
  header.writeUInt16BE(parts.totalLength ?? (header.length + payload.length) & 0xffff, 2);
  header.writeUInt16BE(parts.fragment ?? 0x4000, 6);
  header[8] = parts.timeToLive ?? 64;
  header[9] = parts.protocol ?? 6;
  header.set(parts.source ?? [10, 0, 0, 7], 12);
  header.set(parts.destination ?? [169, 254, 169, 254], 16);
  header.set(options, 20);
  header.writeUInt16BE(internetChecksum(header) ^ (parts.isDamaged ? 0x5555 : 0), 10);
  const body =
    header[9] === 6
      ? withTcpChecksum(payload, [...header.subarray(12, 20)], parts.tcpChecksum ?? 'right')
      : payload;
  return Buffer.concat([header, body]);
}

export const IMDS_IPV6_BYTES = [0xfd, 0, 0x0e, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54];
export const CLIENT_IPV6_BYTES = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x07];

/**
 * Builds an IPv6 packet (RFC 8200). `headers` are extension headers in order, each with its protocol number.
 */
export function ipv6(
  payload: Uint8Array,
  headers: { protocol: number; bytes: Uint8Array }[] = [],
  parts: { payloadLength?: number; last?: number; hopLimit?: number; tcpChecksum?: TcpChecksum } = {},
): Buffer {
  const last = parts.last ?? 6;
  const chain = headers.map(({ bytes }, index) => {
    const copy = Buffer.from(bytes);
    copy[0] = headers[index + 1]?.protocol ?? last;
    return copy;
  });
  const addresses = [...CLIENT_IPV6_BYTES, ...IMDS_IPV6_BYTES];
  const segment = last === 6 ? withTcpChecksum(payload, addresses, parts.tcpChecksum ?? 'right') : payload;
  const body = Buffer.concat([...chain, segment]);
  const header = Buffer.alloc(40);
  header[0] = 0x60;
  header.writeUInt16BE(parts.payloadLength ?? body.length & 0xffff, 4);
  header[6] = headers[0]?.protocol ?? last;
  header[7] = parts.hopLimit ?? 64;
  header.set(CLIENT_IPV6_BYTES, 8);
  header.set(IMDS_IPV6_BYTES, 24);
  return Buffer.concat([header, body]);
}

export function ethernet(packet: Uint8Array, etherType: number, tags: number[] = []): Buffer {
  const header = Buffer.alloc(14 + 4 * tags.length);
  tags.forEach((tag, index) => {
    header.writeUInt16BE(tag, 12 + 4 * index);
    header.writeUInt16BE(42 + index, 14 + 4 * index);
  });
  header.writeUInt16BE(etherType, 12 + 4 * tags.length);
  return Buffer.concat([header, packet]);
}

/**
 * Builds a cooked frame (LINKTYPE_LINUX_SLL). `tag` is a removed VLAN tag, which libpcap restores behind the
 * type.
 */
export function cooked(packet: Uint8Array, etherType: number, tag?: number): Buffer {
  const header = Buffer.alloc(tag === undefined ? 16 : 20);
  header.writeUInt16BE(1, 2);
  header.writeUInt16BE(6, 4);
  header.writeUInt16BE(tag ?? etherType, 14);
  if (tag !== undefined) {
    header.writeUInt16BE(42, 16);
    header.writeUInt16BE(etherType, 18);
  }
  return Buffer.concat([header, packet]);
}

/** Builds a cooked frame of version 2 (LINKTYPE_LINUX_SLL2). */
export function cooked2(packet: Uint8Array, etherType: number): Buffer {
  const header = Buffer.alloc(20);
  header.writeUInt16BE(etherType, 0);
  header.writeUInt32BE(2, 4);
  return Buffer.concat([header, packet]);
}

/** Builds a BSD loopback frame, which begins with the address family in four bytes. */
export function loopback(packet: Uint8Array, family: number): Buffer {
  const header = Buffer.alloc(4);
  header.writeUInt32LE(family, 0);
  return Buffer.concat([header, packet]);
}
