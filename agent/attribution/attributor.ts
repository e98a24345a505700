/** Who owns a socket: the interface between the ways to find out (eBPF; sock_diag with /proc) and their user. */
import type { Counters } from '../../protocol/records.ts';
import type { FlowTuple } from '../flow.ts';
import type { SocketOwner } from './owner.ts';

/** A connection to an endpoint, or an attempt at one, as the kernel reported it. */
export interface KernelConnection {
  kind: 'established' | 'failed';
  /** `localPort` is 0 where the attempt failed before a port was chosen. */
  tuple: FlowTuple;
  /** Sequence number of its SYN: on the wire it tells this connection from all others with the same addresses. */
  initialSequence: number;
  /** Inode number of the socket's network namespace. */
  netns: number;
  owner(): SocketOwner | null;
  /** Thread that connected, in the host's pid namespace; null when it is not known. */
  threadId(): number | null;
  /** Whether the socket still lives, as far as the kernel has reported. */
  isOpen(): boolean;
}

export interface Attributor {
  /** Is told each connection that the kernel reports, in every namespace; never called where the kernel reports none. */
  onConnection: ((connection: KernelConnection) => void) | null;
  /** Is told when a socket to an endpoint has ended, in every namespace; never called where the kernel reports none. */
  onClosed: ((netns: number, tuple: FlowTuple) => void) | null;
  readonly method: 'ebpf' | 'sock_diag';
  /** Takes in what the kernel has to say. Called just before each packet is handled, and on a slow timer. */
  poll(): void;
  /**
   * The owner of a connection, or null when it is not known (yet). Called when a connection's first segment is
   * seen (`atSyn` says whether that was its SYN), and again at its first request when the first answer was null.
   * `initialSequence` is the sequence number of its SYN, where that was seen: only that very connection's owner is given.
   */
  ownerOf(tuple: FlowTuple, atSyn: boolean, initialSequence?: number | null): SocketOwner | null;
  /**
   * Inode number of the socket that has this tuple now, in our own network namespace; null when there is none. Absent
   * where the kernel itself says which connections this process opened (`SocketOwner.isSelf`).
   */
  inodeOf?(tuple: FlowTuple): number | null;
  /**
   * Also answer for sockets of another network namespace; `within` runs an action inside it. With eBPF this
   * is for sockets that are older than our program.
   */
  watchNamespace?(netns: number, within: <T>(action: () => T) => T): void;
  forgetNamespace?(netns: number): void;
  /** The connection is over: what was kept for it may be forgotten soon (its last packets may still come). */
  connectionClosed(tuple: FlowTuple): void;
  counters(): Counters;
  close(): void;
}
