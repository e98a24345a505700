/**
 * A process at one moment, as the kernel or /proc reported it. It is unmasked: only `identity` may forward
 * it.
 */
export interface ProcessSnapshot {
  pid: number;
  /**
   * Start time in clock ticks (1/100 s) since boot, field 22 of /proc/PID/stat; with pid it names one
   * process.
   */
  startTicks: number;
  /** Thread-group leader's comm. */
  name: string;
  /** Path in the process's own mount namespace, without a ` (deleted)` suffix; null when unreadable. */
  executable: string | null;
  /**
   * argv, where it was read together with the rest. Absent or null: to be read from /proc/PID/cmdline, if the
   * process with this start time is still there.
   */
  args?: string[] | null;
}
