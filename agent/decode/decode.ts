/**
 * Decodes packets: bytes in, a segment or the reason for its lack out.
 *
 * A packet that its receiver must drop gives no segment: its checksum is wrong, or its version differs from
 * the link layer's.
 */

import { ipv4Text, ipv6Text } from '../../common/address.ts';
import type { Device, Segment } from '../conversation/segment.ts';
import { isIpv4HeaderIntact, isTcpIntact } from './checksum.ts';
import type { DecodeFault } from './decode_fault.ts';
import type { LinkType } from './link_type.ts';

const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_IPV6 = 0x86dd;
/** 802.1Q, 802.1ad and the older stacked tag. */
const VLAN_ETHERTYPES = new Set([0x8100, 0x88a8, 0x9100]);
const PROTOCOL_TCP = 6;
/**
 * Hop-by-hop options, routing, fragment, authentication and destination options (RFC 8200, section 4; RFC
 * 4302).
 */
const EXTENSION_HEADERS = new Set([0, 43, 44, 51, 60]);
const NONE = new Uint8Array(0);
/** Hardware type of the loopback (include/uapi/linux/if_arp.h), and packet type of a sent packet (if_packet.h). */
const ARPHRD_LOOPBACK = 772;
const PACKET_OUTGOING = 4;

/**
 * Decodes a packet; returns the reason if it is no segment. `wireLength` is the packet's length on the wire;
 * `data` may be shorter (snap length).
 */
export function decodePacket(
  data: Uint8Array,
  linkType: LinkType,
  timeUs: number,
  wireLength: number,
): Segment | DecodeFault {
  let offset: number;
  let etherType = -1;
  switch (linkType) {
    case 'ETHERNET':
      offset = 14;
      if (data.length < offset) return 'cut_short';
      etherType = uint16(data, 12);
      break;
    case 'LINUX_SLL': // https://www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL.html
      offset = 16;
      if (data.length < offset) return 'cut_short';
      etherType = uint16(data, 14);
      break;
    case 'LINUX_SLL2': // https://www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL2.html
      offset = 20;
      if (data.length < offset) return 'cut_short';
      etherType = uint16(data, 0);
      break;
    case 'NULL':
    case 'LOOP':
      offset = 4;
      break;
    case 'RAW':
      offset = 0;
      break;
    default:
      return 'link_type';
  }
  const isTagged = VLAN_ETHERTYPES.has(etherType);
  // Cooked captures have tags too: libpcap restores, behind the cooked header, a tag that the network card
  // removed.
  for (let tags = 0; tags < 3 && VLAN_ETHERTYPES.has(etherType); tags++) {
    if (data.length < offset + 4) return 'cut_short';
    etherType = uint16(data, offset + 2);
    offset += 4;
  }
  if (etherType !== -1 && etherType !== ETHERTYPE_IPV4 && etherType !== ETHERTYPE_IPV6) {
    // The capture's filter passes a frame with more than one tag with any content.
    return isTagged ? 'malformed' : 'not_ip';
  }
  if (data.length <= offset) return 'cut_short';
  const version = data[offset]! >> 4;
  let segment: Segment | DecodeFault;
  if (version === 4 && etherType !== ETHERTYPE_IPV6) segment = decodeIpv4(data, offset, timeUs, wireLength);
  else if (version === 6 && etherType !== ETHERTYPE_IPV4)
    segment = decodeIpv6(data, offset, timeUs, wireLength);
  else return isTagged ? 'malformed' : 'not_ip';
  const device = deviceOf(data, linkType);
  if (device !== null && typeof segment !== 'string') segment.device = device;
  return segment;
}

/** Returns the interface that a cooked header shows; null for link types that show none. */
function deviceOf(data: Uint8Array, linkType: LinkType): Device | null {
  if (linkType !== 'LINUX_SLL' && linkType !== 'LINUX_SLL2') return null;
  const isFirst = linkType === 'LINUX_SLL';
  if (uint16(data, isFirst ? 2 : 8) === ARPHRD_LOOPBACK) return 'looped';
  return (isFirst ? uint16(data, 0) : data[10]) === PACKET_OUTGOING ? 'left' : 'arrived';
}

/** Decodes an IPv4 packet (RFC 791). */
function decodeIpv4(
  data: Uint8Array,
  start: number,
  timeUs: number,
  wireLength: number,
): Segment | DecodeFault {
  if (data.length < start + 20) return 'cut_short';
  const headerLength = (data[start]! & 0x0f) * 4;
  if (headerLength < 20) return 'malformed';
  if (data[start + 9] !== PROTOCOL_TCP) return 'not_tcp';
  if ((uint16(data, start + 6) & 0x3fff) !== 0) return 'ip_fragment';
  // A length of 0 means more than 65,535: a large segment before segmentation offload.
  const totalLength = uint16(data, start + 2);
  const end = totalLength === 0 ? wireLength : start + totalLength;
  if (end < start + headerLength) return 'malformed';
  if (data.length < start + headerLength) return 'cut_short';
  if (!isIpv4HeaderIntact(data, start, headerLength)) return 'bad_checksum';
  return decodeTcp(data, start + headerLength, end, timeUs, start + 12, 4, data[start + 8]!);
}

/** Decodes an IPv6 packet (RFC 8200) with the extension headers that may stand before TCP. */
function decodeIpv6(
  data: Uint8Array,
  start: number,
  timeUs: number,
  wireLength: number,
): Segment | DecodeFault {
  if (data.length < start + 40) return 'cut_short';
  const payloadLength = uint16(data, start + 4);
  // A length of 0 means a jumbo payload option, or a large segment before segmentation offload.
  const end = payloadLength === 0 ? wireLength : start + 40 + payloadLength;
  let next = data[start + 6]!;
  let offset = start + 40;
  for (let headers = 0; headers < 8 && next !== PROTOCOL_TCP; headers++) {
    if (!EXTENSION_HEADERS.has(next)) return 'not_tcp';
    if (data.length < offset + 8) return 'cut_short';
    switch (next) {
      case 0: // hop-by-hop options
      case 43: // routing
      case 60: // destination options
        next = data[offset]!;
        offset += (data[offset + 1]! + 1) * 8;
        break;
      case 51: // authentication header, RFC 4302
        next = data[offset]!;
        offset += (data[offset + 1]! + 2) * 4;
        break;
      case 44: // fragment: an atomic one (RFC 6946) holds the whole packet
        if ((uint16(data, offset + 2) & 0xfff9) !== 0) return 'ip_fragment';
        next = data[offset]!;
        offset += 8;
        break;
    }
  }
  if (next !== PROTOCOL_TCP) return 'malformed';
  return decodeTcp(data, offset, end, timeUs, start + 8, 16, data[start + 7]!);
}

/**
 * Decodes a TCP segment (RFC 9293, section 3.1). `addresses` is the index of the two addresses, source first,
 * of `addressBytes` each.
 */
function decodeTcp(
  data: Uint8Array,
  start: number,
  end: number,
  timeUs: number,
  addresses: number,
  addressBytes: 4 | 16,
  hopLimit: number,
): Segment | DecodeFault {
  if (end < start + 20) return 'malformed';
  if (data.length < start + 20) return 'cut_short';
  const headerLength = (data[start + 12]! >> 4) * 4;
  const payloadStart = start + headerLength;
  if (headerLength < 20 || payloadStart > end) return 'malformed';
  if (!isTcpIntact(data, start, end, addresses, addressBytes)) return 'bad_checksum';
  const capturedEnd = Math.min(end, data.length);
  const addressText = addressBytes === 4 ? ipv4Text : ipv6Text;
  return {
    timeUs,
    sourceAddress: addressText(data, addresses),
    sourcePort: uint16(data, start),
    destinationAddress: addressText(data, addresses + addressBytes),
    destinationPort: uint16(data, start + 2),
    seq: uint32(data, start + 4),
    ack: uint32(data, start + 8),
    flags: data[start + 13]!,
    hopLimit,
    window: uint16(data, start + 14),
    options: headerLength === 20 ? NONE : viewOf(data, start + 20, Math.min(payloadStart, capturedEnd)),
    payload: payloadStart >= capturedEnd ? NONE : data.subarray(payloadStart, capturedEnd),
    payloadCutBytes: end - Math.max(capturedEnd, payloadStart),
  };
}

/** Returns a view that is cheaper to make than one by `subarray`, which makes a Buffer of a Buffer. */
function viewOf(data: Uint8Array, from: number, to: number): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset + from, to - from);
}

function uint16(data: Uint8Array, offset: number): number {
  return (data[offset]! << 8) | data[offset + 1]!;
}

function uint32(data: Uint8Array, offset: number): number {
  return (uint16(data, offset) * 0x10000 + uint16(data, offset + 2)) >>> 0;
}
