/** A process as the owner of a socket: attribution finds it and identity describes it. */
import type { ProcessSnapshot } from '../linux/process_snapshot.ts';

export interface SocketOwner extends ProcessSnapshot {
  uid: number;
  /** argv as the kernel holds it; null if it must be read from /proc/PID/cmdline, where it may be gone. */
  args: string[] | null;
  /** The arguments were cut at the limit of a record. */
  argsTruncated: boolean;
  /** Arguments behind the one that was cut, which is the last of `args`; null or absent if none are known. */
  argsAfterCut?: string[] | null;
  /**
   * The target of /proc/PID/cwd when the owner was found; absent if it must be read later; null if it was
   * unreadable.
   */
  workingDirectory?: string | null;
  /** Inode number of the socket's network namespace. */
  netns: number | null;
  /** cgroup v2 id (the inode of the cgroup directory); null if it is unknown. */
  cgroupId: bigint | null;
  /**
   * Paths such as `/docker/<id>`, each once and never `/`, as they were when the owner was found. If absent
   * or null, they must be read from /proc/PID/cgroup, as long as the process exists.
   */
  cgroupPaths?: string[] | null;
  /** Parents, nearest first, as recorded with the socket; null if they must be read from /proc. */
  ancestors: ProcessSnapshot[] | null;
  method: 'ebpf' | 'sock_diag' | 'proc';
  confidence: 'exact' | 'probable';
  /** Other processes have the socket too, and which of them uses it is not known. */
  isShared?: boolean;
  /** The kernel reported that this process, the agent, opened the socket. */
  isSelf?: boolean;
}
