/** A process as the owner of a socket: what attribution finds and identity describes. */
import type { ProcessSnapshot } from '../linux/process_snapshot.ts';

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
  /** The kernel says that this very process opened the socket. */
  isSelf?: boolean;
}
