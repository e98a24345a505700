/** Decides when a change of a finding is reported. Pure. */
import type { FindingState } from '../admin/finding_rows.ts';
import type { Finding } from '../contract/finding.ts';
import { DAY_US, HOUR_US } from '../contract/window.ts';

/** Changes of numbers, such as that of the hosts of an offender, are reported at most this often. */
const MINOR_US = HOUR_US;

/** The fields of a report that are made for it. */
export type ReportFields = Pick<Finding, 'id' | 'key' | 'change' | 'time'>;

/** A finding that goes on, and how it is described where it is reported. */
export interface WantedFinding extends Pick<FindingState, 'key' | 'state' | 'minor'> {
  make: (fields: ReportFields) => Promise<Finding>;
}

/** Returns the change that is to be reported; null where it is not time for one. */
export function changeOf(
  before: FindingState | undefined,
  { state, minor }: Pick<FindingState, 'state' | 'minor'>,
  nowUs: number,
): 'new' | 'updated' | null {
  if (before === undefined || before.change === 'resolved') return 'new';
  const sinceUs = nowUs - before.timeUs;
  const isDue =
    before.state !== state || sinceUs >= DAY_US || (before.minor !== minor && sinceUs >= MINOR_US);
  return isDue ? 'updated' : null;
}
