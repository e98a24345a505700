/**
 * The interface of what finds the owner of a socket. There are two implementations: eBPF, and sock_diag with
 * /proc.
 */
import type { Counters } from '../../protocol/records.ts';
import type { ByteRange, FlowTuple } from '../flow.ts';
import type { SocketOwner } from './owner.ts';

/** A connection to an endpoint, or an attempt at one, as the kernel reported it. */
export interface KernelConnection {
  kind: 'established' | 'failed';
  /** `localPort` is 0 if the attempt failed before a port was chosen. */
  tuple: FlowTuple;
  /**
   * Sequence number of its SYN. It distinguishes this connection from all others with the same addresses and
   * ports.
   */
  initialSequence: number;
  /** Inode number of the socket's network namespace. */
  netns: number;
  /** The time of the report, in microseconds since the Unix epoch by the clock of packets; absent if it is not known. */
  reportedUs?: number;
  /** The same time by the kernel's monotonic clock, in microseconds; absent if it is not known. */
  monotonicUs?: number;
  /** Returns the process that connected; null if its record was lost. */
  owner(): SocketOwner | null;
  /** Returns the thread that connected, in the host's pid namespace; null if it is not known. */
  threadId(): number | null;
  /** Returns whether the socket is still open, as far as the kernel has reported. */
  isOpen(): boolean;
}

/** A connection that the kernel recorded with its owner. */
export interface RecordedConnection {
  tuple: FlowTuple;
  owner: SocketOwner | null;
  readonly isOpen: boolean;
}

/** Which processes sent some bytes of a connection. */
export interface ConnectionUse {
  /** The process that connected; null if its record was lost. */
  opener: SocketOwner | null;
  /** The process that sent the last of the bytes, if it is not the opener; else null. */
  sender: SocketOwner | null;
  /** Another process sent some of the bytes, or may have. */
  isMixed: boolean;
}

/**
 * A caller that closed its connection has mostly ended after this time. A process that has not is no candidate for the
 * owner of that connection.
 */
export const INFERENCE_DELAY_US = 500_000;

export interface Attributor {
  /** Called for each connection that the kernel reports, in any network namespace (eBPF only). */
  onConnection: ((connection: KernelConnection) => void) | null;
  /** Called when a socket to an endpoint has ended, in any network namespace (eBPF only). */
  onClosed: ((netns: number, tuple: FlowTuple) => void) | null;
  /**
   * Called for a process that begins to connect, if something about it or its parents must be read in /proc at once
   * (eBPF only).
   */
  onUrgentOwner?: ((owner: SocketOwner) => void) | null;
  /**
   * Called for each program that begins, with the inode number of its network namespace: a namespace that lives for
   * seconds only is found by it. Never called without process events.
   */
  onNamespace?: ((netns: number, pid: number) => void) | null;
  /**
   * The owner of a connection is known at its first request at the earliest, so that nothing is missing at its SYN.
   */
  readonly namesAfterSyn?: boolean;
  /**
   * The kernel records callers, and `onUrgentOwner` is called while they live: packets may be handled a moment after
   * they came.
   */
  readonly collectsPackets?: boolean;
  readonly method: 'ebpf' | 'tracepoint' | 'sock_diag';
  /**
   * Reads the pending reports of the kernel. Called just before each packet is handled, and on a slow timer.
   */
  poll(): void;
  /**
   * Returns the owner of a connection; null if it is not known (yet). Called when the first segment of a
   * connection is seen (`atSyn`: it is the SYN), and again at its first request if the first result was null.
   * With `initialSequence`, the sequence number of the SYN, only the owner of exactly that connection is
   * returned. `begunUs`: when the SYN was sent, in microseconds since the Unix epoch; null if it was not seen.
   */
  ownerOf(
    tuple: FlowTuple,
    atSyn: boolean,
    initialSequence?: number | null,
    begunUs?: number | null,
  ): SocketOwner | null;
  /**
   * Returns which processes sent these bytes of the connection whose SYN has this sequence number; null if that is not
   * known. Asked when the bytes are handled, and again later. `opener`: the process that connected, as far as is known.
   * `isOpen` returns whether the connection is still open, and is asked behind a look at the processes.
   */
  useOf?(
    tuple: FlowTuple,
    initialSequence: number,
    bytes: ByteRange,
    opener: SocketOwner | null,
    isOpen?: () => boolean,
  ): ConnectionUse | null;
  /**
   * Looks for the owner of a connection whose SYN is about to be handled, while others wait. Absent where that gains
   * nothing.
   */
  prepareOwner?(tuple: FlowTuple, begunUs: number): void;
  /**
   * Infers the owner of a connection for which `ownerOf` found none; null if nothing can be inferred. Asked
   * INFERENCE_DELAY_US after its SYN. Absent where nothing is inferred.
   */
  inferOwner?(tuple: FlowTuple, begunUs: number): SocketOwner | null;
  /**
   * Returns the connections that were made in a network namespace: those that are open and those of the last seconds.
   * Each is the same object every time. Absent where the kernel does not record them, and where it reports each by
   * `onConnection`.
   */
  connectionsIn?(netns: number): Iterable<RecordedConnection>;
  /**
   * Returns the inode number of the socket that has this tuple now, in our own network namespace; null if
   * there is none. Absent if the kernel itself reports which connections this process opened
   * (`SocketOwner.isSelf`).
   */
  inodeOf?(tuple: FlowTuple): number | null;
  /**
   * Also searches another network namespace for sockets from now on; `within` runs an action inside it. With
   * eBPF this serves sockets that are older than our program.
   */
  watchNamespace?(netns: number, within: <T>(action: () => T) => T): void;
  forgetNamespace?(netns: number): void;
  /** Learns that a connection is over. Its facts are deleted soon; its last packets may still come. */
  connectionClosed(tuple: FlowTuple): void;
  counters(): Counters;
  close(): void;
}

/** Returns the counters of the attributor that stands in for another one, under names of their own. */
export function fallbackCounters(fallback: Attributor | null | undefined): Counters {
  const counters = Object.entries(fallback?.counters() ?? {});
  return Object.fromEntries(counters.map(([name, count]) => [`fallback_${name}`, count]));
}
