/**
 * Finds the other network namespaces of the host, and has captures opened in those that need one
 * (capture_queue.ts). Counts the time in which a namespace needed a capture and had none (unfollowed.ts).
 *
 * Namespaces are searched with eBPF too. The kernel reports the connections of its own TCP in every namespace, and a
 * connection that no capture saw leads to a capture at once. But it reports nothing about a program that
 * sends raw packets.
 */
import type { Logger } from 'pino';
import type { Counters } from '../../protocol/records.ts';
import type { Attributor, KernelConnection } from '../attribution/attributor.ts';
import type { FlowTuple } from '../flow.ts';
import {
  HeldNamespace,
  NamespaceListing,
  namespaceAt,
  withinNamespace,
} from '../linux/network_namespaces.ts';
import { CaptureQueue, CONFIRM_AFTER_MS, type NamespaceSource } from './capture_queue.ts';
import { HeldNamespaces } from './held_namespaces.ts';
import { countRawSockets, endpointSocketsAt, type OwnLinks } from './namespace_view.ts';
import { Unfollowed } from './unfollowed.ts';

/** The interval of listings. A listing reads every process: 32 ms for 667 processes and 207 namespaces. */
const LIST_EVERY_MS = 10_000;
const LIST_AT_MOST_EVERY_MS = 200;
/** The most namespaces in which sockets are searched; each look-up tries one after the other. */
const MAX_SEARCHED = 256;
const CARRIED_KEPT_MS = 1_000;
const OPENED_PER_TICK = 4;
const MAX_WARNED = 1_024;
/** The number for the namespaces of processes that hide theirs. No namespace has this inode number. */
const UNKNOWN = 0;

export interface NamespaceWatchOptions {
  source: NamespaceSource;
  attributor: Attributor;
  log: Pick<Logger, 'warn'>;
  isEndpoint(address: string): boolean;
  /** Returns whether a packet of a namespace has passed through a capture. */
  isVisible(netns: number): boolean;
  procRoot?: string;
}

export class NamespaceWatch {
  private readonly options: NamespaceWatchOptions;
  private readonly source: NamespaceSource;
  private readonly attributor: Attributor;
  private readonly procRoot: string;
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
  /** See `holdNamespace`. */
  readonly held = new HeldNamespaces();
  private readonly unfollowed = new Unfollowed();
  private readonly warned = new Set<number>();
  private readonly queue: CaptureQueue;
  /** Namespaces that got their capture when a program began in them: when, and when the listing before that was. */
  private readonly early = new Map<number, { openedMs: number; listedMs: number }>();
  private foundByProcess = 0;
  private readonly carriedNow = new Map<number, boolean>();
  private carriedMs = Number.NEGATIVE_INFINITY;
  private links: OwnLinks | null = null;
  private listedMs = Number.NEGATIVE_INFINITY;
  private recent = new Map<number, string>();
  private recentMs = Number.NEGATIVE_INFINITY;

  constructor(options: NamespaceWatchOptions) {
    this.options = options;
    this.procRoot = options.procRoot ?? '/proc';
    this.listing = new NamespaceListing(this.procRoot);
    this.source = options.source;
    this.attributor = options.attributor;
    this.queue = new CaptureQueue(this.source, this.unfollowed, (netns, problem) =>
      this.warnOnce(netns, problem),
    );
    const { method } = this.attributor;
    this.watchesAll = this.source.name === 'any' && !(method === 'ebpf' && this.source.maxNamespaces === 0);
    this.searchesAll = this.watchesAll && method === 'sock_diag';
  }

  /** Starts with the capture: searches for connections and namespaces that are older. */
  start(nowMs: number): void {
    this.unfollowed.advanceTo(nowMs);
    if (!this.searchesAll) {
      // Namespaces with a known connection to an endpoint get their captures first, because captures are
      // bounded.
      const links = this.queue.ownLinks();
      for (const [netns, path] of this.listing.list(true)) {
        if (netns === this.source.netns) continue;
        if (links?.carryAllOf(path) === true) this.searchOlderSockets(netns, path);
        else this.findOlderSockets(netns, path, nowMs);
      }
    }
    if (!this.watchesAll) this.listedMs = nowMs;
    else this.reviewNamespaces(nowMs);
    this.queue.openCaptures(nowMs, Number.POSITIVE_INFINITY);
  }

  /** Holds open the namespace of a connection of which no packet was seen yet, until `held.release`. */
  holdNamespace(connection: KernelConnection): void {
    const { netns } = connection;
    if (!this.source.isWatched(netns) && !this.options.isVisible(netns)) this.held.hold(connection);
  }

  /**
   * Returns the namespace of a connection, and whether all packets that leave it pass a capture; null if it
   * cannot be entered.
   */
  placeOf(connection: KernelConnection, nowMs: number): { path: string | null; isCovered: boolean } | null {
    const { netns } = connection;
    if (netns === this.source.netns) return { path: null, isCovered: true };
    const path =
      this.held.pathOf(netns) ??
      this.source.namespacePath(netns) ??
      pathOf(connection) ??
      this.recentNamespaces(nowMs).get(netns);
    if (path === undefined) return null;
    return { path, isCovered: this.source.isWatched(netns) || this.isCarried(netns, path, nowMs) };
  }

  /**
   * Returns whether all interfaces of a namespace lead to ours. The answer of the last moment is used again: a
   * namespace that has got another interface since is found by the next listing, and the time since the last
   * one counts as not watched.
   */
  private isCarried(netns: number, path: string, nowMs: number): boolean {
    if (nowMs - this.carriedMs > CARRIED_KEPT_MS) {
      this.carriedMs = nowMs;
      this.carriedNow.clear();
      this.links = this.queue.ownLinks();
    }
    let isCarried = this.carriedNow.get(netns);
    if (isCarried === undefined) {
      isCarried = this.links?.carryAllOf(path) === true;
      this.carriedNow.set(netns, isCarried);
    }
    return isCarried;
  }

  /** Handles a connection that no capture saw: opens a capture for the next ones of its namespace. */
  handleMissed(connection: KernelConnection, nowMs: number): void {
    const { netns, tuple } = connection;
    const path = this.held.pathOf(netns) ?? this.recentNamespaces(nowMs).get(netns);
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

  /**
   * Learns that a program has begun in a namespace. A new one gets its capture at once: it may be gone at the next
   * listing. The time since the last listing counts as not watched, because something else may have called from there.
   */
  noteProcess(netns: number, pid: number, nowMs: number): void {
    if (netns === this.source.netns || !this.watchesAll || this.source.isWatched(netns)) return;
    if (this.listedMs === Number.NEGATIVE_INFINITY || this.unfollowed.isUnwatched(netns)) return;
    const path = `${this.procRoot}/${pid}/ns/net`;
    if (this.searchesAll) this.searchSockets(new Map([[netns, path]]));
    if (this.isCarried(netns, path, nowMs)) return;
    const outcome = this.source.watchNamespace(netns, path);
    this.foundByProcess++;
    if (outcome.kind === 'refused') {
      this.warnOnce(netns, outcome.reason);
      this.unfollowed.addUnwatched(netns, this.listedMs, nowMs);
      return;
    }
    if (outcome.kind === 'watched') this.early.set(netns, { openedMs: nowMs, listedMs: this.listedMs });
    else this.unfollowed.addUnwatchedTime(netns, this.listedMs, nowMs);
  }

  /**
   * Counts the time before early captures. Those that are needless are closed: interfaces of the namespace were moved
   * after its program had begun.
   */
  private reviewEarly(nowMs: number, afterMs: number): void {
    for (const [netns, { openedMs, listedMs }] of this.early) {
      if (nowMs - openedMs < afterMs) continue;
      this.early.delete(netns);
      const path = this.source.namespacePath(netns);
      if (path !== null && this.queue.ownLinks()?.carryAllOf(path) === true) {
        this.source.closeNamespace(netns);
      } else {
        this.unfollowed.addUnwatchedTime(netns, nowMs - (openedMs - listedMs), nowMs);
      }
    }
  }

  /** Handles the end of a socket that the kernel reported. */
  handleClosed(netns: number, tuple: FlowTuple, nowMs: number): void {
    this.unfollowed.deleteSocket(netns, tuple, nowMs);
  }

  /** Closes captures in namespaces that are gone, and finds new namespaces. */
  tick(nowMs: number): void {
    this.reviewEarly(nowMs, CONFIRM_AFTER_MS);
    this.queue.openCaptures(nowMs, OPENED_PER_TICK);
    if (nowMs - this.listedMs < LIST_EVERY_MS) return;
    if (!this.watchesAll && this.source.namespaces.length === 0 && !this.unfollowed.isAny) return;
    this.reviewNamespaces(nowMs);
    this.queue.openCaptures(nowMs, OPENED_PER_TICK);
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
    this.reviewEarly(nowMs, 0);
    this.queue.close(nowMs);
    this.held.close();
    this.unfollowed.close();
  }

  counters(nowMs: number): Counters {
    return {
      ...this.unfollowed.counters(nowMs),
      carried_by_ours: this.queue.carried,
      found_by_process: this.foundByProcess,
    };
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
    if (this.watchesAll) {
      const isSearchable = this.searchesAll && this.searchSockets(existing);
      this.queue.update(existing, nowMs, isFirst ? nowMs : sinceMs);
      return isSearchable;
    }
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
   * With eBPF: searches the owners of sockets older than our program in a namespace whose packets pass our own. Without
   * them those calls have no owner, and are counted so.
   */
  private searchOlderSockets(netns: number, path: string): void {
    try {
      if (endpointSocketsAt(path, this.options.isEndpoint).length === 0) return;
    } catch {
      return; // the namespace has ended
    }
    this.known.add(netns);
    this.searchSocketsIn(netns, path);
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

  /** Begins to search sockets in new namespaces. Returns whether there are any. */
  private searchSockets(existing: Map<number, string>): boolean {
    let isNew = false;
    for (const [netns, path] of existing) {
      if (netns === this.source.netns || this.known.has(netns)) continue;
      if (namespaceAt(path) !== netns) continue; // its process has ended, and the path leads elsewhere
      this.known.add(netns);
      isNew = this.searchSocketsIn(netns, path) || isNew;
    }
    return isNew;
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

/** Returns a path into the namespace of a connection while its thread is there. */
function pathOf(connection: KernelConnection): string | null {
  const pid = connection.owner()?.pid;
  const path = pid === undefined ? null : `/proc/${pid}/task/${connection.threadId() ?? pid}/ns/net`;
  return path !== null && namespaceAt(path) === connection.netns ? path : null;
}
