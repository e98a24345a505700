/**
 * Keeps the sockets that the kernel reported. Owner and ports are joined by the socket's address in the
 * kernel, and found by the addresses and ports on the wire. The table reads no clock. It is bounded in
 * sockets and bytes; evicted sockets are counted.
 */
import { type FlowTuple, isSameFlow } from '../flow.ts';
import type { StateRecord } from './ebpf_records.ts';

/** The owner's record. Its length counts towards the table's bound on bytes. */
interface SizedRecord {
  readonly length: number;
}

export interface WatchedSocket<Kept extends SizedRecord = Buffer> {
  /** Inode number of its network namespace; null if it is not known. */
  readonly netns: number | null;
  /** The owner's record; null if it was lost. */
  readonly record: Kept | null;
  /** Addresses and ports on the wire; null until they are known. */
  tuple: FlowTuple | null;
  /** Sequence number of the SYN; null until it is known, and where the kernel does not report it. */
  initialSequence: number | null;
  isOpen: boolean;
  /** The kernel's monotonic time of its first report; null where times are not needed to tell sockets apart. */
  readonly reportedNs: bigint | null;
  /** Processes that took the socket over, oldest first. */
  senders: Sender<Kept>[];
  /** Others may have taken it over, too. */
  missesSenders: boolean;
}

export interface Sender<Kept extends SizedRecord = Buffer> {
  readonly record: Kept;
  /** Sequence number of the first byte that it sent. */
  readonly sequence: number;
}

export interface SocketTableLimits {
  maxSockets: number;
  /** Bound on the bytes of all owners' records. */
  maxBytes: number;
  /** A closed socket can be found for this long: its last packets may wait in the capture's queue. */
  keepClosedMs: number;
}

/** Processes that pass a connection to each other are remembered up to this number: the latest. */
const MAX_SENDERS = 64;

/** The report about the addresses and ports of a socket. */
export type SocketState = Pick<StateRecord, 'socket' | 'kind' | keyof FlowTuple> & {
  netns: number | null;
  initialSequence: number | null;
};

export class SocketTable<Kept extends SizedRecord = Buffer> {
  readonly #limits: SocketTableLimits;
  /** Open sockets by their address in the kernel, oldest first. */
  readonly #live = new Map<number, WatchedSocket<Kept>>();
  /** Closed sockets with the time at which each closed, oldest first. */
  readonly #closed = new Map<WatchedSocket<Kept>, number>();
  /** Sockets by local port, newest last; one of each tuple and network namespace, or all where times are known. */
  readonly #byPort = new Map<number, WatchedSocket<Kept>[]>();
  /** The same sockets by the sequence number of their SYN. */
  readonly #bySequence = new Map<number, WatchedSocket<Kept>[]>();
  /** The same sockets by their network namespace, where it is known. */
  readonly #byNetns = new Map<number, Set<WatchedSocket<Kept>>>();
  #bytes = 0;
  evicted = 0;
  /** Reports about the senders of sockets that are added now may be lost. */
  missesSenders = false;
  joinsWithoutOwner = 0;

  constructor(limits: SocketTableLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#live.size + this.#closed.size;
  }

  get retainedBytes(): number {
    return this.#bytes;
  }

  /** Adds a socket that began to connect. `record` is kept as it is. */
  addSocket(
    socket: number,
    netns: number | null,
    record: Kept,
    nowMs: number,
    reportedNs: bigint | null = null,
  ): void {
    this.#close(socket, nowMs);
    this.#live.set(socket, {
      ...{ netns, record, tuple: null, initialSequence: null, isOpen: true, reportedNs },
      ...{ senders: [], missesSenders: this.missesSenders },
    });
    this.#bytes += record.length;
    this.#makeRoom();
  }

  /** Sets the addresses and ports of a socket that is established, or whose attempt failed. */
  setAddresses(state: SocketState, nowMs: number, reportedNs: bigint | null = null): void {
    let watched = this.#live.get(state.socket);
    if (watched === undefined || watched.tuple !== null) {
      // The record of its beginning was lost, or it began before the agent did.
      this.#close(state.socket, nowMs);
      this.joinsWithoutOwner++;
      watched = {
        ...{ netns: state.netns, record: null, tuple: null, initialSequence: null },
        ...{ isOpen: true, reportedNs, senders: [], missesSenders: this.missesSenders },
      };
      this.#live.set(state.socket, watched);
      this.#makeRoom();
    }
    watched.initialSequence = state.initialSequence;
    if (state.localPort !== 0) this.#index(watched, state);
    if (state.kind === 'failed') this.#close(state.socket, nowMs);
  }

  /** Adds a process that sends on a socket from a sequence number on. Returns false if the socket is not known. */
  addSender(socket: number, record: Kept, sequence: number): boolean {
    const watched = this.#live.get(socket);
    if (watched === undefined) return false;
    watched.senders.push({ record, sequence });
    this.#bytes += record.length;
    if (watched.senders.length > MAX_SENDERS) {
      this.#bytes -= watched.senders.shift()!.record.length;
      watched.missesSenders = true;
    }
    this.#makeRoom();
    return true;
  }

  /** Learns that reports about senders were lost: any of the known sockets may have another one. */
  loseSenders(): void {
    for (const watched of this.#live.values()) watched.missesSenders = true;
    for (const watched of this.#closed.keys()) watched.missesSenders = true;
  }

  closeSocket(socket: number, nowMs: number): void {
    this.#close(socket, nowMs);
  }

  /** Deletes the open sockets of which the addresses and ports are not known yet. */
  forgetUnjoined(): void {
    for (const [socket, { record, tuple }] of this.#live) {
      if (tuple !== null) continue;
      this.#live.delete(socket);
      this.#bytes -= record?.length ?? 0;
    }
  }

  /**
   * Returns all sockets with these addresses and ports, newest last: one of each network namespace, or all where their
   * times are known.
   */
  find(tuple: FlowTuple): readonly WatchedSocket<Kept>[] {
    return (this.#byPort.get(tuple.localPort) ?? []).filter((watched) => isSameFlow(watched.tuple!, tuple));
  }

  /**
   * Returns the sockets with these addresses and ports whose SYN has this sequence number, also one whose port was used
   * again since.
   */
  findBySequence(tuple: FlowTuple, initialSequence: number): readonly WatchedSocket<Kept>[] {
    return (this.#bySequence.get(initialSequence) ?? []).filter((watched) =>
      isSameFlow(watched.tuple!, tuple),
    );
  }

  /**
   * Returns the socket whose SYN has this sequence number and goes to the same endpoint from another source;
   * null without one, or with more than one. Masquerading rewrites the source and keeps the sequence number
   * (net/netfilter/nf_nat_core.c changes it only where it changes the payload).
   */
  findTranslated(tuple: FlowTuple, initialSequence: number): WatchedSocket<Kept> | null {
    const found = (this.#bySequence.get(initialSequence) ?? []).filter(
      ({ tuple: own }) => own!.remoteAddress === tuple.remoteAddress && own!.remotePort === tuple.remotePort,
    );
    return found.length === 1 ? found[0]! : null;
  }

  /** Returns the sockets of a network namespace whose addresses and ports are known, oldest first. */
  socketsIn(netns: number): Iterable<WatchedSocket<Kept>> {
    return this.#byNetns.get(netns) ?? [];
  }

  /** Deletes sockets that closed long enough ago. */
  expire(nowMs: number): void {
    for (const [watched, closedMs] of this.#closed) {
      if (nowMs - closedMs < this.#limits.keepClosedMs) return;
      this.#forget(watched);
    }
  }

  #index(watched: WatchedSocket<Kept>, tuple: FlowTuple): void {
    watched.tuple = tuple;
    if (watched.netns !== null) {
      const neighbours = this.#byNetns.get(watched.netns);
      if (neighbours === undefined) this.#byNetns.set(watched.netns, new Set([watched]));
      else neighbours.add(watched);
    }
    if (watched.initialSequence !== null) addTo(this.#bySequence, watched.initialSequence, watched);
    const others = this.#byPort.get(tuple.localPort);
    if (others === undefined) {
      this.#byPort.set(tuple.localPort, [watched]);
      return;
    }
    // A port may be used again: the newest socket of a namespace replaces the older one, where no time tells them apart.
    const older = others.findIndex(
      (other) =>
        other.reportedNs === null &&
        watched.netns !== null &&
        other.netns === watched.netns &&
        isSameFlow(other.tuple!, tuple),
    );
    if (older >= 0) others.splice(older, 1);
    others.push(watched);
  }

  #close(socket: number, nowMs: number): void {
    const watched = this.#live.get(socket);
    if (watched === undefined) return;
    this.#live.delete(socket);
    watched.isOpen = false;
    this.#closed.set(watched, nowMs);
  }

  #forget(watched: WatchedSocket<Kept>): void {
    this.#closed.delete(watched);
    this.#bytes -= watched.record?.length ?? 0;
    for (const { record } of watched.senders) this.#bytes -= record.length;
    watched.senders = [];
    if (watched.tuple === null) return;
    if (watched.netns !== null) {
      const neighbours = this.#byNetns.get(watched.netns);
      neighbours?.delete(watched);
      if (neighbours?.size === 0) this.#byNetns.delete(watched.netns);
    }
    deleteFrom(this.#byPort, watched.tuple.localPort, watched);
    if (watched.initialSequence !== null) deleteFrom(this.#bySequence, watched.initialSequence, watched);
  }

  #makeRoom(): void {
    while (this.size > this.#limits.maxSockets || this.#bytes > this.#limits.maxBytes) {
      const [oldestClosed] = this.#closed.keys();
      if (oldestClosed !== undefined) {
        this.#forget(oldestClosed);
      } else {
        const [oldest] = this.#live;
        if (oldest === undefined) return;
        this.#live.delete(oldest[0]);
        this.#forget(oldest[1]);
      }
      this.evicted++;
    }
  }
}

function addTo<T>(index: Map<number, T[]>, key: number, watched: T): void {
  const others = index.get(key);
  if (others === undefined) index.set(key, [watched]);
  else others.push(watched);
}

function deleteFrom<T>(index: Map<number, T[]>, key: number, watched: T): void {
  const rest = (index.get(key) ?? []).filter((other) => other !== watched);
  if (rest.length > 0) index.set(key, rest);
  else index.delete(key);
}
