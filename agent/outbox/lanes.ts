/** The kinds of record in the spool, and the orders in which they are sent and dropped. */

export type LaneName = 'rollup' | 'v2' | 'coverage' | 'v1';

/** IMDSv1 calls go first. A claim that we were watching never reaches the collector before what was seen. */
export const SEND_ORDER: readonly LaneName[] = ['v1', 'v2', 'rollup', 'coverage'];

/**
 * When the spool is full, records of the first lane go first. Coverage reports are few, and without them
 * silence proves nothing, so they outlive IMDSv2 calls.
 */
export const DROP_ORDER: readonly LaneName[] = ['rollup', 'v2', 'coverage', 'v1'];

/** Lanes whose losses a coverage report must state: without their records silence proves nothing. */
export const EVIDENCE_LANES: readonly LaneName[] = ['v1', 'coverage'];

/** The records of one batch: numbers from `from` up to but not including `to`, `count` of them. */
export interface Range {
  from: number;
  to: number;
  count: number;
}
