/**
 * Opens captures in other network namespaces, and counts the time in which one needs a capture and has none.
 *
 * A namespace whose interfaces are all veth pairs to our own needs no capture: its packets pass ours. Each
 * other one gets a capture as soon as it is found.
 *
 * This is also true with eBPF. The kernel reports the connections of its own TCP in every namespace, and a
 * connection that no capture saw leads to a capture at once. But it reports nothing about a program that
 * sends raw packets.
 *
 * The file is longer than others because both ways, with and without eBPF, share the same lists of
 * namespaces.
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
import { countRawSockets, endpointSocketsAt, OwnLinks } from './namespace_view.ts';
import { Unfollowed } from './unfollowed.ts';

/** The interval of listings. A listing reads every process: 32 ms for 667 processes and 207 namespaces. */
const LIST_EVERY_MS = 10_000;
/**
 * A namespace that needs a capture must still need it after this time. A container engine moves interfaces
 * one after the other, and between two of these steps the namespace of a new container seems to need one.
 */
const CONFIRM_AFTER_MS = 200;
const LIST_AT_MOST_EVERY_MS = 200;
/** The most namespaces in which sockets are searched; each look-up tries one after the other. */
const MAX_SEARCHED = 256;
const OPENED_PER_TICK = 4;
const MAX_WARNED = 1_024;
/** The number for the namespaces of processes that hide theirs. No namespace has this inode number. */
const UNKNOWN = 0;
/** The most namespaces that are held open while it is undecided whether a connection in them was seen. */
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
  /** A path into the namespace. */
  path: string;
  /** The last moment until which nothing was missed in the namespace. */
  sinceMs: number;
  /** The time of the listing that found it; minus infinity if it needs no confirmation. */
  foundMs: number;
}

export interface NamespaceWatchOptions {
  source: Source;
  attributor: Attributor;
  log: Pick<Logger, 'warn'>;
  isEndpoint(address: string): boolean;
  /** Returns whether a packet of a namespace has passed through a capture. */
  isVisible(netns: number): boolean;
  procRoot?: string;
}

export class NamespaceWatch {
  private readonly options: NamespaceWatchOptions;
  private readonly source: Source;
  private readonly attributor: Attributor;
  private readonly listing: NamespaceListing;
  /**
   * Every namespace must have a capture or pass our own. That is not claimed by a capture on one interface,
   * or by an agent that may enter no namespace and leaves them to the kernel's reports: verdicts show that
   * (`LiveWatch.leftOut`).
   */
  private readonly watchesAll: boolean;
  /** The kernel does not report who opened a socket, so sockets are searched in every namespace. */
  private readonly searchesAll: boolean;
  /** Namespaces that were seen before. */
  private readonly known = new Set<number>();
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
    const hasEbpf = this.attributor.method === 'ebpf';
    this.watchesAll = this.source.name === 'any' && !(hasEbpf && this.source.maxNamespaces === 0);
    this.searchesAll = this.watchesAll && !hasEbpf;
  }

  /** Starts with the capture: searches for connections and namespaces that are older. */
  start(nowMs: number): void {
    this.unfollowed.advanceTo(nowMs);
    if (!this.searchesAll) {
      // Namespaces with a known connection to an endpoint get their captures first, because captures are
      // bounded.
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

  /**
   * Holds open the namespace of a connection of which no packet was seen yet: its process may soon be gone.
   */
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

  /** Releases the namespace of a connection: it is decided whether it was seen. */
  releaseNamespace({ netns }: KernelConnection): void {
    const known = this.held.get(netns);
    if (known === undefined || --known.connections > 0) return;
    known.namespace.close();
    this.held.delete(netns);
  }

  /** Handles a connection that no capture saw: opens a capture for the next ones of its namespace. */
  handleMissed(connection: KernelConnection, nowMs: number): void {
    const { netns, tuple } = connection;
    const path = this.held.get(netns)?.namespace.path ?? this.recentNamespaces(nowMs).get(netns);
    const outcome =
      path === undefined ? ({ kind: 'gone' } as const) : this.source.watchNamespace(netns, path);
    if (outcome.kind === 'refused') this.warnOnce(netns, outcome.reason);
    if (outcome.kind === 'gone') this.warnOnce(netns, 'no process is in it any more');
    // A connection that has ended is already counted as missed.
    if (outcome.kind !== 'watched' && connection.isOpen()) {
      const namespace = path === undefined ? null : HeldNamespace.open(netns, path);
      this.unfollowed.addSockets(netns, [tuple], namespace, nowMs);
    }
  }

  /** Handles the end of a socket that the kernel reported. */
  handleClosed(netns: number, tuple: FlowTuple, nowMs: number): void {
    this.unfollowed.deleteSocket(netns, tuple, nowMs);
  }

  /** Closes captures in namespaces that are gone, and finds new namespaces. */
  tick(nowMs: number): void {
    this.openCaptures(nowMs, OPENED_PER_TICK);
    if (nowMs - this.listedMs < LIST_EVERY_MS) return;
    if (!this.watchesAll && this.source.namespaces.length === 0 && !this.unfollowed.isAny) return;
    this.reviewNamespaces(nowMs);
    this.openCaptures(nowMs, OPENED_PER_TICK);
  }

  /**
   * Searches for new namespaces at once, because the socket of a new connection is in none of the known ones.
   * Returns whether there were any, so that a second look-up may find the socket.
   */
  findNew(nowMs: number): boolean {
    if (!this.searchesAll || nowMs - this.listedMs < LIST_AT_MOST_EVERY_MS) return false;
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

  /** Returns a recent list of namespaces: many missed connections must not cause as many listings. */
  private recentNamespaces(nowMs: number): Map<number, string> {
    if (nowMs - this.recentMs >= LIST_AT_MOST_EVERY_MS) {
      this.recentMs = nowMs;
      this.recent = this.listing.list(false);
    }
    return this.recent;
  }

  /** Lists the namespaces and acts on every change. Returns whether new ones can be searched for sockets. */
  private reviewNamespaces(nowMs: number): boolean {
    const isFirst = this.listedMs === Number.NEGATIVE_INFINITY;
    const sinceMs = this.listedMs;
    this.listedMs = nowMs;
    const existing = this.listing.list(isFirst);
    if (this.watchesAll) this.updateUnwatched(existing, nowMs, isFirst ? nowMs : sinceMs);
    this.closeUnusedCaptures(existing);
    this.retryUnfollowed(nowMs);
    for (const netns of this.known) {
      if (existing.has(netns)) continue;
      this.known.delete(netns);
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

  /** Deletes unwatched namespaces that are gone, and counts the processes that hide theirs. */
  private updateUnwatched(existing: Map<number, string>, nowMs: number, sinceMs: number): void {
    const { denied } = this.listing;
    this.unfollowed.keepOnlyUnwatched(
      (netns) => existing.has(netns) || (netns === UNKNOWN && denied > 0),
      nowMs,
    );
    if (denied === 0) return;
    this.warnOnce(UNKNOWN, `${denied} processes hide theirs (CAP_SYS_PTRACE may be missing)`);
    this.unfollowed.addUnwatched(UNKNOWN, sinceMs, nowMs);
  }

  /** Queues the namespaces that need a capture. Returns whether new ones can be searched for sockets. */
  private queueCaptures(existing: Map<number, string>, nowMs: number, sinceMs: number): boolean {
    let isNew = false;
    const links = this.ownLinks();
    const before = new Map(this.toWatch);
    this.toWatch.clear();
    this.carried = 0;
    for (const [netns, path] of existing) {
      if (netns === this.source.netns) continue;
      // The path may lead elsewhere by now: its process may have ended.
      if (namespaceAt(path) !== netns) continue;
      if (this.searchesAll && !this.known.has(netns)) {
        this.known.add(netns);
        isNew = this.searchSocketsIn(netns, path) || isNew;
      }
      if (this.source.isWatched(netns)) continue;
      if (links?.carryAllOf(path) === true) {
        this.countCarried(netns, nowMs);
        continue;
      }
      const isConfirmed = sinceMs === nowMs || this.unfollowed.isUnwatched(netns);
      // The namespace may have called since the last listing, when it did not exist or needed no capture.
      const found = before.get(netns) ?? { sinceMs, foundMs: isConfirmed ? Number.NEGATIVE_INFINITY : nowMs };
      this.toWatch.set(netns, { ...found, path });
    }
    return isNew;
  }

  private countCarried(netns: number, nowMs: number): void {
    this.carried++;
    this.unfollowed.deleteUnwatched(netns, nowMs);
  }

  /** Opens queued captures, only a few at once: each takes milliseconds, and packets may be waiting. */
  private openCaptures(nowMs: number, atMost: number): void {
    let opened = 0;
    let links: OwnLinks | null = null;
    for (const [netns, { path, sinceMs, foundMs }] of this.toWatch) {
      if (opened >= atMost) return;
      if (nowMs - foundMs < CONFIRM_AFTER_MS) continue;
      this.toWatch.delete(netns);
      links ??= this.ownLinks();
      if (links?.carryAllOf(path) === true) {
        this.countCarried(netns, nowMs);
        continue;
      }
      const outcome = this.source.watchNamespace(netns, path);
      if (outcome.kind === 'refused') {
        this.warnOnce(netns, outcome.reason);
        this.unfollowed.addUnwatched(netns, sinceMs, nowMs);
      } else {
        opened++; // a refusal costs next to nothing, so it does not count
        this.unfollowed.addUnwatchedTime(netns, sinceMs, nowMs);
        this.unfollowed.deleteUnwatched(netns, nowMs);
      }
    }
  }

  /**
   * With eBPF: finds sockets older than our program. From now on they are captured, or counted as not
   * followed.
   */
  private findOlderSockets(netns: number, path: string, nowMs: number): void {
    let sockets: FlowTuple[];
    try {
      sockets = endpointSocketsAt(path, this.options.isEndpoint);
    } catch (error) {
      if (namespaceAt(path) !== netns) return; // the namespace has ended
      this.warnOnce(netns, `its sockets cannot be listed: ${(error as Error).message}`);
      this.unfollowed.addUnwatched(netns, nowMs, nowMs);
      return;
    }
    if (sockets.length === 0) return;
    this.known.add(netns);
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

  /**
   * Retries namespaces whose sockets are not followed: a capture may be possible now, or the sockets may have
   * closed.
   */
  private retryUnfollowed(nowMs: number): void {
    for (const { netns, path } of this.unfollowed.namespacesWithSockets()) {
      try {
        this.unfollowed.keepOnlySockets(netns, endpointSocketsAt(path, this.options.isEndpoint), nowMs);
      } catch {
        continue; // the kernel's own reports show when they close
      }
      if (!this.unfollowed.hasSocketsOf(netns)) continue;
      if (this.source.watchNamespace(netns, path).kind === 'watched')
        this.unfollowed.deleteSocketsOf(netns, nowMs);
    }
  }

  /**
   * Closes captures in namespaces without a process, unless a socket is left: a process that moved away keeps
   * it.
   */
  private closeUnusedCaptures(existing: Map<number, string>): void {
    for (const netns of this.source.namespaces) {
      const path = this.source.namespacePath(netns);
      if (existing.has(netns) || path === null) continue;
      try {
        if (endpointSocketsAt(path, this.options.isEndpoint).length > 0) continue;
        // A raw socket can send packets without a connection. One of them is our capture's.
        if (countRawSockets(path) > 1) continue;
      } catch {
        continue; // it is unknown whether sockets are left, so the capture stays
      }
      this.source.closeNamespace(netns);
    }
  }

  /** Returns our own links; null if the capture is not on all of them, because then they prove nothing. */
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
        this.warnOnce(netns, `its callers cannot be found: ${(error as Error).message}`);
      else this.known.delete(netns);
      return false;
    }
  }

  /** Warns once per namespace; every miss is counted. */
  private warnOnce(netns: number, problem: string | null): void {
    if (problem === null || this.warned.has(netns)) return;
    if (this.warned.size >= MAX_WARNED) this.warned.clear();
    this.warned.add(netns);
    const which = netns === UNKNOWN ? 'network namespaces' : `network namespace ${netns}`;
    this.options.log.warn(
      `${which}: ${problem}; calls from there that do not pass this namespace are not seen`,
    );
  }
}
