/**
 * Reads the kernel's table of network interfaces (rtnetlink) in this thread's network namespace, to find the
 * veth pairs that lead to other namespaces. This needs no capability. Sources:
 * include/uapi/linux/rtnetlink.h, if_link.h, net_namespace.h.
 */
import { libc } from './libc.ts';
import { MSG_DONTWAIT, openNetlink } from './netlink_socket.ts';

const HEADER_BYTES = 16;
const NLM_F_REQUEST = 0x1;
const NLM_F_DUMP = 0x300;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const RTM_NEWLINK = 16;
const RTM_GETLINK = 18;
const RTM_NEWNSID = 88;
const RTM_GETNSID = 90;
const LINK_HEAD_BYTES = 16;
const NAMESPACE_HEAD_BYTES = 4;
const IFLA_LINKINFO = 18;
const IFLA_INFO_KIND = 1;
const IFLA_LINK_NETNSID = 37;
const NETNSA_NSID = 1;
const NETNSA_FD = 3;
/** Flags in an attribute's type: nested, and in network byte order. */
const ATTRIBUTE_TYPE_MASK = 0x3fff;
const BUFFER_BYTES = 262_144;
const MAX_MESSAGES = 10_000;

/**
 * Counts the veth pairs that lead from this thread's namespace to another one, by the kernel's number of that
 * one.
 */
export function vethPeersByNamespaceId(): Map<number, number> {
  const request = Buffer.alloc(HEADER_BYTES + LINK_HEAD_BYTES);
  const peers = new Map<number, number>();
  sendRequest(request, RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, (type, body) => {
    if (type !== RTM_NEWLINK) return;
    const id = vethPeerNamespaceId(body);
    if (id !== null) peers.set(id, (peers.get(id) ?? 0) + 1);
  });
  return peers;
}

/** Returns the number that this thread's namespace has for the one of `fd`; null where it has none. */
export function namespaceIdOf(fd: number): number | null {
  const request = Buffer.alloc(HEADER_BYTES + NAMESPACE_HEAD_BYTES + 8);
  request.writeUInt16LE(8, HEADER_BYTES + NAMESPACE_HEAD_BYTES);
  request.writeUInt16LE(NETNSA_FD, HEADER_BYTES + NAMESPACE_HEAD_BYTES + 2);
  request.writeInt32LE(fd, HEADER_BYTES + NAMESPACE_HEAD_BYTES + 4);
  let id: number | null = null;
  sendRequest(request, RTM_GETNSID, NLM_F_REQUEST, (type, body) => {
    const value = type === RTM_NEWNSID ? attributes(body, NAMESPACE_HEAD_BYTES).get(NETNSA_NSID) : undefined;
    if (value !== undefined && value.length >= 4) id = value.readInt32LE(0);
  });
  return id === null || id < 0 ? null : id;
}

/**
 * Reads one RTM_NEWLINK. Returns the namespace's number of a veth's other end; null for every other
 * interface.
 */
export function vethPeerNamespaceId(body: Buffer): number | null {
  const link = attributes(body, LINK_HEAD_BYTES);
  const id = link.get(IFLA_LINK_NETNSID);
  if (linkKind(body) !== 'veth' || id === undefined || id.length < 4) return null;
  return id.readInt32LE(0);
}

/** Returns whether this thread's namespace has a tunnel device (tun or tap) that a program reads and writes. */
export function hasTunnelDevice(): boolean {
  const request = Buffer.alloc(HEADER_BYTES + LINK_HEAD_BYTES);
  let isThere = false;
  sendRequest(request, RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, (type, body) => {
    isThere ||= type === RTM_NEWLINK && linkKind(body) === 'tun';
  });
  return isThere;
}

function linkKind(body: Buffer): string | undefined {
  const info = attributes(body, LINK_HEAD_BYTES).get(IFLA_LINKINFO) ?? Buffer.alloc(0);
  return attributes(info, 0).get(IFLA_INFO_KIND)?.toString('latin1').replace(/\0.*$/s, '');
}

function attributes(bytes: Buffer, from: number): Map<number, Buffer> {
  const found = new Map<number, Buffer>();
  for (let at = from; at + 4 <= bytes.length; ) {
    const length = bytes.readUInt16LE(at);
    if (length < 4 || at + length > bytes.length) break;
    found.set(bytes.readUInt16LE(at + 2) & ATTRIBUTE_TYPE_MASK, bytes.subarray(at + 4, at + length));
    at += (length + 3) & ~3;
  }
  return found;
}

/**
 * Sends one request and calls `onMessage` for each message of the answer. Throws when the kernel refuses or
 * is silent.
 */
function sendRequest(
  request: Buffer,
  type: number,
  flags: number,
  onMessage: (type: number, body: Buffer) => void,
): void {
  request.writeUInt32LE(request.length, 0);
  request.writeUInt16LE(type, 4);
  request.writeUInt16LE(flags, 6);
  const { send, recv, close } = libc();
  const fd = openNetlink('route', 'the list of network interfaces');
  try {
    if (Number(send(fd, request, request.length, 0)) !== request.length) {
      throw new Error('the kernel refused the netlink request for network interfaces');
    }
    const answer = Buffer.alloc(BUFFER_BYTES);
    for (let messages = 0; messages < MAX_MESSAGES; messages++) {
      // The kernel queues its answer, or the next part of it, before the call returns, so nothing has to be
      // waited for.
      const got = Number(recv(fd, answer, answer.length, MSG_DONTWAIT));
      if (got <= 0) throw new Error('the kernel did not answer the netlink request for network interfaces');
      if (readMessages(answer.subarray(0, got), (flags & NLM_F_DUMP) !== 0, onMessage)) return;
    }
  } finally {
    close(fd);
  }
}

/** Returns true if the answer is complete. */
function readMessages(
  bytes: Buffer,
  isDump: boolean,
  onMessage: (type: number, body: Buffer) => void,
): boolean {
  for (let at = 0; at + HEADER_BYTES <= bytes.length; ) {
    const length = bytes.readUInt32LE(at);
    const type = bytes.readUInt16LE(at + 4);
    if (length < HEADER_BYTES || at + length > bytes.length) break;
    if (type === NLMSG_DONE) return true;
    if (type === NLMSG_ERROR) throw new Error(`errno ${-bytes.readInt32LE(at + HEADER_BYTES)}`);
    onMessage(type, bytes.subarray(at + HEADER_BYTES, at + length));
    at += (length + 3) & ~3;
  }
  return !isDump;
}
