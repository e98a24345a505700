/**
 * Looks into another network namespace: lists its sockets to the endpoints, and decides whether all its
 * traffic passes through our own namespace. It reads /proc of a process in the namespace, which needs no
 * permission to enter it; else it enters.
 */
import { closeSync, openSync, readFileSync } from 'node:fs';
import { ipv4Text, ipv6Text } from '../../common/address.ts';
import { IMDS_PORT } from '../../protocol/endpoints.ts';
import type { FlowTuple } from '../flow.ts';
import { namespaceIdOf, vethPeersByNamespaceId } from '../linux/netlink_route.ts';
import { withinNamespace } from '../linux/network_namespaces.ts';

/**
 * The states TIME_WAIT, CLOSE, LISTEN and NEW_SYN_RECV (include/net/tcp_states.h), in which no request can be
 * sent.
 */
const SILENT_STATES = new Set([6, 7, 10, 12]);
/** Devices that every namespace gets automatically if a tunnel's module is loaded. */
const FALLBACK_TUNNEL = /^(?:sit0|tunl0|gre0|gretap0|erspan0|ip_vti0|ip6_vti0|ip6tnl0|ip6gre0)$/;
const IN_PROC = /^(.*\/(?:\d+|task\/\d+))\/ns\/net$/;

/** Returns the sockets to the endpoints in the namespace at `path`. Throws if it cannot be read. */
export function endpointSocketsAt(path: string, isEndpoint: (address: string) => boolean): FlowTuple[] {
  const [ipv4, ipv6] = readAt(path, ['net/tcp', 'net/tcp6']);
  const sockets = [...socketsIn(ipv4 ?? ''), ...socketsIn(ipv6 ?? '')];
  return sockets.filter(
    ({ remoteAddress, remotePort }) => remotePort === IMDS_PORT && isEndpoint(remoteAddress),
  );
}

/**
 * Counts the sockets in the namespace at `path` that can send and receive whole packets. Throws if it cannot
 * be read.
 */
export function countRawSockets(path: string): number {
  const tables = readAt(path, ['net/packet', 'net/raw', 'net/raw6']);
  return tables.reduce((sum, table) => sum + Math.max(0, table.trim().split('\n').length - 1), 0);
}

/** Returns the connected sockets of /proc/PID/net/tcp or tcp6 (proc(5)). */
export function socketsIn(table: string): FlowTuple[] {
  const sockets: FlowTuple[] = [];
  for (const line of table.split('\n').slice(1)) {
    const [, local, remote, state] = line.trim().split(/\s+/);
    if (local === undefined || remote === undefined || state === undefined) continue;
    if (SILENT_STATES.has(Number.parseInt(state, 16))) continue;
    const [localAddress, localPort] = addressAndPort(local);
    const [remoteAddress, remotePort] = addressAndPort(remote);
    sockets.push({ localAddress, localPort, remoteAddress, remotePort });
  }
  return sockets;
}

/**
 * Parses an end of a connection, such as `FEA9FEA9:0050`. The words of the address are in the machine's byte
 * order (little-endian on all supported machines), the port is not.
 */
function addressAndPort(text: string): [address: string, port: number] {
  const [address = '', port = ''] = text.split(':');
  const bytes = Buffer.from(address, 'hex');
  if (bytes.length % 4 === 0) bytes.swap32();
  const isMapped =
    bytes.length === 16 && bytes.subarray(0, 12).toString('hex') === '00000000000000000000ffff';
  const shown = bytes.length === 4 ? ipv4Text(bytes, 0) : isMapped ? ipv4Text(bytes, 12) : ipv6Text(bytes, 0);
  return [shown, Number.parseInt(port, 16)];
}

/** The veth pairs of our own namespace, read once. They decide which namespaces need no capture. */
export class OwnLinks {
  readonly #peers: Map<number, number>;

  private constructor(peers: Map<number, number>) {
    this.#peers = peers;
  }

  /** Reads the links; returns null if the kernel does not list them. */
  static read(): OwnLinks | null {
    try {
      return new OwnLinks(vethPeersByNamespaceId());
    } catch {
      return null;
    }
  }

  /**
   * Returns whether every interface of the namespace at `path`, except its loopback, is one end of a veth
   * pair whose other end is in our own namespace. Then each packet that leaves it passes a capture on all of
   * our interfaces. Returns false if that is unknown.
   */
  carryAllOf(path: string): boolean {
    try {
      const [devices] = readAt(path, ['net/dev']);
      const others = countInterfaces(devices ?? '');
      if (others === 0) return true;
      const fd = openSync(path, 'r');
      try {
        const id = namespaceIdOf(fd);
        return id !== null && this.#peers.get(id) === others;
      } finally {
        closeSync(fd);
      }
    } catch {
      return false;
    }
  }
}

/**
 * Returns the number of interfaces in /proc/PID/net/dev, without the loopback and tunnel devices that never
 * sent.
 */
export function countInterfaces(devices: string): number {
  let count = 0;
  for (const line of devices.split('\n').slice(2)) {
    const [, name, numbers] = /^\s*([^\s:]+):\s*(.*)$/.exec(line) ?? [];
    if (name === undefined || name === 'lo') continue;
    const sentPackets = Number(numbers?.split(/\s+/)[9] ?? 1);
    if (FALLBACK_TUNNEL.test(name) && sentPackets === 0) continue;
    count++;
  }
  return count;
}

function readAt(path: string, names: string[]): string[] {
  const process = IN_PROC.exec(path)?.[1];
  if (process !== undefined) return names.map((name) => read(`${process}/${name}`));
  return withinNamespace(path, () => names.map((name) => read(`/proc/thread-self/${name}`)));
}

/** Reads a file. A kernel without IPv6 has no tcp6 and no raw6, which count as empty. */
function read(file: string): string {
  try {
    return readFileSync(file, 'latin1');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' && /(?:tcp|raw)6$/.test(file)) return '';
    throw error;
  }
}
