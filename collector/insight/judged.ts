/** The evidence that a host is judged by, and the judgement. */
import type { HostFacts } from '../../protocol/call.ts';
import type { Verdict } from '../contract/host.ts';
import type { Window } from '../contract/window.ts';
import type { CloudInstance, CountedCalls, HostCoverage, MeasuredHops } from '../store/store.ts';
import type { Tally } from './counts.ts';
import type { Watched } from './coverage_gaps.ts';
import type { Compared, HostReconciliation } from './reconciliation.ts';

export interface HostEvidence {
  facts: HostFacts;
  /** Sums over the window, per workload. `identity` null is the sum of ordinary IMDSv2 calls. */
  totals: readonly { identity: string | null; kinds: CountedCalls[] }[];
  coverage: HostCoverage | null;
  cloudInstance: CloudInstance | null;
  /** Distances of the workloads whose token requests got no answer. */
  measuredHops?: readonly MeasuredHops[];
  compared: Compared;
}

export interface Judging {
  window: Window;
  nowUs: number;
  /** Time of the window that may be unwatched: all gaps together, without losses. */
  toleranceUs: number;
}

export interface Judged {
  verdict: Verdict;
  calls: Tally;
  watched: Watched;
  cloud: HostReconciliation | null;
  /** Refused calls without a token that the cloud counted and the agent did not see. */
  unseenRefusals: number;
  /** See `isStartSeen`. */
  startSeen: boolean;
}
