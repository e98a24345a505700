/**
 * Gives wall-clock time in microseconds, for what has no time stamp of the kernel: the monotonic clock's
 * microseconds, added to an anchor that follows steps of the wall clock.
 */
const MAX_DRIFT_US = 2_000;
/** `Date.now()` cuts its fraction of a millisecond off, so it is up to this much behind. */
const WALL_RESOLUTION_US = 1_000;

let anchorUs = 0;

/** Returns microseconds since the Unix epoch. The time never goes back unless the wall clock was set back. */
export function wallClockUs(): number {
  // The thread may lose its processor between any two readings. The wall clock is therefore read between two
  // readings of the monotonic clock, and only what no pause can explain counts as drift or as a step.
  const beforeUs = monotonicUs();
  const wallUs = Date.now() * 1_000;
  const afterUs = monotonicUs();
  const ahead = wallUs - (anchorUs + afterUs) > MAX_DRIFT_US;
  const behind = wallUs + WALL_RESOLUTION_US - (anchorUs + beforeUs) < -MAX_DRIFT_US;
  // The later reading is what cannot put the anchor ahead of the wall clock, whatever the pause was.
  if (ahead || behind) anchorUs = wallUs - afterUs;
  return anchorUs + afterUs;
}

function monotonicUs(): number {
  return Math.floor(performance.now() * 1_000);
}
