/** A part of a batch that a transaction writes, as the writer notes it while the records are forgotten. */
import { StoredTally } from '../store/stored_tally.ts';
import type { Slice, Waiting } from './host_queues.ts';

export interface WrittenPart {
  waiting: Waiting;
  records: number;
  isPartial: boolean;
  tally: StoredTally;
}

export function partOf({ waiting, slice }: Slice): WrittenPart {
  const tally = new StoredTally(slice);
  return { tally, waiting, records: slice.records.length, isPartial: slice.partial === true };
}
