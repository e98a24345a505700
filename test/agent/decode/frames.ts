/** Builds frames byte by byte from the RFCs, apart from the decoder that reads them. */
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

/** RFC 9293, section 3.1. `options` in whole words of four bytes. */
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

export interface Ipv4Parts {
  source?: number[];
  destination?: number[];
  protocol?: number;
  options?: Uint8Array;
  /** Bits of the flags and fragment offset field. */
  fragment?: number;
  totalLength?: number;
}

/** RFC 791. */
export function ipv4(payload: Uint8Array, parts: Ipv4Parts = {}): Buffer {
  const options = parts.options ?? new Uint8Array(0);
  const header = Buffer.alloc(20 + options.length);
  header[0] = 0x40 | ((20 + options.length) / 4);
  header.writeUInt16BE(parts.totalLength ?? (header.length + payload.length) & 0xffff, 2);
  header.writeUInt16BE(parts.fragment ?? 0x4000, 6);
  header[8] = 64;
  header[9] = parts.protocol ?? 6;
  header.set(parts.source ?? [10, 0, 0, 7], 12);
  header.set(parts.destination ?? [169, 254, 169, 254], 16);
  header.set(options, 20);
  return Buffer.concat([header, payload]);
}

export const IMDS_IPV6_BYTES = [0xfd, 0, 0x0e, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54];
export const CLIENT_IPV6_BYTES = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x07];

/** RFC 8200. `headers`: extension headers in order, each with its protocol number. */
export function ipv6(
  payload: Uint8Array,
  headers: { protocol: number; bytes: Uint8Array }[] = [],
  parts: { payloadLength?: number; last?: number } = {},
): Buffer {
  const last = parts.last ?? 6;
  const chain = headers.map(({ bytes }, index) => {
    const copy = Buffer.from(bytes);
    copy[0] = headers[index + 1]?.protocol ?? last;
    return copy;
  });
  const body = Buffer.concat([...chain, payload]);
  const header = Buffer.alloc(40);
  header[0] = 0x60;
  header.writeUInt16BE(parts.payloadLength ?? body.length & 0xffff, 4);
  header[6] = headers[0]?.protocol ?? last;
  header[7] = 64;
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

/** LINKTYPE_LINUX_SLL; `tag`: libpcap puts a VLAN tag that the network card took off between type and packet. */
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

/** LINKTYPE_LINUX_SLL2. */
export function cooked2(packet: Uint8Array, etherType: number): Buffer {
  const header = Buffer.alloc(20);
  header.writeUInt16BE(etherType, 0);
  header.writeUInt32BE(2, 4);
  return Buffer.concat([header, packet]);
}

/** BSD loopback: the address family in four bytes. */
export function loopback(packet: Uint8Array, family: number): Buffer {
  const header = Buffer.alloc(4);
  header.writeUInt32LE(family, 0);
  return Buffer.concat([header, packet]);
}
