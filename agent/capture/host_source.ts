/**
 * Captures live packets of a whole host: in our own network namespace, and in those that reach the endpoints
 * without passing through it (ECS awsvpc, a moved interface). Each namespace has its own capture.
 */
import { networkInterfaces } from 'node:os';
import { IMDS_IPV4, IMDS_IPV6 } from '../../protocol/endpoints.ts';
import type { Counters } from '../../protocol/records.ts';
import { HeldNamespace, ownNamespace, withinNamespace } from '../linux/network_namespaces.ts';
import { CaptureOrder } from './capture_order.ts';
import { LiveSource, type LiveSourceOptions } from './live_source.ts';
import type { Packet, PacketHandler, PacketSource } from './packet_source.ts';

/** The ring of one namespace holds 128 packets: a namespace has one workload. */
const NAMESPACE_RING_BYTES = 1024 * 1024;
/** Collected packets need a ring of eight blocks; see `LiveSourceOptions.collectMs`. */
const COLLECTING_RING_BYTES = 2 * NAMESPACE_RING_BYTES;

export interface HostSourceOptions extends LiveSourceOptions {
  /** The most captures in other namespaces at one time. */
  maxNamespaces: number;
}

/**
 * The same conversation may be seen in several namespaces: its first copy has the caller's own addresses, and the others
 * show how many routers it passed. So the packets of several captures are ordered although each is handed over at once.
 */
const LEAST_COLLECT_MS = 2;

/** The outcome of an attempt to capture in a namespace. */
export type NamespaceOutcome =
  | { kind: 'watched' }
  /** The path no longer leads to this namespace. */
  | { kind: 'gone' }
  /**
   * `reason` is for the operator; null if captures in other namespaces are turned off, or the agent is
   * stopping.
   */
  | { kind: 'refused'; reason: string | null };

export class HostSource implements PacketSource {
  readonly name: string;
  /** Inode number of our own network namespace. */
  readonly netns = ownNamespace();
  private readonly main: LiveSource;
  readonly maxNamespaces: number;
  private readonly endpoints: LiveSourceOptions['endpoints'];
  private readonly others = new Map<
    number,
    { source: LiveSource; held: HeldNamespace; isClosing: boolean }
  >();
  private readonly collectMs: number;
  private readonly order: CaptureOrder<LiveSource>;
  private handler: PacketHandler | null = null;
  /** The sums of the counters of closed captures. */
  private readonly past: Counters = {};
  private readonly counts = {
    namespaces_opened: 0,
    namespaces_closed: 0,
    /** Captures that were not opened: beyond the bound, or because the namespace could not be entered. */
    namespaces_over_bound: 0,
    namespaces_failed: 0,
  };

  constructor(options: HostSourceOptions) {
    this.name = options.interface;
    this.maxNamespaces = options.maxNamespaces;
    this.endpoints = options.endpoints;
    this.main = new LiveSource(options);
    this.collectMs = options.collectMs ?? 0;
    const orderMs = Math.max(this.collectMs, LEAST_COLLECT_MS);
    this.order = new CaptureOrder(orderMs, (packets) => this.handler?.(packets));
  }

  get live(): boolean {
    return this.main.live;
  }

  /** See `LiveSource.awaitsInterface`. */
  get awaitsInterface(): boolean {
    return this.main.awaitsInterface;
  }

  start(handler: PacketHandler): void {
    this.handler = handler;
    this.main.start((packets) => this.handlePackets(this.main, this.netns, packets));
  }

  stop(): void {
    this.order.flush();
    this.handler = null; // from here on no capture is opened: it would keep the process alive
    for (const netns of [...this.others.keys()]) this.closeCapture(netns);
    this.main.stop();
  }

  /** See `LiveSource.check`. */
  check(): void {
    this.main.check();
  }

  isWatched(netns: number): boolean {
    return netns === this.netns || this.others.has(netns);
  }

  /**
   * Returns a path to the namespace of a capture. It is valid even if no process is in the namespace any
   * more.
   */
  namespacePath(netns: number): string | null {
    return this.others.get(netns)?.held.path ?? null;
  }

  /** Returns the inode numbers of the other namespaces that are captured. */
  get namespaces(): number[] {
    return [...this.others.keys()];
  }

  /** Opens a capture in the namespace at `path`. */
  watchNamespace(netns: number, path: string): NamespaceOutcome {
    if (this.isWatched(netns)) return { kind: 'watched' };
    if (this.handler === null || this.maxNamespaces === 0) return { kind: 'refused', reason: null };
    if (this.others.size >= this.maxNamespaces) {
      this.counts.namespaces_over_bound++;
      return {
        kind: 'refused',
        reason: `captures already run in ${this.maxNamespaces} other namespaces, the bound of max_namespaces`,
      };
    }
    const held = HeldNamespace.open(netns, path);
    if (held === null) return { kind: 'gone' };
    try {
      const source = new LiveSource({
        interface: 'any',
        ...(this.endpoints && { endpoints: this.endpoints }),
        ringBytes: this.collectMs === 0 ? NAMESPACE_RING_BYTES : COLLECTING_RING_BYTES,
        collectMs: this.collectMs,
        namespacePath: held.path,
        // In a metadata service's namespace, calls from elsewhere end, with other addresses than they began
        // with.
        isServiceSide: withinNamespace(held.path, hasEndpointAddress),
      });
      source.start((packets) => this.handlePackets(source, netns, packets));
      this.others.set(netns, { source, held, isClosing: false });
    } catch (error) {
      held.close();
      this.counts.namespaces_failed++;
      return { kind: 'refused', reason: (error as Error).message };
    }
    this.counts.namespaces_opened++;
    return { kind: 'watched' };
  }

  counters(): Counters {
    const sum: Counters = { ...this.main.counters() };
    for (const counters of [this.past, ...[...this.others.values()].map(({ source }) => source.counters())]) {
      addCounters(sum, counters);
    }
    return { ...sum, ...this.counts, namespaces_open: this.others.size };
  }

  /** Resolves when every packet that was captured until now has been handled. */
  async caughtUp(): Promise<void> {
    if (this.handler !== null) await this.order.caughtUp(this.captures);
  }

  /**
   * Closes the capture in a namespace, when its last packets are read. Until then our packet socket and our
   * descriptor keep the namespace alive.
   */
  closeNamespace(netns: number): void {
    const other = this.others.get(netns);
    if (other === undefined || other.isClosing) return;
    other.isClosing = true;
    void this.order.caughtUp([other.source]).then(() => this.closeCapture(netns));
  }

  private closeCapture(netns: number): void {
    const other = this.others.get(netns);
    if (other === undefined) return;
    this.others.delete(netns);
    other.source.stop();
    other.held.close();
    addCounters(this.past, other.source.counters());
    this.counts.namespaces_closed++;
  }

  private get captures(): LiveSource[] {
    return [this.main, ...[...this.others.values()].map(({ source }) => source)];
  }

  private handlePackets(source: LiveSource, netns: number, packets: readonly Packet[]): void {
    for (const packet of packets) packet.netns = netns;
    if (this.others.size === 0) this.handler?.(packets);
    else this.order.addPackets(source, packets, this.captures);
  }
}

function hasEndpointAddress(): boolean {
  const addresses = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  return addresses.some(({ address }) => address === IMDS_IPV4 || address === IMDS_IPV6);
}

function addCounters(sum: Counters, counters: Counters): void {
  for (const [name, count] of Object.entries(counters)) sum[name] = (sum[name] ?? 0) + count;
}
