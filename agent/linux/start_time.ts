/** When a process started, as text that is the same every time it is asked for. */

/** USER_HZ: the unit of field 22 of /proc/PID/stat, 100 on every machine that Node supports. */
const TICKS_PER_SECOND = 100;

/** Seconds since the Unix epoch at which the machine booted: the line `btime` of /proc/stat. Null without one. */
export function parseBootTime(procStat: string): number | null {
  const seconds = /^btime (\d+)$/m.exec(procStat)?.[1];
  return seconds === undefined ? null : Number(seconds);
}

/**
 * RFC 3339, UTC, with hundredths of a second (the kernel gives no more). The boot time must be read once and kept:
 * the kernel derives it from a clock that may be set, and one process must not get two start times.
 */
export function startTime(startTicks: number, bootTimeSeconds: number): string {
  const seconds = bootTimeSeconds + Math.floor(startTicks / TICKS_PER_SECOND);
  const hundredths = String(startTicks % TICKS_PER_SECOND).padStart(2, '0');
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}.${hundredths}Z`;
}
