/** The counters of an agent that stand for a loss. */
import { LOSSES } from '../../protocol/losses.ts';

/** The agent's spool counts these. Only heartbeats report them. */
const SPOOL_LOSSES: readonly string[] = [
  'overflowed',
  'lost',
  'oversize',
  'rejected',
  'unreadable_files',
  'ledgers_lost',
  'foreign_records',
  'batches_forgotten_by_collector',
];

export function isLoss(stage: string, counter: string): boolean {
  const losses = stage === 'spool' ? SPOOL_LOSSES : LOSSES[stage];
  return losses?.includes(counter) === true;
}
