/**
 * Finds the owner of a socket without eBPF: netlink gives the one socket of the tuple (/proc/net/tcp is not
 * read, which would cost milliseconds), and /proc shows the process that holds its inode.
 *
 * Limits: a caller that ends during the look-up is inferred at best (ended_owners.ts), and an attempt that a firewall
 * drops sends no SYN and is never looked up. Sockets of another network namespace are found only after `watchNamespace`.
 *
 * The file is longer than others because the look-up, its cache and the reuse of ports depend on each other.
 */

import { readdirSync } from 'node:fs';
import { setPriority } from 'node:os';
import { deleteOldestEntries } from '../../common/bounded_map.ts';
import type { Counters } from '../../protocol/records.ts';
import { type ByteRange, type FlowTuple, keyOf } from '../flow.ts';
import { effectiveCapabilities } from '../linux/capabilities.ts';
import { cgroupPaths } from '../linux/cgroup.ts';
import { monotonicNs, suspendedNs, wallAheadUs } from '../linux/libc.ts';
import { addressBytes, type SocketId } from '../linux/netlink_inet_diag.ts';
import { type FoundSocket, SockDiagSocket } from '../linux/netlink_sock_diag.ts';
import { closeDescriptor, openAsBase, readLinkAt } from '../linux/proc_libc.ts';
import { HeldProcess, ProcReader } from '../linux/proc_reader.ts';
import type { Attributor, ConnectionUse } from './attributor.ts';
import { EndedOwners } from './ended_owners.ts';
import type { SocketOwner } from './owner.ts';
import { HolderSearch } from './proc_holder_search.ts';
import type { ProcessWatch } from './process_watch.ts';

/**
 * Nice value of the capturing thread. The look-up races against the caller's end, and loses when it waits for
 * a processor. Of 500 one-shot `curl`s on two cores, with another program on one of them, 392 to 431 were
 * attributed at nice 0, 456 to 470 at -15, and 470 to 500 at -19. With a load of 5 it was 422 to 426 at -19.
 */
const THREAD_NICE = -19;
/** A clock tick of /proc is 1/100 s on every Linux (USER_HZ). */
const MICROSECONDS_PER_TICK = 10_000;
/** A process began later than a time only if it did so by more than this: ticks and clocks are not exact. */
const START_TOLERANCE_US = 30_000;
/**
 * Processor time for one search. A one-shot caller lives for 3 to 5 ms after its SYN; others are looked up
 * again.
 */
const SEARCH_BOUND_MS = 8;
const MAX_CONNECTIONS = 8192;
/** A closed connection is kept this long for its last packets. Then its tuple may be used again. */
const KEEP_CLOSED_MS = 5000;
const MAX_ADDRESSES = 256;
/** More SYNs than one reading of packets brings. */
const MAX_PREPARED = 4096;
const MAX_UNOWNED = 4096;
/** Descriptors of one process that are looked at one by one: each costs some 10 us. */
const MAX_DESCRIPTORS = 128;
/** More requests than wait for their answers at a time. */
const MAX_USES = 4096;
/** Processes that have begun within this time are looked at first. */
const YOUNG_NS = 5_000_000_000n;
/** The number of the capability in include/uapi/linux/capability.h. */
const CAP_SYS_PTRACE = 19n;

export interface SockDiagOptions {
  procRoot?: string;
  /** Receives one warning for each limit of the look-ups; never one for a single call. */
  log?: { warn(message: string): void };
  /** The most processor time for the search of one socket's process, in milliseconds. */
  searchBoundMs?: number;
  /** Nice value for the calling thread only (see THREAD_NICE); null leaves it. */
  threadNice?: number | null;
  now?: () => number;
  /** The kernel's process events; null without them. The attributor closes them. */
  processes?: ProcessWatch | null;
}

interface Known {
  owner: SocketOwner;
  inode: number;
  closedAtMs: number | null;
}

export class SockDiagAttributor implements Attributor {
  /** Never called: sock_diag is queried on demand and delivers no events. */
  onConnection: Attributor['onConnection'] = null;
  onClosed: Attributor['onClosed'] = null;
  onNamespace: NonNullable<Attributor['onNamespace']> | null = null;
  readonly method = 'sock_diag';
  readonly inferOwner?: (tuple: FlowTuple, begunUs: number) => SocketOwner | null;
  readonly #netlink: SockDiagSocket;
  readonly #search: HolderSearch;
  readonly #processes: ProcReader;
  readonly #procRoot: string;
  readonly #now: () => number;
  /** Inode number of the network namespace that is searched; null if it cannot be read. */
  readonly #netns: number | null;
  /** Netlink sockets of other network namespaces: each searches the namespace that it was opened in. */
  readonly #others = new Map<number, SockDiagSocket>();
  readonly #watch: ProcessWatch | null;
  readonly #ended: EndedOwners | null;
  /** Owners by tuple, in the order of their look-up. */
  readonly #known = new Map<string, Known>();
  readonly #closed: string[] = [];
  /** Results of look-ups for SYNs that wait to be handled, by tuple. */
  readonly #prepared = new Map<string, { begunUs: number; owner: SocketOwner | null }>();
  /** Facts about sockets of which the owner was gone, by tuple, latest last. */
  readonly #unowned = new Map<string, { uid: number; netns: number | null; isOutOfTime: boolean }>();
  readonly #addresses = new Map<string, Uint8Array>();
  /** Which processes had the socket of a request, by its tuple and the sequence number of its first byte. */
  readonly #uses = new Map<string, ConnectionUse | null>();
  /** Number of the descriptor of the owner that was found last. */
  #descriptor = 0;
  #lookups = 0;
  #handed = 0;
  #found = 0;
  #foundByRecent = 0;
  #shared = 0;
  #socketGone = 0;
  #socketOrphaned = 0;
  #ownerGone = 0;
  #partial = 0;
  #evicted = 0;
  #unreadableTuples = 0;

  private constructor(netlink: SockDiagSocket, options: SockDiagOptions) {
    this.#netlink = netlink;
    this.#procRoot = options.procRoot ?? '/proc';
    this.#now = options.now ?? (() => performance.now());
    this.#search = new HolderSearch({
      procRoot: this.#procRoot,
      boundMs: options.searchBoundMs ?? SEARCH_BOUND_MS,
    });
    this.#processes = new ProcReader({ procRoot: this.#procRoot, now: this.#now });
    this.#netns = readNetns(this.#procRoot);
    this.#watch = options.processes ?? null;
    if (this.#watch !== null) this.#watch.onNamespace = (netns, pid) => this.onNamespace?.(netns, pid);
    this.#ended = this.#watch && new EndedOwners(this.#watch, this.#procRoot);
    const ended = this.#ended;
    if (ended !== null) this.inferOwner = (tuple, begunUs) => this.#infer(ended, tuple, begunUs);
  }

  /**
   * Opens netlink.
   * @throws NetlinkRefused if the kernel cannot be queried; its message has the reason.
   */
  static open(options: SockDiagOptions = {}): SockDiagAttributor {
    const attributor = new SockDiagAttributor(SockDiagSocket.open(), options);
    if (!mayReadAllProcesses(attributor.#procRoot)) {
      options.log?.warn(
        'Only processes of this user can be found as callers: reading others needs CAP_SYS_PTRACE. Run the agent as root.',
      );
    }
    const nice = options.threadNice === undefined ? THREAD_NICE : options.threadNice;
    if (nice !== null && !setThreadNice(nice)) {
      options.log?.warn(
        'Callers that live for only milliseconds will be missed more often: raising the priority needs CAP_SYS_NICE.',
      );
    }
    return attributor;
  }

  /**
   * Reads process events, and deletes connections that closed long ago. About sockets the kernel is queried on demand.
   */
  poll(): void {
    this.#watch?.poll();
    const before = this.#now() - KEEP_CLOSED_MS;
    while (this.#closed.length > 0) {
      const key = this.#closed[0]!;
      const known = this.#known.get(key);
      if (known?.closedAtMs != null && known.closedAtMs > before) return;
      this.#closed.shift();
      if (known?.closedAtMs != null) this.#known.delete(key);
    }
  }

  ownerOf(
    tuple: FlowTuple,
    atSyn: boolean,
    _initialSequence: number | null = null,
    begunUs: number | null = null,
  ): SocketOwner | null {
    const key = keyOf(tuple);
    const prepared = this.#prepared.get(key);
    if (prepared !== undefined && atSyn) {
      this.#prepared.delete(key);
      if (prepared.begunUs === begunUs) return prepared.owner;
    }
    const known = this.#known.get(key);
    // Without a SYN it can only be the known connection. A SYN may begin another one.
    if (known && !atSyn) return known.owner;
    // The port may be used again, so the known owner counts only after the kernel has confirmed the same
    // socket.
    if (known) this.#known.delete(key);
    this.#lookups++;
    const id = this.#socketId(tuple);
    if (!id) {
      this.#unreadableTuples++;
      return null;
    }
    const found = this.#findSocket(id);
    if (found && known && known.inode === found.socket.inode) {
      this.#known.set(key, known);
      return known.owner;
    }
    const owner = this.#ownerOfSocket(key, id, found, begunUs);
    if (owner) {
      this.#known.set(key, { owner, inode: found!.socket.inode, closedAtMs: null });
      if (this.#known.size > MAX_CONNECTIONS) {
        deleteOldestEntries(this.#known, MAX_CONNECTIONS);
        this.#evicted++;
      }
    }
    return owner;
  }

  prepareOwner(tuple: FlowTuple, begunUs: number): void {
    const key = keyOf(tuple);
    // A copy of a SYN asks for nothing new.
    if (this.#prepared.get(key)?.begunUs === begunUs) return;
    const owner = this.ownerOf(tuple, true, null, begunUs);
    this.#prepared.set(key, { begunUs, owner });
    deleteOldestEntries(this.#prepared, MAX_PREPARED);
  }

  /** A search that ran out of time proves nothing: its socket may still have an owner. */
  #infer(ended: EndedOwners, tuple: FlowTuple, begunUs: number): SocketOwner | null {
    const id = this.#socketId(tuple);
    const unowned = this.#unowned.get(keyOf(tuple));
    if (id === null || unowned?.isOutOfTime === true) return null;
    const isOurs = this.#netlink.hasAddress(id.localAddress);
    return ended.ownerOf(begunUs, unowned?.uid ?? null, unowned?.netns ?? (isOurs ? this.#netns : null));
  }

  /** Returns the living owner. Without one, what the kernel says about the socket is kept for `inferOwner`. */
  #ownerOfSocket(
    key: string,
    id: SocketId,
    found: { socket: FoundSocket; netlink: SockDiagSocket; netns: number | null } | null,
    begunUs: number | null,
  ): SocketOwner | null {
    if (!found) {
      this.#socketGone++;
      return null;
    }
    const { socket, netlink, netns } = found;
    if (socket.inode === 0) {
      // The user of a socket that no process has any more is reported as 0 (net/core/sock.c, sock_i_uid).
      this.#socketOrphaned++;
      return null;
    }
    const owner = this.#ownerOfInode(id, socket.inode, socket.uid, netlink, netns);
    if (owner === null) {
      this.#unowned.delete(key);
      this.#unowned.set(key, { uid: socket.uid, netns, isOutOfTime: this.#search.isOutOfTime });
      deleteOldestEntries(this.#unowned, MAX_UNOWNED);
    } else if (begunUs !== null && beganAfter(owner, begunUs)) {
      // It has the socket from another process, or its own connection has the port by now.
      return { ...owner, confidence: 'probable' };
    }
    return owner;
  }

  /**
   * Looks, while the sender waits for its answer, which process has the socket, and whether a child has it too. Null says
   * nothing: other processes may have it, which are not looked for.
   */
  useOf(
    tuple: FlowTuple,
    _initialSequence: number,
    { first }: ByteRange,
    opener: SocketOwner | null,
    isOpen: () => boolean = () => true,
  ): ConnectionUse | null {
    // A shared socket is said to be shared already.
    if (opener === null || opener.isShared === true) return null;
    const key = `${keyOf(tuple)} ${first}`;
    const before = this.#uses.get(key);
    if (before !== undefined) return before;
    const found = this.#useNow(tuple, opener);
    // It is about another connection if this one has ended meanwhile and its port is used again.
    const use = found !== null && isOpen() ? found : null;
    this.#uses.set(key, use);
    deleteOldestEntries(this.#uses, MAX_USES);
    return use;
  }

  #useNow(tuple: FlowTuple, opener: SocketOwner): ConnectionUse | null {
    const id = this.#socketId(tuple);
    const found = id === null ? null : this.#findSocket(id);
    const inode = found?.socket.inode ?? 0;
    if (id === null || found === null || inode === 0) return null; // it is closed
    // Another connection has the same addresses and ports: a later one, or one of another namespace.
    if ((this.#known.get(keyOf(tuple))?.inode ?? inode) !== inode) return null;
    if (opener.netns !== null && found.netns !== null && opener.netns !== found.netns) return null;
    const { pid, startTicks } = opener;
    const shared: ConnectionUse = { opener, sender: null, isMixed: true };
    if (!this.#findDescriptor(pid, startTicks, inode)) {
      const holder = this.#ownerOfInode(id, inode, found.socket.uid, found.netlink, found.netns);
      if (holder === null) return null;
      if (holder.pid !== pid) {
        this.#handed++;
        return { opener, sender: { ...holder, confidence: 'probable' }, isMixed: false };
      }
      if (holder.isShared === true) return this.#countShared(shared);
    }
    // fork() copies descriptors under the same numbers.
    const hasCopy = (child: number) => this.#hasSocket(child, null, inode, this.#descriptor);
    return this.#youngChildren(pid).some(hasCopy) ? this.#countShared(shared) : null;
  }

  #countShared(use: ConnectionUse): ConnectionUse {
    this.#shared++;
    return use;
  }

  /** Returns whether a process has the socket at this descriptor; `startTicks`: null if its number alone names it. */
  #hasSocket(pid: number, startTicks: number | null, inode: number, descriptor: number): boolean {
    const held = HeldProcess.hold(this.#procRoot, pid);
    if (held === null) return false;
    const has =
      this.#search.hasSocket(held, inode, descriptor) &&
      (startTicks === null || held.stat()?.startTicks === startTicks);
    held.close();
    return has;
  }

  /**
   * Returns whether a process has the socket, and remembers at which descriptor. False, too, if it has very many
   * descriptors: then the bounded search looks for the socket.
   */
  #findDescriptor(pid: number, startTicks: number, inode: number): boolean {
    const has = (number: number) => this.#hasSocket(pid, startTicks, inode, number);
    if (has(this.#descriptor)) return true;
    let numbers: number[];
    try {
      numbers = readdirSync(`${this.#procRoot}/${pid}/fd`).map(Number);
    } catch {
      return false; // it has ended
    }
    if (numbers.length > MAX_DESCRIPTORS) return false;
    const found = numbers.find(has);
    if (found !== undefined) this.#descriptor = found;
    return found !== undefined;
  }

  /** Returns the children of a process that have begun lately; none where there are no process events. */
  #youngChildren(parent: number): number[] {
    if (this.#watch === null) return [];
    const { table } = this.#watch;
    const nowNs = monotonicNs();
    return table.youngPids(nowNs, YOUNG_NS).filter((pid) => table.at(pid, nowNs)?.parentPid === parent);
  }

  inodeOf(tuple: FlowTuple): number | null {
    const id = this.#socketId(tuple);
    return id === null ? null : (this.#netlink.find(id)?.inode ?? null);
  }

  /**
   * Searches each namespace in turn, our own first: the addresses of a packet nearly always identify its
   * namespace.
   */
  #findSocket(id: SocketId): { socket: FoundSocket; netlink: SockDiagSocket; netns: number | null } | null {
    const socket = this.#netlink.find(id);
    if (socket) return { socket, netlink: this.#netlink, netns: this.#netns };
    for (const [netns, netlink] of this.#others) {
      const found = netlink.find(id);
      if (found) return { socket: found, netlink, netns };
    }
    return null;
  }

  watchNamespace(netns: number, within: <T>(action: () => T) => T): void {
    if (netns === this.#netns || this.#others.has(netns)) return;
    this.#others.set(
      netns,
      within(() => SockDiagSocket.open()),
    );
  }

  forgetNamespace(netns: number): void {
    this.#others.get(netns)?.close();
    this.#others.delete(netns);
  }

  #ownerOfInode(
    id: SocketId,
    inode: number,
    uid: number,
    netlink: SockDiagSocket,
    netns: number | null,
  ): SocketOwner | null {
    const nowNs = monotonicNs();
    const young = this.#watch?.table.youngPids(nowNs, YOUNG_NS) ?? [];
    const holder = this.#search.find(inode, uid, () => netlink.find(id)?.inode === inode, young);
    if (!holder) {
      // A search that ran out of time is counted by itself, and proves nothing about the owner.
      if (!this.#search.isOutOfTime) this.#ownerGone++;
      return null;
    }
    const snapshot = this.#snapshot(holder.process) ?? this.#snapshotOfEnded(holder.process.pid, nowNs);
    holder.process.close();
    if (!snapshot) {
      this.#ownerGone++;
      return null;
    }
    this.#found++;
    this.#descriptor = holder.descriptor;
    if (holder.recent) this.#foundByRecent++;
    const { parentPid, ...facts } = snapshot;
    const owner: SocketOwner = {
      ...facts,
      uid,
      argsTruncated: false,
      netns,
      cgroupId: null,
      ancestors: this.#processes.ancestors(parentPid, facts.startTicks),
      method: 'sock_diag',
      confidence: 'exact',
    };
    return this.#eldestHolder(owner, inode, holder.descriptor, parentPid);
  }

  /** Reads the facts that vanish with the process, the most fleeting ones first. */
  #snapshot(held: HeldProcess) {
    const executable = held.executable();
    const args = held.args();
    const workingDirectory = held.workingDirectory();
    const paths = cgroupPaths(held.cgroups() ?? '').filter((path) => path !== '/');
    const stat = held.stat();
    if (!stat) return null;
    if (executable === null || args === null) this.#partial++;
    return {
      pid: held.pid,
      startTicks: stat.startTicks,
      name: stat.name,
      executable,
      args,
      workingDirectory,
      cgroupPaths: paths.length > 0 ? paths : null,
      parentPid: stat.parentPid,
    };
  }

  /** Returns the facts of a process that had the socket a moment ago and has ended since. */
  #snapshotOfEnded(pid: number, timeNs: bigint) {
    this.#watch?.poll();
    const known = this.#watch?.table.at(pid, timeNs);
    if (!known?.reading || known.startTicks === null) return null;
    const { name, executable, args, workingDirectory, cgroupPaths: paths, parentPid } = known.reading;
    const startTicks = known.startTicks;
    return { pid, startTicks, name, executable, args, workingDirectory, cgroupPaths: paths, parentPid };
  }

  /**
   * Returns the eldest process in line that holds the socket. fork() copies descriptors under the same
   * numbers, so one look shows whether the parent has the socket too. Then the eldest one opened it, and it
   * is unknown which of them sent the request: the confidence is `probable`. (Example in bash: `exec
   * 3<>/dev/tcp/…; cat <&3` connects in bash, but the search finds `cat` first.)
   */
  #eldestHolder(found: SocketOwner, inode: number, descriptor: number, parentPid: number): SocketOwner {
    let eldest = found;
    let pid = parentPid;
    for (const [at, ancestor] of (found.ancestors ?? []).entries()) {
      if (ancestor.pid !== pid) break;
      const held = HeldProcess.hold(this.#procRoot, pid);
      if (!held) break;
      const shared = this.#search.hasSocket(held, inode, descriptor);
      const snapshot = shared ? this.#snapshot(held) : null;
      held.close();
      if (!snapshot || snapshot.startTicks !== ancestor.startTicks) break;
      const { parentPid: next, ...facts } = snapshot;
      eldest = { ...found, ...facts, ancestors: found.ancestors!.slice(at + 1) };
      eldest.confidence = 'probable';
      eldest.isShared = true;
      pid = next;
    }
    if (eldest !== found) this.#shared++;
    return eldest;
  }

  #socketId(tuple: FlowTuple): SocketId | null {
    const localAddress = this.#addressBytes(tuple.localAddress);
    const remoteAddress = this.#addressBytes(tuple.remoteAddress);
    if (!localAddress || !remoteAddress || localAddress.length !== remoteAddress.length) return null;
    return { localAddress, localPort: tuple.localPort, remoteAddress, remotePort: tuple.remotePort };
  }

  #addressBytes(text: string): Uint8Array | null {
    const known = this.#addresses.get(text);
    if (known) return known;
    const bytes = addressBytes(text);
    if (this.#addresses.size >= MAX_ADDRESSES) this.#addresses.clear();
    if (bytes) this.#addresses.set(text, bytes);
    return bytes;
  }

  connectionClosed(tuple: FlowTuple): void {
    const key = keyOf(tuple);
    const known = this.#known.get(key);
    if (known?.closedAtMs !== null) return;
    known.closedAtMs = this.#now();
    this.#closed.push(key);
  }

  counters(): Counters {
    return {
      lookups: this.#lookups,
      found: this.#found,
      found_by_recent: this.#foundByRecent,
      found_shared: this.#shared,
      /** Requests whose connection another process had by then. */
      found_handed: this.#handed,
      snapshot_partial: this.#partial,
      socket_gone: this.#socketGone,
      socket_orphaned: this.#socketOrphaned,
      owner_gone: this.#ownerGone,
      tuple_unreadable: this.#unreadableTuples,
      evicted: this.#evicted,
      ...this.#netlink.counters(),
      ...this.#search.counters(),
      ...this.#processes.counters(),
      ...this.#ended?.counters(),
    };
  }

  close(): void {
    this.#watch?.close();
    this.#netlink.close();
    for (const netlink of this.#others.values()) netlink.close();
    this.#search.close();
    this.#known.clear();
  }
}

/** Returns whether a process began after a time, in microseconds since the Unix epoch. */
function beganAfter({ startTicks }: SocketOwner, timeUs: number): boolean {
  const monotonicUs = startTicks * MICROSECONDS_PER_TICK - Number(suspendedNs() / 1_000n);
  return monotonicUs + wallAheadUs() > timeUs + START_TOLERANCE_US;
}

/**
 * Returns whether this process has CAP_SYS_PTRACE, which reading the links of other users' processes needs.
 */
function mayReadAllProcesses(procRoot: string): boolean {
  const effective = effectiveCapabilities('self', procRoot);
  return effective !== null && ((effective >> CAP_SYS_PTRACE) & 1n) === 1n;
}

/**
 * Sets the nice value of the calling thread; returns whether that was permitted. Linux gives each thread its
 * own nice value, and 0 means the calling one (setpriority(2), "C library/kernel differences").
 */
function setThreadNice(nice: number): boolean {
  try {
    setPriority(0, nice);
    return true;
  } catch {
    return false;
  }
}

function readNetns(procRoot: string): number | null {
  const base = openAsBase(`${procRoot}/thread-self/ns`);
  if (base < 0) return null;
  const target = readLinkAt(base, 'net');
  closeDescriptor(base);
  const inode = Number(/^net:\[(\d+)\]$/.exec(target?.toString('latin1') ?? '')?.[1]);
  return Number.isInteger(inode) ? inode : null;
}
