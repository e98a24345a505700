/** The clock of a runner. */

/**
 * Returns a clock in milliseconds since 1970 that goes on evenly: it is read from the wall clock once, and counts by the
 * boot clock from there. Setting the machine's clock neither ends a soak nor delays a roll-back. `notBeforeMs`: the latest
 * time that the plan's journal has; the clock may have been set back since.
 */
export function steadyClock(
  { wallMs, bootMs }: { wallMs: () => number; bootMs: () => number },
  notBeforeMs: number,
): () => number {
  const startMs = Math.max(wallMs(), notBeforeMs);
  const startBootMs = bootMs();
  return () => Math.floor(startMs + (bootMs() - startBootMs));
}
