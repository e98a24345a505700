/** Times and bounds of the state machine, in milliseconds. */

/** A check holds for so long. A change that was not sent by then is checked again. */
export const CHECK_HOLDS_MS = 60_000;
/** A guard that says "not now" is asked again after this time. */
export const ASK_AGAIN_MS = 30_000;
/** A soak that lasts longer than planned is read this often: its instance may be gone, or somebody may have undone it. */
export const READ_AGAIN_MS = 600_000;
/** A change that is not in force after this time is rolled back. AWS gives no number; its own runbook waits 30 s. */
export const MAX_PENDING_MS = 300_000;
/**
 * A description may show old values for a while (EC2 developer guide, "Eventual consistency"). Old values prove that a
 * lost call had no effect only after this time.
 */
export const STALE_MS = 60_000;
/** Calls that are sent for one change or one roll-back, beyond which a person has to look. */
export const MAX_ATTEMPTS = 8;
/** Reads of a roll-back that cannot find out what is in force. */
export const MAX_READS = 40;

const FIRST_DELAY_MS = 2000;
const LONGEST_DELAY_MS = 30_000;

/** Returns the delay before the next try: 2, 4, 8 … 30 s. `tries`: those that were made, 0 or more. */
export function delayMs(tries: number): number {
  return Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(tries, 10));
}

const FIRST_READ_DELAY_MS = 250;

/**
 * Returns the delay before an accepted roll-back is read again: 250, 375, 563 ms … 30 s. The cloud has usually applied it
 * within a second, and a group is not back before it was read. `reads`: those that were answered, 0 or more.
 */
export function readBackDelayMs(reads: number): number {
  return Math.min(LONGEST_DELAY_MS, Math.round(FIRST_READ_DELAY_MS * 1.5 ** Math.min(reads, 20)));
}
