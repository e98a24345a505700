/**
 * What another network namespace holds: its sockets to the endpoints, and whether all its traffic passes our own
 * namespace. Read from /proc of a process in it, which needs no right to enter it; else from inside.
 */
import { closeSync, openSync, readFileSync } from 'node:fs';
import { ipv4Text, ipv6Text } from '../../common/address.ts';
import { IMDS_PORT } from '../../protocol/endpoints.ts';
import type { FlowTuple } from '../flow.ts';
import { withinNamespace } from '../linux/network_namespaces.ts';
import { namespaceIdOf, vethPeersByNamespaceId } from '../linux/route_netlink.ts';

/** TIME_WAIT, CLOSE, LISTEN, NEW_SYN_RECV (include/net/tcp_states.h): no request can be sent on them. */
const SILENT_STATES = new Set([6, 7, 10, 12]);
/** Devices that each namespace gets by itself where a tunnel's module is loaded. */
const FALLBACK_TUNNEL = /^(?:sit0|tunl0|gre0|gretap0|erspan0|ip_vti0|ip6_vti0|ip6tnl0|ip6gre0)$/;
const IN_PROC = /^(.*\/(?:\d+|task\/\d+))\/ns\/net$/;

/** Sockets to the endpoints, in the namespace at `path`. Throws where it cannot be read. */
export function endpointSocketsAt(path: string, isEndpoint: (address: string) => boolean): FlowTuple[] {
  const [ipv4, ipv6] = readAt(path, ['net/tcp', 'net/tcp6']);
  const sockets = [...socketsIn(ipv4 ?? ''), ...socketsIn(ipv6 ?? '')];
  return sockets.filter(
    ({ remoteAddress, remotePort }) => remotePort === IMDS_PORT && isEndpoint(remoteAddress),
  );
}

/** How many sockets in the namespace at `path` can send and receive whole packets. Throws where it cannot be read. */
export function rawSocketsAt(path: string): number {
  const tables = readAt(path, ['net/packet', 'net/raw', 'net/raw6']);
  return tables.reduce((sum, table) => sum + Math.max(0, table.trim().split('\n').length - 1), 0);
}

/** The connected sockets of /proc/PID/net/tcp or tcp6 (proc(5)). */
export function socketsIn(table: string): FlowTuple[] {
  const sockets: FlowTuple[] = [];
  for (const line of table.split('\n').slice(1)) {
    const [, local, remote, state] = line.trim().split(/\s+/);
    if (local === undefined || remote === undefined || state === undefined) continue;
    if (SILENT_STATES.has(Number.parseInt(state, 16))) continue;
    const [localAddress, localPort] = endOf(local);
    const [remoteAddress, remotePort] = endOf(remote);
    sockets.push({ localAddress, localPort, remoteAddress, remotePort });
  }
  return sockets;
}

/** `FEA9FEA9:0050`: words of the address in the machine's byte order (little-endian on both), the port as it reads. */
function endOf(text: string): [address: string, port: number] {
  const [address = '', port = ''] = text.split(':');
  const bytes = Buffer.from(address, 'hex');
  if (bytes.length % 4 === 0) bytes.swap32();
  const isMapped =
    bytes.length === 16 && bytes.subarray(0, 12).toString('hex') === '00000000000000000000ffff';
  const shown = bytes.length === 4 ? ipv4Text(bytes, 0) : isMapped ? ipv4Text(bytes, 12) : ipv6Text(bytes, 0);
  return [shown, Number.parseInt(port, 16)];
}

/** One look at our own interfaces; then any number of namespaces can be judged by it. */
export class OwnLinks {
  readonly #peers: Map<number, number>;

  private constructor(peers: Map<number, number>) {
    this.#peers = peers;
  }

  /** Null where the kernel does not say. */
  static read(): OwnLinks | null {
    try {
      return new OwnLinks(vethPeersByNamespaceId());
    } catch {
      return null;
    }
  }

  /**
   * Whether every interface of the namespace at `path`, but for its loopback, is one end of a veth pair whose other end
   * is in our own namespace: then each packet that leaves it passes a capture on all of our interfaces. False where that
   * cannot be told.
   */
  carryAllOf(path: string): boolean {
    try {
      const [devices] = readAt(path, ['net/dev']);
      const others = interfacesIn(devices ?? '');
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

/** How many interfaces /proc/PID/net/dev names, without the loopback and tunnel devices that never sent anything. */
export function interfacesIn(devices: string): number {
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

/** A kernel without IPv6 has no tcp6 and no raw6. */
function read(file: string): string {
  try {
    return readFileSync(file, 'latin1');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' && /(?:tcp|raw)6$/.test(file)) return '';
    throw error;
  }
}
