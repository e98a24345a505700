/**
 * Which of an agent's counters stand for something that was lost or could not be judged. Those of the stages as the agent puts them into
 * every coverage report (a test holds the two together; the page cannot import the agent), and what its spool lost.
 */
const LOSSES: Record<string, readonly string[]> = {
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
  spool: [
    'overflowed',
    'lost',
    'oversize',
    'rejected',
    'unreadable_files',
    'ledgers_lost',
    'foreign_records',
    'batches_forgotten_by_collector',
  ],
};

export function isLoss(stage: string, counter: string): boolean {
  return LOSSES[stage]?.includes(counter) === true;
}
