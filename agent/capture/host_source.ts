/**
 * Live packets of a whole host: of the namespace that we run in, and of those that reach the endpoints by a way of
 * their own and never pass through it (ECS awsvpc, a moved interface). Each has a capture of its own.
 */
import { networkInterfaces } from 'node:os';
import { IMDS_IPV4, IMDS_IPV6 } from '../../protocol/endpoints.ts';
import type { Counters } from '../../protocol/records.ts';
import { HeldNamespace, ownNamespace, withinNamespace } from '../linux/network_namespaces.ts';
import { LiveSource, type LiveSourceOptions } from './live_source.ts';
import type { Packet, PacketSource } from './packet_source.ts';

/** Room for 128 packets: a namespace has one workload. */
const NAMESPACE_RING_BYTES = 1024 * 1024;

export interface HostSourceOptions extends LiveSourceOptions {
  /** Captures in other namespaces at one time. */
  maxNamespaces: number;
}

/** What came of the wish to capture in a namespace. */
export type NamespaceOutcome =
  | { kind: 'watched' }
  /** The path does not lead there any more. */
  | { kind: 'gone' }
  /** `reason`: for the operator; null where they asked for no captures in other namespaces, or the end has come. */
  | { kind: 'refused'; reason: string | null };

export class HostSource implements PacketSource {
  readonly name: string;
  /** Inode number of the namespace that we run in. */
  readonly netns = ownNamespace();
  private readonly main: LiveSource;
  readonly maxNamespaces: number;
  private readonly endpoints: LiveSourceOptions['endpoints'];
  private readonly others = new Map<number, { source: LiveSource; held: HeldNamespace }>();
  private handler: ((packet: Packet) => void) | null = null;
  /** Counters of captures that are closed. */
  private readonly past: Counters = {};
  private readonly counts = {
    namespaces_opened: 0,
    namespaces_closed: 0,
    /** A capture was wanted and could not be had: the bound, or the namespace could not be entered. */
    namespaces_over_bound: 0,
    namespaces_failed: 0,
  };

  constructor(options: HostSourceOptions) {
    this.name = options.interface;
    this.maxNamespaces = options.maxNamespaces;
    this.endpoints = options.endpoints;
    this.main = new LiveSource(options);
  }

  get live(): boolean {
    return this.main.live;
  }

  /** See `LiveSource.awaitsInterface`. */
  get awaitsInterface(): boolean {
    return this.main.awaitsInterface;
  }

  start(handler: (packet: Packet) => void): void {
    this.handler = handler;
    this.main.start(handler);
  }

  stop(): void {
    this.handler = null; // no namespace is watched from here on: it would keep the process alive
    for (const netns of [...this.others.keys()]) this.closeNamespace(netns);
    this.main.stop();
  }

  /** See `LiveSource.check`. */
  check(): void {
    this.main.check();
  }

  isWatched(netns: number): boolean {
    return netns === this.netns || this.others.has(netns);
  }

  /** The namespace of a capture, which can be asked by its path although nobody is in it any more. */
  namespacePath(netns: number): string | null {
    return this.others.get(netns)?.held.path ?? null;
  }

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
        reason: `captures run in ${this.maxNamespaces} other namespaces already (max_namespaces)`,
      };
    }
    const held = HeldNamespace.open(netns, path);
    if (held === null) return { kind: 'gone' };
    try {
      const source = new LiveSource({
        interface: 'any',
        ...(this.endpoints && { endpoints: this.endpoints }),
        ringBytes: NAMESPACE_RING_BYTES,
        namespacePath: held.path,
        // A metadata service's namespace: calls from elsewhere end there, with other addresses than they began with.
        isServiceSide: withinNamespace(held.path, hasEndpointOfItsOwn),
      });
      source.start(this.handler);
      this.others.set(netns, { source, held });
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

  /** Ends the capture in a namespace. Our packet socket and our descriptor keep the namespace alive until then. */
  closeNamespace(netns: number): void {
    const other = this.others.get(netns);
    if (other === undefined) return;
    this.others.delete(netns);
    other.source.stop();
    other.held.close();
    addCounters(this.past, other.source.counters());
    this.counts.namespaces_closed++;
  }
}

function hasEndpointOfItsOwn(): boolean {
  const addresses = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  return addresses.some(({ address }) => address === IMDS_IPV4 || address === IMDS_IPV6);
}

function addCounters(sum: Counters, counters: Counters): void {
  for (const [name, count] of Object.entries(counters)) sum[name] = (sum[name] ?? 0) + count;
}
