/**
 * Asks the kernel of a network namespace where a connection to an endpoint really went: whether its
 * destination was rewritten (NAT), and whether a socket of the namespace itself is its other end.
 *
 * Both answers come from the kernel of the namespace that is asked. Who has root in a container can make up
 * the answers of the container's own namespace. So an answer alone proves nothing: see `answerer.ts`.
 */
import { readFileSync, statSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { ipv4Text, ipv6Text } from '../../common/address.ts';
import { deleteOldestEntries } from '../../common/bounded_map.ts';
import type { FlowTuple } from '../flow.ts';
import { type ConntrackAnswer, ConntrackSocket, packetTuple } from '../linux/netlink_conntrack.ts';
import { addressBytes, type SocketId, TCP_LISTEN } from '../linux/netlink_inet_diag.ts';
import { hasTunnelDevice } from '../linux/netlink_route.ts';
import { SockDiagSocket } from '../linux/netlink_sock_diag.ts';
import { withinNamespace } from '../linux/network_namespaces.ts';
import { replyInTable } from '../linux/proc_conntrack.ts';

const EPERM = 1;
/** Namespaces with open netlink sockets, besides our own. */
const MAX_OTHERS = 64;
/** A namespace's devices hardly change, and reading them takes a fraction of a millisecond. */
const TUNNELS_KEPT_MS = 10_000;
/** Bound on a table that is read as text: 4,000 connections, some milliseconds. */
const MAX_TABLE_BYTES = 1_000_000;

/** The connection after translation, as the far end has it. */
export interface Translated {
  kind: 'translated';
  /** The far end: its own address and port first, then those of its peer. */
  server: FlowTuple;
}

/** `unknown`: the kernel was not asked or did not answer. */
export type Translation = Translated | { kind: 'untranslated' } | { kind: 'unknown' };

/** A network namespace: its inode number, and a path into it; null for our own. */
export interface NamespaceRef {
  netns: number;
  path: string | null;
}

interface Sockets {
  conntrack: ConntrackSocket | null;
  diag: SockDiagSocket | null;
}

export class Translations {
  readonly #ownNetns: number;
  readonly #own: Sockets = { conntrack: null, diag: null };
  /** Least recently used first. */
  readonly #others = new Map<number, Sockets>();
  readonly #tunnels = new Map<number, { isThere: boolean; readMs: number }>();
  /** CAP_NET_ADMIN is missing, so the tables in /proc are read instead. */
  #isRefused = false;
  readonly #counts = { asked: 0, translated: 0, refused: 0, tables_read: 0, tables_too_long: 0 };

  constructor(ownNetns: number = statSync('/proc/thread-self/ns/net').ino) {
    this.#ownNetns = ownNetns;
  }

  get ownNetns(): number {
    return this.#ownNetns;
  }

  /** Returns how the namespace translates the connection that began with packets from `local` to `remote`. */
  translationOf(where: NamespaceRef, tuple: FlowTuple): Translation {
    const packets = packetTuple(tuple.localAddress, tuple.localPort, tuple.remoteAddress, tuple.remotePort);
    if (packets === null) return { kind: 'unknown' };
    this.#counts.asked++;
    const answer = this.#ask(where, packets);
    if (answer.kind === 'absent') return { kind: 'untranslated' };
    if (answer.kind === 'refused') {
      this.#counts.refused++;
      return { kind: 'unknown' };
    }
    const { source, sourcePort, destination, destinationPort } = answer.reply;
    const server = {
      localAddress: text(source),
      localPort: sourcePort,
      remoteAddress: text(destination),
      remotePort: destinationPort,
    };
    if (server.localAddress === tuple.remoteAddress) return { kind: 'untranslated' };
    this.#counts.translated++;
    return { kind: 'translated', server };
  }

  /** Returns the inode number of the connected socket of the namespace with exactly this tuple; null without one. */
  socketInode({ netns, path }: NamespaceRef, tuple: FlowTuple): number | null {
    const id = socketId(tuple);
    if (id === null) return null;
    try {
      const found = this.#socketsOf(netns, path, 'diag').diag?.find(id);
      return found == null || found.state === TCP_LISTEN || found.inode === 0 ? null : found.inode;
    } catch {
      return null;
    }
  }

  /** Returns the inode number of the socket that takes new connections to an address and port; null without one. */
  listenerInode({ netns, path }: NamespaceRef, address: string, port: number): number | null {
    const bytes = addressBytes(address);
    if (bytes === null) return null;
    try {
      return this.#socketsOf(netns, path, 'diag').diag?.findListener(bytes, port)?.inode ?? null;
    } catch {
      return null;
    }
  }

  /** Returns whether an interface of the namespace has this address: then its kernel delivers to itself. */
  isLocalAddress({ netns, path }: NamespaceRef, address: string): boolean {
    const read = () =>
      Object.values(networkInterfaces()).some((each) => each?.some((one) => one.address === address));
    try {
      return path === null || netns === this.#ownNetns ? read() : withinNamespace(path, read);
    } catch {
      return false;
    }
  }

  /** Returns whether a program serves the network of a namespace through a tunnel device. */
  hasTunnel({ netns, path }: NamespaceRef, nowMs = performance.now()): boolean {
    const known = this.#tunnels.get(netns);
    if (known !== undefined && nowMs - known.readMs < TUNNELS_KEPT_MS) return known.isThere;
    let isThere = false;
    try {
      isThere = path === null ? hasTunnelDevice() : withinNamespace(path, hasTunnelDevice);
    } catch {
      // The namespace cannot be entered. Its calls are reported as they are.
    }
    this.#tunnels.delete(netns);
    this.#tunnels.set(netns, { isThere, readMs: nowMs });
    deleteOldestEntries(this.#tunnels, MAX_OTHERS);
    return isThere;
  }

  counters() {
    return { ...this.#counts };
  }

  close(): void {
    for (const sockets of [this.#own, ...this.#others.values()]) closeSockets(sockets);
    this.#others.clear();
    this.#own.conntrack = null;
    this.#own.diag = null;
  }

  #ask({ netns, path }: NamespaceRef, packets: NonNullable<ReturnType<typeof packetTuple>>): ConntrackAnswer {
    if (!this.#isRefused) {
      try {
        const answer = this.#socketsOf(netns, path, 'conntrack').conntrack!.find(packets);
        if (answer.kind !== 'refused' || answer.errno !== EPERM) return answer;
        this.#isRefused = true;
      } catch {
        // The namespace cannot be entered, or the kernel has no connection tracking.
      }
    }
    return this.#readTable(path, packets);
  }

  #readTable(path: string | null, packets: NonNullable<ReturnType<typeof packetTuple>>): ConntrackAnswer {
    const process =
      path === null ? '/proc/thread-self' : /^(\/proc\/\d+(?:\/task\/\d+)?)\/ns\/net$/.exec(path)?.[1];
    if (process === undefined) return { kind: 'refused', errno: 0 };
    try {
      const table = readFileSync(`${process}/net/nf_conntrack`, 'latin1');
      this.#counts.tables_read++;
      if (table.length > MAX_TABLE_BYTES) {
        this.#counts.tables_too_long++;
        return { kind: 'refused', errno: 0 };
      }
      const reply = replyInTable(table, packets);
      return reply === null ? { kind: 'absent' } : { kind: 'found', reply };
    } catch {
      return { kind: 'refused', errno: 0 };
    }
  }

  #socketsOf(netns: number, path: string | null, which: keyof Sockets): Sockets {
    const isOwn = path === null || netns === this.#ownNetns;
    let sockets = isOwn ? this.#own : this.#others.get(netns);
    if (sockets === undefined) sockets = { conntrack: null, diag: null };
    if (sockets[which] === null) {
      const open = () => {
        if (which === 'diag') sockets.diag = SockDiagSocket.open();
        else sockets.conntrack = ConntrackSocket.open();
      };
      if (isOwn) open();
      else withinNamespace(path!, open);
    }
    if (isOwn) return sockets;
    this.#others.delete(netns);
    this.#others.set(netns, sockets);
    if (this.#others.size > MAX_OTHERS) {
      const [oldest, itsSockets] = this.#others.entries().next().value!;
      closeSockets(itsSockets);
      this.#others.delete(oldest);
    }
    return sockets;
  }
}

function closeSockets({ conntrack, diag }: Sockets): void {
  conntrack?.close();
  diag?.close();
}

function text(address: Uint8Array): string {
  return address.length === 4 ? ipv4Text(address, 0) : ipv6Text(address, 0);
}

function socketId(tuple: FlowTuple): SocketId | null {
  const localAddress = addressBytes(tuple.localAddress);
  const remoteAddress = addressBytes(tuple.remoteAddress);
  if (localAddress === null || remoteAddress === null || localAddress.length !== remoteAddress.length)
    return null;
  return { localAddress, localPort: tuple.localPort, remoteAddress, remotePort: tuple.remotePort };
}
