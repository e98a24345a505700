/** The counters that count losses: something was not seen, not known or not kept. */
import type { Counters, StageCounters } from './records.ts';

/** The losses of the stages. Every coverage report contains them, and `imdswatch read` prints them. */
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
  attribution: ['ring_lost', 'recursion_misses', 'evicted', 'overlapping', 'owners_lost', 'process_overruns'],
  calls: ['truncated', 'unattributed', 'verdict_disagreements', 'unproven'],
};

/**
 * Losses in coverage reports that no stage counts: the watch itself, the spool, and the collector's comparison of
 * reports.
 */
export const OTHER_LOSSES: readonly string[] = [
  'coverage.unseen_connections',
  'run.open_calls',
  'watch.stalled_ms',
  'spool.v1_overflowed',
  'spool.v1_lost',
  'spool.coverage_overflowed',
  'spool.coverage_lost',
  'spool.rejected',
  'spool.unreadable_files',
  'spool.ledgers_lost',
  'spool.batches_forgotten_by_collector',
];

/** Losses of the caller only: the call was seen and counts with its version. They make no gap. */
export const LOSSES_OF_THE_CALLER: ReadonlySet<string> = new Set([
  'calls.unattributed',
  'attribution.evicted',
  'attribution.owners_lost',
  'attribution.process_overruns',
]);

/** Losses among the spool's own counters, which only heartbeats report. */
export const SPOOL_LOSSES: readonly string[] = [
  'overflowed',
  'lost',
  'oversize',
  'rejected',
  'unreadable_files',
  'ledgers_lost',
  'foreign_records',
  'batches_forgotten_by_collector',
];

/** Tells whether a counter of a heartbeat counts a loss. */
export function isLoss(stage: string, counter: string): boolean {
  const losses = stage === 'spool' ? SPOOL_LOSSES : LOSSES[stage];
  return losses?.includes(counter) === true;
}

/** Returns everything that was lost, by `stage.counter`; only what is not zero. */
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
