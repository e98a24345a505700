/**
 * Live packets of a whole host: of the namespace that we run in, and of those that reach the endpoints by a way of
 * their own and never pass through it (ECS awsvpc, a moved interface). Each has a capture of its own.
 */
import { networkInterfaces } from 'node:os';
import { IMDS_IPV4, IMDS_IPV6 } from '../../protocol/endpoints.ts';
import type { Counters } from '../../protocol/records.ts';
import { LiveSource, type LiveSourceOptions } from './live_source.ts';
import { namespaceAt, ownNamespace, withinNamespace } from './namespace.ts';
import type { Packet, PacketSource } from './packet_source.ts';

/** Room for 128 packets: a namespace has one workload. */
const NAMESPACE_RING_BYTES = 1024 * 1024;

export interface HostSourceOptions extends LiveSourceOptions {
  /** Captures in other namespaces at one time. */
  maxNamespaces: number;
}

export class HostSource implements PacketSource {
  readonly name: string;
  /** Inode number of the namespace that we run in. */
  readonly netns = ownNamespace();
  private readonly main: LiveSource;
  private readonly maxNamespaces: number;
  private readonly endpoints: LiveSourceOptions['endpoints'];
  private readonly others = new Map<number, LiveSource>();
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
    for (const netns of [...this.others.keys()]) this.close(netns);
    this.main.stop();
  }

  /** See `LiveSource.check`. */
  check(): void {
    this.main.check();
  }

  isWatched(netns: number): boolean {
    return netns === this.netns || this.others.has(netns);
  }

  /** Whether there is room for one more; without any room asked for, nobody needs to be told that there is none. */
  get mayWatchMore(): boolean {
    if (this.maxNamespaces === 0) return false;
    if (this.others.size >= this.maxNamespaces) this.counts.namespaces_over_bound++;
    return this.others.size < this.maxNamespaces;
  }

  get namespaces(): number[] {
    return [...this.others.keys()];
  }

  /** Opens a capture in the namespace at `path`. Returns why not, or null when it is open. */
  watchNamespace(netns: number, path: string): string | null {
    if (this.handler === null || this.isWatched(netns)) return null;
    if (namespaceAt(path) !== netns) return null; // gone, and with it whoever could call
    const source = new LiveSource({
      interface: 'any',
      ...(this.endpoints && { endpoints: this.endpoints }),
      ringBytes: NAMESPACE_RING_BYTES,
      namespacePath: path,
    });
    try {
      // The service's own namespace: everybody's calls end there, with other addresses than they began with.
      if (withinNamespace(path, hasEndpointOfItsOwn)) return null;
      source.start(this.handler);
    } catch (error) {
      this.counts.namespaces_failed++;
      return (error as Error).message;
    }
    this.counts.namespaces_opened++;
    this.others.set(netns, source);
    return null;
  }

  /**
   * Closes captures in namespaces that nobody else is in: our own packet socket keeps one alive. `existing`: what
   * `listNamespaces` says. Returns those that were closed.
   */
  closeGone(existing: Map<number, string>): number[] {
    const gone = this.namespaces.filter((netns) => !existing.has(netns));
    for (const netns of gone) this.close(netns);
    return gone;
  }

  counters(): Counters {
    const sum: Counters = { ...this.main.counters() };
    for (const counters of [this.past, ...[...this.others.values()].map((source) => source.counters())]) {
      add(sum, counters);
    }
    return { ...sum, ...this.counts, namespaces_open: this.others.size };
  }

  private close(netns: number): void {
    const source = this.others.get(netns);
    if (source === undefined) return;
    this.others.delete(netns);
    source.stop();
    add(this.past, source.counters());
    this.counts.namespaces_closed++;
  }
}

function hasEndpointOfItsOwn(): boolean {
  const addresses = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  return addresses.some(({ address }) => address === IMDS_IPV4 || address === IMDS_IPV6);
}

function add(sum: Counters, counters: Counters): void {
  for (const [name, count] of Object.entries(counters)) sum[name] = (sum[name] ?? 0) + count;
}
