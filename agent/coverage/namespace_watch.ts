/**
 * Which network namespaces are looked at besides our own, and which are not although they should be.
 *
 * A namespace whose interfaces are all veth pairs to our own needs no capture: its packets pass ours. Each other one gets
 * a capture as soon as it is found. The time in which one exists without a capture is counted.
 *
 * This holds with eBPF too. The kernel reports the connections of its own TCP in every namespace, and a connection that no
 * capture saw leads to a capture at once. It reports nothing about a program that sends raw packets.
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
import { endpointSocketsAt, OwnLinks, rawSocketsAt } from './namespace_view.ts';
import { Unfollowed } from './unfollowed.ts';

/** A list of all namespaces costs a look at every process: 32 ms for 667 processes and 207 namespaces. */
const LIST_EVERY_MS = 10_000;
/**
 * An engine that makes a container moves interfaces one after the other: between two of these steps its namespace looks
 * like one with its own way. It counts as one when it still looks so after this time.
 */
const CONFIRM_AFTER_MS = 200;
const LIST_AT_MOST_EVERY_MS = 200;
/** Namespaces whose sockets are asked for; each question is asked in one after the other. */
const MAX_SEARCHED = 256;
const OPENED_PER_TICK = 4;
const MAX_WARNED = 1_024;
/** Stands for the namespaces of processes that do not show theirs. No namespace has this number. */
const UNKNOWN = 0;
/** Namespaces that are held while it is not decided yet whether a connection in them was seen. */
const MAX_HELD = 64;

type Source = Pick<
  HostSource,
  | 'name'
  | 'netns'
  | 'maxNamespaces'
  | 'namespaces'
  | 'isWatched'
  | 'watchNamespace'
  | 'namespacePath'
  | 'closeNamespace'
>;

interface Found {
  /** Leads into the namespace. */
  path: string;
  /** The last moment at which it is known that nothing was missed in the namespace. */
  sinceMs: number;
  /** The look that found it; minus infinity where it needs no confirmation. */
  foundMs: number;
}

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
  /**
   * Every namespace is to be captured in or carried by ours. A capture on one interface makes no such claim, nor does an
   * agent that may enter no namespace and leaves them to the kernel's reports: verdicts say so (`LiveWatch.leftOut`).
   */
  private readonly watchesAll: boolean;
  /** The kernel does not report who opened a socket: it is asked in every namespace. */
  private readonly asksAll: boolean;
  /** Namespaces whose sockets we ask for, or tried to. */
  private readonly met = new Set<number>();
  private readonly searched = new Set<number>();
  /** Namespaces that are to get a capture. */
  private readonly toWatch = new Map<number, Found>();
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
    const isKernelAsked = this.attributor.method === 'ebpf';
    this.watchesAll = this.source.name === 'any' && !(isKernelAsked && this.source.maxNamespaces === 0);
    this.asksAll = this.watchesAll && !isKernelAsked;
  }

  /** The capture has begun: what is older than that is looked for. */
  start(nowMs: number): void {
    this.unfollowed.advanceTo(nowMs);
    if (!this.asksAll) {
      // The bound on captures is for those first in which somebody is known to call.
      const links = this.ownLinks();
      for (const [netns, path] of this.listing.list(true)) {
        if (netns !== this.source.netns && links?.carryAllOf(path) !== true)
          this.findOlderSockets(netns, path, nowMs);
      }
    }
    if (!this.watchesAll) this.listedMs = nowMs;
    else this.reviewNamespaces(nowMs);
    this.openCaptures(nowMs, Number.POSITIVE_INFINITY);
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

  /** Ends what looks at namespaces that are gone, and finds new ones. */
  tick(nowMs: number): void {
    this.openCaptures(nowMs, OPENED_PER_TICK);
    if (nowMs - this.listedMs < LIST_EVERY_MS) return;
    if (!this.watchesAll && this.source.namespaces.length === 0 && !this.unfollowed.isAny) return;
    this.reviewNamespaces(nowMs);
    this.openCaptures(nowMs, OPENED_PER_TICK);
  }

  /**
   * A connection began whose socket is in none of the namespaces that are asked: looks for new ones at once. Returns
   * whether there were any, and it is worth asking again.
   */
  findNew(nowMs: number): boolean {
    if (!this.asksAll || nowMs - this.listedMs < LIST_AT_MOST_EVERY_MS) return false;
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
    if (this.watchesAll) this.forgetUnwatched(existing, nowMs, isFirst ? nowMs : sinceMs);
    this.closeUnusedCaptures(existing);
    this.retryUnfollowed(nowMs);
    for (const netns of this.met) {
      if (existing.has(netns)) continue;
      this.met.delete(netns);
      if (this.searched.delete(netns)) this.attributor.forgetNamespace?.(netns);
    }
    if (this.watchesAll) return this.queueCaptures(existing, nowMs, isFirst ? nowMs : sinceMs);
    for (const netns of this.unfollowed.unwatchedNamespaces()) {
      const path = existing.get(netns);
      this.unfollowed.deleteUnwatched(netns, nowMs);
      if (path !== undefined) this.findOlderSockets(netns, path, nowMs);
    }
    return false;
  }

  private forgetUnwatched(existing: Map<number, string>, nowMs: number, sinceMs: number): void {
    const { denied } = this.listing;
    this.unfollowed.keepOnlyUnwatched(
      (netns) => existing.has(netns) || (netns === UNKNOWN && denied > 0),
      nowMs,
    );
    if (denied === 0) return;
    this.warnOnce(UNKNOWN, `${denied} processes do not show theirs (is CAP_SYS_PTRACE missing?)`);
    this.unfollowed.addUnwatched(UNKNOWN, sinceMs, nowMs);
  }

  /** Finds the namespaces that need a capture. Returns whether there are new ones whose sockets can be asked for. */
  private queueCaptures(existing: Map<number, string>, nowMs: number, sinceMs: number): boolean {
    let isNew = false;
    const links = this.ownLinks();
    const before = new Map(this.toWatch);
    this.toWatch.clear();
    this.carried = 0;
    for (const [netns, path] of existing) {
      if (netns === this.source.netns) continue;
      // Its only process may have ended meanwhile, and another be in it by the next look.
      if (namespaceAt(path) !== netns) continue;
      if (this.asksAll && !this.met.has(netns)) {
        this.met.add(netns);
        isNew = this.searchSocketsIn(netns, path) || isNew;
      }
      if (this.source.isWatched(netns)) continue;
      if (links?.carryAllOf(path) === true) {
        this.isCarried(netns, nowMs);
        continue;
      }
      const isConfirmed = sinceMs === nowMs || this.unfollowed.isUnwatched(netns);
      // It may have called since the last look, when it was not there or had no way of its own.
      const found = before.get(netns) ?? { sinceMs, foundMs: isConfirmed ? Number.NEGATIVE_INFINITY : nowMs };
      this.toWatch.set(netns, { ...found, path });
    }
    return isNew;
  }

  private isCarried(netns: number, nowMs: number): void {
    this.carried++;
    this.unfollowed.deleteUnwatched(netns, nowMs);
  }

  /** A capture takes milliseconds to open, and somebody may be waiting for the name of a caller: not all at once. */
  private openCaptures(nowMs: number, atMost: number): void {
    let opened = 0;
    let links: OwnLinks | null = null;
    for (const [netns, { path, sinceMs, foundMs }] of this.toWatch) {
      if (opened >= atMost) return;
      if (nowMs - foundMs < CONFIRM_AFTER_MS) continue;
      this.toWatch.delete(netns);
      links ??= this.ownLinks();
      if (links?.carryAllOf(path) === true) {
        this.isCarried(netns, nowMs);
        continue;
      }
      const outcome = this.source.watchNamespace(netns, path);
      if (outcome.kind === 'refused') {
        this.warnOnce(netns, outcome.reason);
        this.unfollowed.addUnwatched(netns, sinceMs, nowMs);
      } else {
        opened++; // what is refused costs next to nothing, and those behind it must have their turn
        this.unfollowed.addUnwatchedTime(netns, sinceMs, nowMs);
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
    if (outcome.kind === 'watched') {
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
        // Packets can be sent by such a socket without any connection; one of them is our capture's.
        if (rawSocketsAt(path) > 1) continue;
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
    const which = netns === UNKNOWN ? 'network namespaces' : `network namespace ${netns}`;
    this.options.log.warn(`${which}: ${trouble}; calls that leave there by another way are not seen`);
  }
}
