/**
 * Gives wall-clock time in microseconds. `cap` delivers packets without the kernel's time stamps, so the time
 * of a packet is the moment at which it arrives here: the monotonic clock's microseconds, added to an anchor
 * that follows steps of the wall clock.
 */
const MAX_DRIFT_US = 2_000;

let anchorUs = 0;

/** Returns microseconds since the Unix epoch. The time never goes back unless the wall clock was set back. */
export function wallClockUs(): number {
  const monotonicUs = Math.floor(performance.now() * 1_000);
  const wallUs = Date.now() * 1_000;
  // Date.now() is up to one millisecond behind. A larger difference is drift or a step.
  const behindUs = wallUs - (anchorUs + monotonicUs);
  if (behindUs > MAX_DRIFT_US || behindUs < -MAX_DRIFT_US - 1_000) anchorUs = wallUs - monotonicUs;
  return anchorUs + monotonicUs;
}
