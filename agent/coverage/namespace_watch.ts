/**
 * Which network namespaces are looked at besides our own, and which are not although they should be.
 *
 * A namespace whose interfaces are all veth pairs to our own needs no capture: its packets pass ours. Each other one gets
 * a capture: with eBPF when the kernel reports a connection there that nobody saw, or when a socket is found there that is
 * older than we are; without eBPF as soon as it is found. What cannot be captured is counted for as long as it lasts.
 */
import type { Logger } from 'pino';
import type { Counters } from '../../protocol/records.ts';
import type { Attributor, KernelConnection } from '../attribution/attributor.ts';
import type { HostSource } from '../capture/host_source.ts';
import type { FlowTuple } from '../flow.ts';
import {
  HeldNamespace,
  NamespaceListing,
  namespaceAt,
  withinNamespace,
} from '../linux/network_namespaces.ts';
import { endpointSocketsAt, OwnLinks } from './namespace_view.ts';
import { Unfollowed } from './unfollowed.ts';

/** A list of all namespaces costs a look at every process. */
const LIST_EVERY_MS = 10_000;
const LIST_AT_MOST_EVERY_MS = 200;
/** Namespaces whose sockets are asked for; each question is asked in one after the other. */
const MAX_SEARCHED = 256;
const OPENED_PER_TICK = 4;
const MAX_WARNED = 1_024;
/** Namespaces that are held while it is not decided yet whether a connection in them was seen. */
const MAX_HELD = 64;

type Source = Pick<
  HostSource,
  'name' | 'netns' | 'namespaces' | 'isWatched' | 'watchNamespace' | 'namespacePath' | 'closeNamespace'
>;

export interface NamespaceWatchOptions {
  source: Source;
  attributor: Attributor;
  log: Pick<Logger, 'warn'>;
  isEndpoint(address: string): boolean;
  /** Whether packets of a namespace were seen to pass a capture. */
  isVisible(netns: number): boolean;
  procRoot?: string;
}

export class NamespaceWatch {
  private readonly options: NamespaceWatchOptions;
  private readonly source: Source;
  private readonly attributor: Attributor;
  private readonly listing: NamespaceListing;
  /** The kernel does not report connections by itself: new namespaces must be found by looking for them. */
  private readonly mustFind: boolean;
  /** Namespaces whose sockets we ask for, or tried to. */
  private readonly met = new Set<number>();
  private readonly searched = new Set<number>();
  /** Namespaces that are to get a capture: the path to enter them by, and since when nothing is known of them. */
  private readonly toWatch = new Map<number, { path: string; sinceMs: number }>();
  private readonly held = new Map<number, { namespace: HeldNamespace; connections: number }>();
  private readonly unfollowed = new Unfollowed();
  private readonly warned = new Set<number>();
  private carried = 0;
  private listedMs = Number.NEGATIVE_INFINITY;
  private recent = new Map<number, string>();
  private recentMs = Number.NEGATIVE_INFINITY;

  constructor(options: NamespaceWatchOptions) {
    this.options = options;
    this.listing = new NamespaceListing(options.procRoot);
    this.source = options.source;
    this.attributor = options.attributor;
    this.mustFind = this.attributor.method !== 'ebpf' && this.source.name === 'any';
  }

  /** The capture has begun: what is older than that is looked for. */
  start(nowMs: number): void {
    this.unfollowed.advanceTo(nowMs);
    if (this.mustFind) {
      this.reviewNamespaces(nowMs);
      this.openCaptures(nowMs, Number.POSITIVE_INFINITY);
      return;
    }
    this.listedMs = nowMs;
    const links = this.ownLinks();
    for (const [netns, path] of this.listing.list(true)) {
      if (netns !== this.source.netns && links?.carryAllOf(path) !== true)
        this.findOlderSockets(netns, path, nowMs);
    }
  }

  /** The kernel reported a connection of which no packet was seen yet. Its process may be gone when that is decided. */
  holdNamespace(connection: KernelConnection): void {
    const { netns } = connection;
    if (this.source.isWatched(netns) || this.options.isVisible(netns)) return;
    const known = this.held.get(netns);
    if (known !== undefined) {
      known.connections++;
      return;
    }
    if (this.held.size >= MAX_HELD) return;
    const namespace = this.openNamespaceOf(connection);
    if (namespace !== null) this.held.set(netns, { namespace, connections: 1 });
  }

  /** It was decided whether that connection was seen. */
  releaseNamespace({ netns }: KernelConnection): void {
    const known = this.held.get(netns);
    if (known === undefined || --known.connections > 0) return;
    known.namespace.close();
    this.held.delete(netns);
  }

  /** The kernel reported a connection that no capture saw: from the next one of its namespace on, one does. */
  handleMissed(connection: KernelConnection, nowMs: number): void {
    const { netns, tuple } = connection;
    const path = this.held.get(netns)?.namespace.path ?? this.recentNamespaces(nowMs).get(netns);
    const outcome =
      path === undefined ? ({ kind: 'gone' } as const) : this.source.watchNamespace(netns, path);
    if (outcome.kind === 'refused') this.warnOnce(netns, outcome.reason);
    if (outcome.kind === 'gone') this.warnOnce(netns, 'nobody is in it any more');
    // One that has ended meanwhile stands in the count of missed ones, and that is all.
    if (outcome.kind !== 'watched' && connection.isOpen()) {
      const namespace = path === undefined ? null : HeldNamespace.open(netns, path);
      this.unfollowed.addSockets(netns, [tuple], namespace, nowMs);
    }
  }

  /** The kernel reported the end of a socket. */
  handleClosed(netns: number, tuple: FlowTuple, nowMs: number): void {
    this.unfollowed.deleteSocket(netns, tuple, nowMs);
  }

  /** Ends what looks at namespaces that are gone, and finds new ones where that is ours to do. */
  tick(nowMs: number): void {
    this.openCaptures(nowMs, OPENED_PER_TICK);
    if (nowMs - this.listedMs < LIST_EVERY_MS) return;
    if (!this.mustFind && this.source.namespaces.length === 0 && !this.unfollowed.isAny) return;
    this.reviewNamespaces(nowMs);
    this.openCaptures(nowMs, OPENED_PER_TICK);
  }

  /**
   * A connection began whose socket is in none of the namespaces that are asked: looks for new ones at once. Returns
   * whether there were any, and it is worth asking again.
   */
  findNew(nowMs: number): boolean {
    if (!this.mustFind || nowMs - this.listedMs < LIST_AT_MOST_EVERY_MS) return false;
    return this.reviewNamespaces(nowMs);
  }

  stop(nowMs: number): void {
    for (const [netns, { sinceMs }] of this.toWatch) this.unfollowed.addUnwatchedTime(netns, sinceMs, nowMs);
    this.toWatch.clear();
    for (const { namespace } of this.held.values()) namespace.close();
    this.held.clear();
    this.unfollowed.close();
  }

  counters(nowMs: number): Counters {
    return { ...this.unfollowed.counters(nowMs), carried_by_ours: this.carried };
  }

  /** Namespaces as they were a moment ago: whoever makes many connections that are missed must not make us list as often. */
  private recentNamespaces(nowMs: number): Map<number, string> {
    if (nowMs - this.recentMs >= LIST_AT_MOST_EVERY_MS) {
      this.recentMs = nowMs;
      this.recent = this.listing.list(false);
    }
    return this.recent;
  }

  private reviewNamespaces(nowMs: number): boolean {
    const isFirst = this.listedMs === Number.NEGATIVE_INFINITY;
    const sinceMs = this.listedMs;
    this.listedMs = nowMs;
    const existing = this.listing.list(isFirst);
    if (this.mustFind) this.unfollowed.keepOnlyUnwatched((netns) => existing.has(netns), nowMs);
    this.closeUnusedCaptures(existing);
    this.retryUnfollowed(nowMs);
    for (const netns of this.met) {
      if (existing.has(netns)) continue;
      this.met.delete(netns);
      if (this.searched.delete(netns)) this.attributor.forgetNamespace?.(netns);
    }
    if (this.mustFind) return this.queueCaptures(existing, isFirst ? nowMs : sinceMs);
    for (const netns of this.unfollowed.unwatchedNamespaces()) {
      const path = existing.get(netns);
      this.unfollowed.deleteUnwatched(netns, nowMs);
      if (path !== undefined) this.findOlderSockets(netns, path, nowMs);
    }
    return false;
  }

  /** Without eBPF: which namespaces need a capture. Returns whether there are new ones whose sockets can be asked for. */
  private queueCaptures(existing: Map<number, string>, sinceMs: number): boolean {
    let isNew = false;
    const links = this.ownLinks();
    const before = new Map(this.toWatch);
    this.toWatch.clear();
    this.carried = 0;
    for (const [netns, path] of existing) {
      if (netns === this.source.netns) continue;
      // Its only process may have ended meanwhile, and another be in it by the next look.
      if (namespaceAt(path) !== netns) continue;
      if (!this.met.has(netns)) {
        this.met.add(netns);
        isNew = this.searchSocketsIn(netns, path) || isNew;
      }
      if (this.source.isWatched(netns)) continue;
      if (links?.carryAllOf(path) === true) this.carried++;
      // It may have called since the last look, when it was not there or had no way of its own.
      else this.toWatch.set(netns, { path, sinceMs: before.get(netns)?.sinceMs ?? sinceMs });
    }
    return isNew;
  }

  /** A capture takes milliseconds to open, and somebody may be waiting for the name of a caller: not all at once. */
  private openCaptures(nowMs: number, atMost: number): void {
    let opened = 0;
    for (const [netns, { path, sinceMs }] of this.toWatch) {
      if (opened >= atMost) return;
      this.toWatch.delete(netns);
      const outcome = this.source.watchNamespace(netns, path);
      if (outcome.kind === 'refused') {
        this.warnOnce(netns, outcome.reason);
        this.unfollowed.addUnwatched(netns, sinceMs, nowMs);
      } else {
        opened++; // what is refused costs next to nothing, and those behind it must have their turn
        if (outcome.kind !== 'service') this.unfollowed.addUnwatchedTime(netns, sinceMs, nowMs);
        this.unfollowed.deleteUnwatched(netns, nowMs);
      }
    }
  }

  /** With eBPF: sockets that are older than our program. What they say from now on is seen, or counted as not followed. */
  private findOlderSockets(netns: number, path: string, nowMs: number): void {
    let sockets: FlowTuple[];
    try {
      sockets = endpointSocketsAt(path, this.options.isEndpoint);
    } catch (error) {
      if (namespaceAt(path) !== netns) return; // it ended meanwhile
      this.warnOnce(netns, `its sockets cannot be listed: ${(error as Error).message}`);
      this.unfollowed.addUnwatched(netns, nowMs, nowMs);
      return;
    }
    if (sockets.length === 0) return;
    this.met.add(netns);
    if (!this.searched.has(netns)) this.searchSocketsIn(netns, path);
    const namespace = HeldNamespace.open(netns, path);
    const outcome = this.source.watchNamespace(netns, path);
    if (outcome.kind === 'watched' || outcome.kind === 'service') {
      namespace?.close();
      return;
    }
    if (outcome.kind === 'refused') this.warnOnce(netns, outcome.reason);
    this.unfollowed.addSockets(netns, sockets, namespace, nowMs);
  }

  /** Namespaces with sockets that nobody follows: there may be room for a capture now, or the sockets may have ended. */
  private retryUnfollowed(nowMs: number): void {
    for (const { netns, path } of this.unfollowed.namespacesWithSockets()) {
      try {
        this.unfollowed.keepOnlySockets(netns, endpointSocketsAt(path, this.options.isEndpoint), nowMs);
      } catch {
        continue; // then the kernel's own reports have to say when they end
      }
      if (!this.unfollowed.hasSocketsOf(netns)) continue;
      if (this.source.watchNamespace(netns, path).kind === 'watched')
        this.unfollowed.deleteSocketsOf(netns, nowMs);
    }
  }

  /** A namespace that nobody is in may still have a socket: a process keeps it when it moves elsewhere. */
  private closeUnusedCaptures(existing: Map<number, string>): void {
    for (const netns of this.source.namespaces) {
      const path = this.source.namespacePath(netns);
      if (existing.has(netns) || path === null) continue;
      try {
        if (endpointSocketsAt(path, this.options.isEndpoint).length > 0) continue;
      } catch {
        continue; // nothing is known, so the capture stays
      }
      this.source.closeNamespace(netns);
    }
  }

  /** Our links tell nothing where the capture is not on all of them. */
  private ownLinks(): OwnLinks | null {
    return this.source.name === 'any' ? OwnLinks.read() : null;
  }

  private openNamespaceOf(connection: KernelConnection): HeldNamespace | null {
    const pid = connection.owner()?.pid;
    if (pid === undefined) return null;
    const thread = connection.threadId() ?? pid;
    return (
      HeldNamespace.open(connection.netns, `/proc/${pid}/task/${thread}/ns/net`) ??
      HeldNamespace.open(connection.netns, `/proc/${pid}/ns/net`)
    );
  }

  private searchSocketsIn(netns: number, path: string): boolean {
    if (this.attributor.watchNamespace === undefined || this.searched.size >= MAX_SEARCHED) return false;
    try {
      this.attributor.watchNamespace(netns, (action) => withinNamespace(path, action));
      this.searched.add(netns);
      return true;
    } catch (error) {
      if (namespaceAt(path) === netns)
        this.warnOnce(netns, `its callers cannot be named: ${(error as Error).message}`);
      else this.met.delete(netns);
      return false;
    }
  }

  /** Once a namespace: what is missed there again and again is counted. */
  private warnOnce(netns: number, trouble: string | null): void {
    if (trouble === null || this.warned.has(netns)) return;
    if (this.warned.size >= MAX_WARNED) this.warned.clear();
    this.warned.add(netns);
    this.options.log.warn(
      `network namespace ${netns}: ${trouble}; what it calls by a way of its own is not seen`,
    );
  }
}
