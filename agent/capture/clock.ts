/**
 * Wall-clock time in microseconds. `cap` hands packets over without the kernel's time stamps, so a packet's time is
 * the moment it reaches us: the monotonic clock's microseconds on an anchor that follows steps of the wall clock.
 */
const MAX_DRIFT_US = 2_000;

let anchorUs = 0;

/** Microseconds since the Unix epoch, UTC. Never goes back unless the wall clock was stepped. */
export function wallClockUs(): number {
  const monotonicUs = Math.floor(performance.now() * 1_000);
  const wallUs = Date.now() * 1_000;
  // Date.now() is up to one millisecond behind; anything beyond is drift or a step.
  const behindUs = wallUs - (anchorUs + monotonicUs);
  if (behindUs > MAX_DRIFT_US || behindUs < -MAX_DRIFT_US - 1_000) anchorUs = wallUs - monotonicUs;
  return anchorUs + monotonicUs;
}
