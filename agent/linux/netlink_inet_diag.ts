/**
 * Messages of NETLINK_SOCK_DIAG for one TCP socket, as bytes. Sources: include/uapi/linux/netlink.h,
 * sock_diag.h and inet_diag.h; ports and addresses in network order, all else in the host's (little-endian on
 * both supported machines).
 */

const NLMSG_HEADER_BYTES = 16;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const SOCK_DIAG_BY_FAMILY = 20;
const NLM_F_REQUEST = 0x1;
const NLM_F_DUMP = 0x300;
const IPPROTO_TCP = 6;
/** Either half of `idiag_cookie`: do not compare it. */
const INET_DIAG_NOCOOKIE = 0xffffffff;

/** nlmsghdr and inet_diag_req_v2. */
export const REQUEST_BYTES = NLMSG_HEADER_BYTES + 56;
/** nlmsghdr and inet_diag_msg, without attributes. */
const ANSWER_BYTES = NLMSG_HEADER_BYTES + 72;
/** Offset of `struct inet_diag_sockid` in the request and in the answer. */
const REQUEST_ID = NLMSG_HEADER_BYTES + 8;
const ANSWER_ID = NLMSG_HEADER_BYTES + 4;

export const AF_INET = 2;
export const AF_INET6 = 10;
/** include/net/tcp_states.h. */
export const TCP_SYN_SENT = 2;
export const TCP_LISTEN = 10;

const MAPPED_PREFIX = Buffer.from('00000000000000000000ffff', 'hex');

/** One socket from the side of its owner. Both addresses have 4 bytes, or both have 16. */
export interface SocketId {
  localAddress: Uint8Array;
  localPort: number;
  remoteAddress: Uint8Array;
  remotePort: number;
}

export type DiagAnswer =
  | { kind: 'socket'; family: number; state: number; uid: number; inode: number; exact: boolean }
  /** The kernel's refusal: an errno as a positive number; 0 is an acknowledgement. */
  | { kind: 'error'; errno: number }
  /** The end of a dump. */
  | { kind: 'done' };

/**
 * Returns the bytes of an address: dotted IPv4, or IPv6 in any form of RFC 4291 section 2.2. Returns null for
 * other text.
 */
export function addressBytes(text: string): Uint8Array | null {
  if (!text.includes(':')) return ipv4Bytes(text);
  const bytes = new Uint8Array(16);
  let groups = text;
  let end = 16;
  const dotted = text.lastIndexOf(':') + 1;
  if (text.includes('.', dotted)) {
    const tail = ipv4Bytes(text.slice(dotted));
    if (!tail) return null;
    bytes.set(tail, 12);
    end = 12;
    // `a:b:1.2.3.4` leaves `a:b`; `::1.2.3.4` must keep its `::`.
    groups = text.endsWith('::', dotted) ? text.slice(0, dotted) : text.slice(0, dotted - 1);
  }
  const halves = groups.split('::');
  if (halves.length > 2) return null;
  const head = halves[0] ? halves[0].split(':') : [];
  const tail = halves[1] ? halves[1].split(':') : [];
  const room = end / 2 - head.length - tail.length;
  if (halves.length === 2 ? room < 1 : room !== 0) return null;
  let at = 0;
  for (const group of [...head, ...new Array<string>(room).fill('0'), ...tail]) {
    if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return null;
    const value = Number.parseInt(group, 16);
    bytes[at++] = value >> 8;
    bytes[at++] = value & 0xff;
  }
  return bytes;
}

function ipv4Bytes(text: string): Uint8Array | null {
  const parts = text.split('.');
  if (parts.length !== 4 || !parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) < 256)) return null;
  return Uint8Array.from(parts, Number);
}

/** Returns the 16 bytes of an address; those of an IPv4 address are mapped (RFC 4291, section 2.5.5.2). */
export function mapped(address: Uint8Array): Uint8Array {
  return address.length === 16 ? address : Buffer.concat([MAPPED_PREFIX, address]);
}

/**
 * Writes into `into` (REQUEST_BYTES) the request for exactly one socket (no NLM_F_DUMP). An IPv4 socket may
 * be requested as AF_INET6: its addresses are then sent IPv4-mapped.
 *
 * @param interfaceIndex 0, or the interface that the socket is bound to (SO_BINDTODEVICE): the kernel's
 *   look-up skips a bound socket if the request has another one (net/ipv4/inet_hashtables.c, inet_match).
 */
export function encodeRequest(
  into: Buffer,
  sequence: number,
  family: number,
  id: SocketId,
  interfaceIndex: number,
): void {
  into.fill(0);
  writeHeader(into, sequence, NLM_F_REQUEST, family);
  // The kernel does not read idiag_states of an exact look-up. All states is the intended meaning.
  into.writeUInt32LE(0xffffffff, NLMSG_HEADER_BYTES + 4);
  into.writeUInt16BE(id.localPort, REQUEST_ID);
  into.writeUInt16BE(id.remotePort, REQUEST_ID + 2);
  into.set(family === AF_INET6 ? mapped(id.localAddress) : id.localAddress, REQUEST_ID + 4);
  into.set(family === AF_INET6 ? mapped(id.remoteAddress) : id.remoteAddress, REQUEST_ID + 20);
  into.writeUInt32LE(interfaceIndex, REQUEST_ID + 36);
  into.writeUInt32LE(INET_DIAG_NOCOOKIE, REQUEST_ID + 40);
  into.writeUInt32LE(INET_DIAG_NOCOOKIE, REQUEST_ID + 44);
}

/**
 * Writes a dump of sockets in no state at all: its answer is empty, but it is an error where the kernel has
 * no `tcp_diag`. (An exact request gets ENOENT for both "no such socket" and "no such module".)
 */
export function encodeProbe(into: Buffer, sequence: number): void {
  into.fill(0);
  writeHeader(into, sequence, NLM_F_REQUEST | NLM_F_DUMP, AF_INET);
}

function writeHeader(into: Buffer, sequence: number, flags: number, family: number): void {
  into.writeUInt32LE(REQUEST_BYTES, 0);
  into.writeUInt16LE(SOCK_DIAG_BY_FAMILY, 4);
  into.writeUInt16LE(flags, 6);
  into.writeUInt32LE(sequence, 8);
  into[NLMSG_HEADER_BYTES] = family;
  into[NLMSG_HEADER_BYTES + 1] = IPPROTO_TCP;
}

/**
 * Reads one answer. Returns null when it is not the answer to `sequence` or not understood. `exact` is true
 * if the socket in it is the requested one: when no connection matches, the kernel answers with a socket that
 * listens on the local port, if there is one (net/ipv4/inet_hashtables.c, __inet_lookup).
 */
export function decodeAnswer(bytes: Buffer, sequence: number, id: SocketId): DiagAnswer | null {
  if (bytes.length < NLMSG_HEADER_BYTES + 4 || bytes.readUInt32LE(0) > bytes.length) return null;
  if (bytes.readUInt32LE(8) !== sequence) return null;
  const type = bytes.readUInt16LE(4);
  if (type === NLMSG_DONE) return { kind: 'done' };
  if (type === NLMSG_ERROR) return { kind: 'error', errno: -bytes.readInt32LE(NLMSG_HEADER_BYTES) };
  if (type !== SOCK_DIAG_BY_FAMILY || bytes.length < ANSWER_BYTES) return null;
  const family = bytes[NLMSG_HEADER_BYTES]!;
  const exact =
    bytes.readUInt16BE(ANSWER_ID) === id.localPort &&
    bytes.readUInt16BE(ANSWER_ID + 2) === id.remotePort &&
    sameAddress(bytes, ANSWER_ID + 4, family, id.localAddress) &&
    sameAddress(bytes, ANSWER_ID + 20, family, id.remoteAddress);
  return {
    kind: 'socket',
    family,
    state: bytes[NLMSG_HEADER_BYTES + 1]!,
    uid: bytes.readUInt32LE(ANSWER_ID + 60),
    inode: bytes.readUInt32LE(ANSWER_ID + 64),
    exact,
  };
}

function sameAddress(bytes: Buffer, at: number, family: number, address: Uint8Array): boolean {
  const asSent = family === AF_INET6 ? mapped(address) : address;
  if (family === AF_INET && address.length !== 4) return false;
  for (let i = 0; i < asSent.length; i++) if (bytes[at + i] !== asSent[i]) return false;
  return true;
}
