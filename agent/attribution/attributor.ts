/** Who owns a socket: the interface between the ways to find out (eBPF; sock_diag with /proc) and their user. */
import type { Counters } from '../../protocol/records.ts';

/** A connection as the caller's own socket has it: addresses in canonical text (RFC 5952 for IPv6). */
export interface SocketTuple {
  localAddress: string;
  localPort: number;
  remoteAddress: string;
  remotePort: number;
}

/** A process at one moment, as the kernel or /proc told it. Unmasked: only `identity` may pass any of it on. */
export interface ProcessSnapshot {
  pid: number;
  /** Start time in clock ticks (1/100 s) since boot, field 22 of /proc/PID/stat; with pid it names one process. */
  startTicks: number;
  /** Thread-group leader's comm. */
  name: string;
  /** As seen in the process's own mount namespace; null when unreadable; a ` (deleted)` suffix is removed. */
  executable: string | null;
  /**
   * argv, where it was read together with the rest. Absent or null: to be read from /proc/PID/cmdline, if the process
   * with this start time is still there.
   */
  args?: string[] | null;
}

export interface SocketOwner extends ProcessSnapshot {
  uid: number;
  /** argv as the kernel holds it; null when it must be read from /proc/PID/cmdline (and may be gone). */
  args: string[] | null;
  /** True when args were cut at the capture limit. */
  argsTruncated: boolean;
  /** As /proc/PID/cwd had it when the owner was found; absent where that is to be read later; null when unreadable. */
  workingDirectory?: string | null;
  /** Inode number of the socket's network namespace. */
  netns: number | null;
  /** cgroup v2 id (the inode of the cgroup directory), null when unknown. */
  cgroupId: bigint | null;
  /**
   * Paths such as `/docker/<id>`, of the hierarchies that say something (never `/`), each once, as they were when the
   * owner was found. Absent or null: to be read from /proc/PID/cgroup, if the process is still there.
   */
  cgroupPaths?: string[] | null;
  /** Parents, nearest first, as recorded with the socket; null when they must be read from /proc. */
  ancestors: ProcessSnapshot[] | null;
  method: 'ebpf' | 'sock_diag' | 'proc';
  confidence: 'exact' | 'probable';
}

/** A connection to an endpoint, or an attempt at one, as the kernel reported it. */
export interface KernelConnection {
  kind: 'established' | 'failed';
  /** `localPort` is 0 where the attempt failed before a port was chosen. */
  tuple: SocketTuple;
  /** Inode number of the socket's network namespace. */
  netns: number;
  owner(): SocketOwner | null;
}

export interface Attributor {
  /** Is told each connection that the kernel reports, in every namespace; never called where the kernel reports none. */
  onConnection: ((connection: KernelConnection) => void) | null;
  readonly method: 'ebpf' | 'sock_diag';
  /** Takes in what the kernel has to say. Called just before each packet is handled, and on a slow timer. */
  poll(): void;
  /**
   * The owner of a connection, or null when it is not known (yet). Called when a connection's first segment is
   * seen (`atSyn` says whether that was its SYN), and again at its first request when the first answer was null.
   */
  ownerOf(tuple: SocketTuple, atSyn: boolean): SocketOwner | null;
  /**
   * Also answer for sockets of another network namespace; `within` runs an action inside it. Absent where the kernel
   * reports every namespace's sockets by itself.
   */
  watchNamespace?(netns: number, within: <T>(action: () => T) => T): void;
  forgetNamespace?(netns: number): void;
  /** The connection is over: what was kept for it may be forgotten soon (its last packets may still come). */
  closed(tuple: SocketTuple): void;
  /** Connections to the metadata endpoints that the kernel reported since the start; null where it cannot say. */
  kernelConnections(): number | null;
  counters(): Counters;
  close(): void;
}
