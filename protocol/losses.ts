/** The counters of the stages that count losses: something was not seen or not known. */
import type { Counters, StageCounters } from './records.ts';

/** Every coverage report contains them, and `imdswatch read` prints them. */
export const LOSSES: Readonly<Record<string, readonly string[]>> = {
  capture: ['dropped', 'blind', 'reopen_failures', 'damaged', 'bad_times', 'unknown_link_type'],
  coverage: ['missed'],
  namespaces: ['not_followed_ms', 'not_watched_ms'],
  decode: ['link_type', 'ip_fragment', 'cut_short', 'malformed'],
  conversation: [
    'gaps_in_heads',
    'connections_evicted',
    'half_open_evicted',
    'malformed_requests',
    'malformed_answers',
    'unjudged_answers',
    'unseen_requests',
    'unfinished_requests',
    'late_answers',
    'surplus_requests',
    'pending_bytes_bound',
    'conflicting_segments',
    'unverified_copies',
    'urgent_segments',
    'segments_after_end',
    'contradicted_connections',
    'one_sided_connections',
    'upgraded_connections',
  ],
  attribution: ['ring_lost', 'recursion_misses', 'evicted', 'overlapping'],
  calls: ['truncated', 'unattributed', 'verdict_disagreements', 'unproven'],
};

/** Everything that was lost, by `stage.counter`; only what is not zero. */
export function lossesOf(stages: StageCounters): Counters {
  const lost: Counters = {};
  for (const [stage, names] of Object.entries(LOSSES)) {
    for (const name of names) {
      const count = stages[stage]?.[name] ?? 0;
      if (count > 0) lost[`${stage}.${name}`] = count;
    }
  }
  return lost;
}
