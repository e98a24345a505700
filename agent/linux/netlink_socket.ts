/** Opens netlink sockets. A socket speaks for the network namespace in which its thread was when it was opened. */
import { errnoName, lastErrno, libc } from './libc.ts';

// include/linux/socket.h, include/linux/net.h; the same on x86-64 and arm64
const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
/** A flag of `recv` and `send`. */
export const MSG_DONTWAIT = 0x40;

/** include/uapi/linux/netlink.h. */
const PROTOCOLS = { route: 0, sockDiag: 4, connector: 11, netfilter: 12 } as const;

/** The kernel refused a netlink socket. The message has the reason for the operator, without a full stop. */
export class NetlinkRefused extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = 'NetlinkRefused';
  }
}

/**
 * Opens a non-blocking socket and returns its descriptor. `purpose` completes the sentence of the error.
 * @throws NetlinkRefused when the kernel refuses it.
 */
export function openNetlink(protocol: keyof typeof PROTOCOLS, purpose: string): number {
  const type = SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK;
  const descriptor = libc().socket(AF_NETLINK, type, PROTOCOLS[protocol]);
  if (descriptor >= 0) return descriptor;
  throw new NetlinkRefused(`A netlink socket for ${purpose} was refused (${errnoName(lastErrno())})`);
}

/**
 * Joins multicast groups (a bit each) of an open socket. The kernel chooses the socket's own number.
 * @throws NetlinkRefused when the kernel refuses it.
 */
export function joinGroups(descriptor: number, groups: number, purpose: string): void {
  const address = Buffer.alloc(12); // struct sockaddr_nl
  address.writeUInt16LE(AF_NETLINK, 0);
  address.writeUInt32LE(groups, 8);
  if (libc().bind(descriptor, address, address.length) === 0) return;
  throw new NetlinkRefused(`${purpose} may not be received (${errnoName(lastErrno())})`);
}
