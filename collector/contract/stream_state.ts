/** Describes a stream of records to a destination, for metrics. */
import type { StreamName } from './export.ts';

/** Records since the start of the process, and requests that failed (`attempts_failed`). */
export const STREAM_COUNTS = [
  'sent',
  'attempts_failed',
  'given_up_refused',
  'given_up_template',
  'given_up_partial',
  'unfit',
  'deleted_unsent',
] as const;

export type StreamCounts = Record<(typeof STREAM_COUNTS)[number], number>;

export interface StreamState {
  /** Name of the destination. */
  name: string;
  stream: StreamName;
  counts: Readonly<StreamCounts>;
  /** The records that wait; null where another collector sends. */
  waiting: { records: number; seconds: number } | null;
}
