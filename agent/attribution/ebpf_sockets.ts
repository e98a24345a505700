/**
 * The sockets that the kernel reported: owner and ports joined by the socket's address, found again by what is on the
 * wire. No clock of its own, no network. Bounded in sockets and in bytes; what is dropped for room is counted.
 */
import { type FlowTuple, isSameFlow } from '../flow.ts';
import type { StateRecord } from './ebpf_records.ts';

export interface WatchedSocket {
  readonly netns: number;
  /** The owner's record as the kernel wrote it; null when it never came. */
  readonly record: Buffer | null;
  /** Its addresses on the wire; null until they are known. */
  tuple: FlowTuple | null;
  /** Sequence number of its SYN; null until it is known. */
  initialSequence: number | null;
  isOpen: boolean;
}

export interface SocketTableLimits {
  maxSockets: number;
  /** Of the owners' records. */
  maxBytes: number;
  /** How long a closed socket can still be found: its last packets may wait in the capture's queue. */
  keepClosedMs: number;
}

export class SocketTable {
  readonly #limits: SocketTableLimits;
  /** By the socket's address, oldest first. */
  readonly #live = new Map<number, WatchedSocket>();
  /** When each closed, oldest first. */
  readonly #closed = new Map<WatchedSocket, number>();
  /** By local port, which tells most of them apart. Newest last; one of each tuple and network namespace. */
  readonly #byPort = new Map<number, WatchedSocket[]>();
  #bytes = 0;
  evicted = 0;
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

  /** A socket began to connect. `record` is kept as it is. */
  addSocket(socket: number, netns: number, record: Buffer, nowMs: number): void {
    this.#close(socket, nowMs);
    this.#live.set(socket, { netns, record, tuple: null, initialSequence: null, isOpen: true });
    this.#bytes += record.length;
    this.#makeRoom();
  }

  /** Its ports are known now: it is established, or its attempt failed. */
  setAddresses(state: StateRecord, nowMs: number): void {
    let watched = this.#live.get(state.socket);
    if (watched === undefined || watched.tuple !== null) {
      // Its beginning was lost, or was before our time. Known by its address all the same: the kernel did report it.
      this.#close(state.socket, nowMs);
      this.joinsWithoutOwner++;
      watched = { netns: state.netns, record: null, tuple: null, initialSequence: null, isOpen: true };
      this.#live.set(state.socket, watched);
      this.#makeRoom();
    }
    watched.initialSequence = state.initialSequence;
    if (state.localPort !== 0) this.#index(watched, state);
    if (state.kind === 'failed') this.#close(state.socket, nowMs);
  }

  closeSocket(socket: number, nowMs: number): void {
    this.#close(socket, nowMs);
  }

  /** All sockets with this very address on the wire, one of each network namespace, newest last. */
  find(tuple: FlowTuple): readonly WatchedSocket[] {
    return (this.#byPort.get(tuple.localPort) ?? []).filter((watched) => isSameFlow(watched.tuple!, tuple));
  }

  /** Forgets sockets that closed long enough ago. */
  expire(nowMs: number): void {
    for (const [watched, closedMs] of this.#closed) {
      if (nowMs - closedMs < this.#limits.keepClosedMs) return;
      this.#forget(watched);
    }
  }

  #index(watched: WatchedSocket, tuple: FlowTuple): void {
    watched.tuple = tuple;
    const others = this.#byPort.get(tuple.localPort);
    if (others === undefined) {
      this.#byPort.set(tuple.localPort, [watched]);
      return;
    }
    // A port used again: the newest socket of a namespace is the one that is meant.
    const older = others.findIndex(
      (other) => other.netns === watched.netns && isSameFlow(other.tuple!, tuple),
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

  #forget(watched: WatchedSocket): void {
    this.#closed.delete(watched);
    this.#bytes -= watched.record?.length ?? 0;
    if (watched.tuple === null) return;
    const { localPort } = watched.tuple;
    const rest = (this.#byPort.get(localPort) ?? []).filter((other) => other !== watched);
    if (rest.length > 0) this.#byPort.set(localPort, rest);
    else this.#byPort.delete(localPort);
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
