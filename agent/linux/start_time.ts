/** Start times of processes, as text that is the same at every reading. */

/** USER_HZ: the unit of field 22 of /proc/PID/stat, 100 on every machine that Node supports. */
const TICKS_PER_SECOND = 100;

/**
 * Returns the time of boot in seconds since the Unix epoch: the line `btime` of /proc/stat. Returns null
 * without one.
 */
export function parseBootTime(procStat: string): number | null {
  const seconds = /^btime (\d+)$/m.exec(procStat)?.[1];
  return seconds === undefined ? null : Number(seconds);
}

/**
 * Returns RFC 3339, UTC, with hundredths of a second (the kernel gives no more). The boot time must be read
 * once and kept: the kernel derives it from a clock that may be set, and one process must not get two start
 * times.
 */
export function startTime(startTicks: number, bootTimeSeconds: number): string {
  const seconds = bootTimeSeconds + Math.floor(startTicks / TICKS_PER_SECOND);
  const hundredths = String(startTicks % TICKS_PER_SECOND).padStart(2, '0');
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}.${hundredths}Z`;
}
