/** The evidence about one workload that an advice is made from. */
import type { HostFacts } from '../../protocol/call.ts';
import type { CountedCalls, Identity } from '../store/store.ts';
import type { Tally } from './counts.ts';
import type { HopEvidence } from './hop_limit.ts';

export interface AdviceQuestion {
  identity: Identity;
  kinds: readonly CountedCalls[];
  calls: Tally;
  /** Hosts on which the workload runs. Commands are made for these. */
  hosts: readonly HostFacts[];
  /** Its distance from the service on each of these hosts, and the setting there. */
  hops: readonly HopEvidence[];
  /** Paths that it asked for without a token. Empty where they were not looked up. */
  paths: readonly string[];
}
