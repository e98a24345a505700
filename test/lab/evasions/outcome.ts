/** The end that an attempt to call IMDSv1 unnoticed must have, and the end that it had. */

/**
 * The end that an attempt must have. `call`: every answered IMDSv1 request is recorded as one, with its path. `loss`:
 * at least a loss is counted, which keeps the host from `ready`. `either`: the kernel's timing or version decides which
 * of the two. `gap`: every answered request is recorded or lies in a gap of the host's coverage.
 */
export type End = 'call' | 'loss' | 'either' | 'gap';

/** The end that an attempt had. */
export interface Outcome {
  /** IMDSv1 requests of the attempt that the metadata service answered. */
  served: number;
  /** Those of them that the collector has as IMDSv1 calls with the attempt's path. */
  recorded: number;
  /** Losses that the agent counted since the attempt began, by `stage.counter`. */
  losses: Record<string, number>;
  /** Answered IMDSv1 requests that are not recorded and were made when the host counts as watched. */
  unexplained: number;
}

/** Null when the attempt ended as it must; else what is wrong. */
export function problemWith(end: End, { served, recorded, losses, unexplained }: Outcome): string | null {
  if (served === 0) return 'the metadata service answered no IMDSv1 request: the attempt proves nothing';
  const isRecorded = recorded >= served;
  const isLoss = Object.keys(losses).length > 0;
  if (isRecorded && recorded > served) return `${recorded} IMDSv1 calls are recorded for ${served} requests`;
  if (end === 'gap') return unexplained === 0 ? null : `${unexplained} of ${served} requests are in no gap`;
  if (end === 'call' && isRecorded) return null;
  if (end === 'loss' && isLoss) return null;
  if (end === 'either' && (isRecorded || isLoss)) return null;
  const seen = `${served} IMDSv1 requests were answered, ${recorded} are recorded`;
  return isLoss ? `${seen}; losses: ${JSON.stringify(losses)}` : `${seen}, and nothing is counted as lost`;
}
