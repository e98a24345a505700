/**
 * Asks the kernel how it translates one TCP connection (NETLINK_NETFILTER, subsystem ctnetlink). A socket
 * answers for the network namespace in which its thread was when it was opened. The kernel asks for
 * CAP_NET_ADMIN. Sources: include/uapi/linux/netfilter/nfnetlink.h and nfnetlink_conntrack.h; numbers within
 * attributes are in network order.
 */
import { errnoNumber, lastErrno, libc } from './libc.ts';
import { addressBytes } from './netlink_inet_diag.ts';
import { MSG_DONTWAIT, openNetlink } from './netlink_socket.ts';

const ANSWER_BUFFER_BYTES = 8192;
const MAX_ATTEMPTS = 8;

const HEADER_BYTES = 16;
const NFGENMSG_BYTES = 4;
const NLMSG_ERROR = 2;
const NLM_F_REQUEST = 0x1;
/** NFNL_SUBSYS_CTNETLINK is 1, and a message's type has the subsystem in its high byte. */
const CT_NEW = 0x100;
const CT_GET = 0x101;
const NESTED = 0x8000;
const TYPE_MASK = 0x3fff;
const CTA_TUPLE_ORIG = 1;
const CTA_TUPLE_REPLY = 2;
const CTA_TUPLE_IP = 1;
const CTA_TUPLE_PROTO = 2;
const CTA_IP_V4_SRC = 1;
const CTA_IP_V6_SRC = 3;
const CTA_PROTO_NUM = 1;
const CTA_PROTO_SRC_PORT = 2;
const CTA_PROTO_DST_PORT = 3;
const IPPROTO_TCP = 6;
const AF_INET = 2;
const AF_INET6 = 10;

/** One direction of a connection as its packets have it. Both addresses have 4 bytes, or both have 16. */
export interface PacketTuple {
  source: Uint8Array;
  sourcePort: number;
  destination: Uint8Array;
  destinationPort: number;
}

/**
 * `found`: the packets that come back have the tuple `reply`. `absent`: the kernel tracks no such connection.
 * `refused`: it did not answer; `errno` says why, 0 if there was no answer at all.
 */
export type ConntrackAnswer =
  | { kind: 'found'; reply: PacketTuple }
  | { kind: 'absent' }
  | { kind: 'refused'; errno: number };

/** Returns the tuple of packets from one address and port to another; null for addresses of two families. */
export function packetTuple(
  source: string,
  sourcePort: number,
  destination: string,
  destinationPort: number,
): PacketTuple | null {
  const [from, to] = [addressBytes(source), addressBytes(destination)];
  if (from === null || to === null || from.length !== to.length) return null;
  return { source: from, sourcePort, destination: to, destinationPort };
}

/** Returns the request for the connection whose first packet had this tuple. */
export function encodeConntrackRequest(sequence: number, tuple: PacketTuple): Buffer {
  const isIpv4 = tuple.source.length === 4;
  const first = isIpv4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC;
  const addresses = Buffer.concat([
    attribute(first, Buffer.from(tuple.source)),
    attribute(first + 1, Buffer.from(tuple.destination)),
  ]);
  const protocol = Buffer.concat([
    attribute(CTA_PROTO_NUM, Buffer.from([IPPROTO_TCP])),
    attribute(CTA_PROTO_SRC_PORT, uint16(tuple.sourcePort)),
    attribute(CTA_PROTO_DST_PORT, uint16(tuple.destinationPort)),
  ]);
  const body = attribute(
    CTA_TUPLE_ORIG | NESTED,
    Buffer.concat([
      attribute(CTA_TUPLE_IP | NESTED, addresses),
      attribute(CTA_TUPLE_PROTO | NESTED, protocol),
    ]),
  );
  const head = Buffer.alloc(HEADER_BYTES + NFGENMSG_BYTES);
  head.writeUInt32LE(head.length + body.length, 0);
  head.writeUInt16LE(CT_GET, 4);
  head.writeUInt16LE(NLM_F_REQUEST, 6);
  head.writeUInt32LE(sequence, 8);
  head[HEADER_BYTES] = isIpv4 ? AF_INET : AF_INET6;
  return Buffer.concat([head, body]);
}

/**
 * Reads one answer; returns null if it is not the answer to `sequence`. `tuple` is what was asked for: an
 * answer about another connection counts as refused.
 */
export function decodeConntrackAnswer(
  bytes: Buffer,
  sequence: number,
  tuple: PacketTuple,
): ConntrackAnswer | null {
  if (bytes.length < HEADER_BYTES + NFGENMSG_BYTES || bytes.readUInt32LE(8) !== sequence) return null;
  const length = bytes.readUInt32LE(0);
  if (length < HEADER_BYTES + NFGENMSG_BYTES || length > bytes.length) return null;
  const type = bytes.readUInt16LE(4);
  if (type === NLMSG_ERROR) {
    const errno = -bytes.readInt32LE(HEADER_BYTES);
    return errno === ENOENT_NUMBER ? { kind: 'absent' } : { kind: 'refused', errno };
  }
  if (type !== CT_NEW) return null;
  const attributes = readAttributes(bytes.subarray(HEADER_BYTES + NFGENMSG_BYTES, length));
  const original = readTuple(attributes.get(CTA_TUPLE_ORIG));
  const reply = readTuple(attributes.get(CTA_TUPLE_REPLY));
  if (original === null || reply === null || !isSameTuple(original, tuple))
    return { kind: 'refused', errno: 0 };
  return { kind: 'found', reply };
}

/** The number of ENOENT on every architecture of Linux (include/uapi/asm-generic/errno-base.h). */
const ENOENT_NUMBER = 2;

function isSameTuple(a: PacketTuple, b: PacketTuple): boolean {
  return (
    a.sourcePort === b.sourcePort &&
    a.destinationPort === b.destinationPort &&
    Buffer.compare(a.source, b.source) === 0 &&
    Buffer.compare(a.destination, b.destination) === 0
  );
}

function readTuple(bytes: Buffer | undefined): PacketTuple | null {
  if (bytes === undefined) return null;
  const parts = readAttributes(bytes);
  const addresses = readAttributes(parts.get(CTA_TUPLE_IP) ?? NOTHING);
  const protocol = readAttributes(parts.get(CTA_TUPLE_PROTO) ?? NOTHING);
  const source = addresses.get(CTA_IP_V4_SRC) ?? addresses.get(CTA_IP_V6_SRC);
  const destination = addresses.get(CTA_IP_V4_SRC + 1) ?? addresses.get(CTA_IP_V6_SRC + 1);
  const sourcePort = protocol.get(CTA_PROTO_SRC_PORT);
  const destinationPort = protocol.get(CTA_PROTO_DST_PORT);
  if (source === undefined || destination === undefined || source.length !== destination.length) return null;
  if (sourcePort?.length !== 2 || destinationPort?.length !== 2) return null;
  return {
    source,
    sourcePort: sourcePort.readUInt16BE(0),
    destination,
    destinationPort: destinationPort.readUInt16BE(0),
  };
}

const NOTHING = Buffer.alloc(0);

/** Returns the bodies of attributes by their type, without flags. Stops at the first one that is cut. */
function readAttributes(bytes: Buffer): Map<number, Buffer> {
  const found = new Map<number, Buffer>();
  for (let at = 0; at + 4 <= bytes.length; ) {
    const length = bytes.readUInt16LE(at);
    if (length < 4 || at + length > bytes.length) break;
    found.set(bytes.readUInt16LE(at + 2) & TYPE_MASK, bytes.subarray(at + 4, at + length));
    at += (length + 3) & ~3;
  }
  return found;
}

function attribute(type: number, body: Buffer): Buffer {
  const bytes = Buffer.alloc((4 + body.length + 3) & ~3);
  bytes.writeUInt16LE(4 + body.length, 0);
  bytes.writeUInt16LE(type, 2);
  body.copy(bytes, 4);
  return bytes;
}

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

export class ConntrackSocket {
  readonly #descriptor: number;
  readonly #answer = Buffer.alloc(ANSWER_BUFFER_BYTES);
  #sequence = 0;

  private constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  /** Opens a socket in this thread's network namespace. Throws NetlinkRefused where the kernel refuses it. */
  static open(): ConntrackSocket {
    return new ConntrackSocket(openNetlink('netfilter', 'connection tracking'));
  }

  /** Returns how the connection whose first packet had this tuple is translated. */
  find(tuple: PacketTuple): ConntrackAnswer {
    const request = encodeConntrackRequest(++this.#sequence, tuple);
    const { recv, send } = libc();
    if (Number(send(this.#descriptor, request, request.length, MSG_DONTWAIT)) !== request.length)
      return { kind: 'refused', errno: lastErrno() };
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const got = Number(recv(this.#descriptor, this.#answer, ANSWER_BUFFER_BYTES, MSG_DONTWAIT));
      if (got < 0) {
        const errno = lastErrno();
        if (errno === errnoNumber('EINTR', 4)) continue;
        return { kind: 'refused', errno };
      }
      const answer = decodeConntrackAnswer(this.#answer.subarray(0, got), this.#sequence, tuple);
      if (answer !== null) return answer;
    }
    return { kind: 'refused', errno: 0 };
  }

  close(): void {
    libc().close(this.#descriptor);
  }
}
