/**
 * The collector's findings, as the enforcement needs them. The command line implements it from the collector's files.
 * Every function may throw `OperatorError`: then the collector cannot be asked, and nothing goes forward.
 */
import type { Verdict } from '../collector/contract/host.ts';
import type { Target } from './plan.ts';

export interface HostFinding {
  /** The instance's id, as agents on EC2 name their host. */
  hostId: string;
  name: string;
  account: string | null;
  region: string | null;
  imageId: string | null;
  tags: Readonly<Record<string, string>>;
  verdict: Verdict;
  reason: string;
  startSeen: boolean;
  coveragePercent: number;
  /** Routers between callers and the service, the largest number that was measured. Null: not measured. */
  hops: number | null;
  /** The hop limit that the verdict `fallback` asks for. Null: none, or not known. */
  advisedHopLimit: number | null;
  /** The agent reports, and its capture is live. */
  isOnline: boolean;
  isLive: boolean;
}

export interface GroupFinding {
  id: string;
  verdict: Verdict;
  reason: string;
  startSeen: boolean;
}

/** A call without a token. */
export interface TokenlessCall {
  id: string;
  hostId: string;
  tags: Readonly<Record<string, string>>;
  /** Milliseconds since 1970, by the host's clock. */
  atMs: number;
  caller: { id: string; title: string };
}

export interface NewHost {
  hostId: string;
  tags: Readonly<Record<string, string>>;
}

export interface Findings {
  /** Judges these hosts now, or all of them for null. */
  hosts(ids: readonly string[] | null): Promise<HostFinding[]>;
  /** Judges a group of an account and region. Null: the collector has no verdict about it. */
  group(id: string, place: { account: string; region: string }): Promise<GroupFinding | null>;
  /**
   * Calls since a time that were answered with 401, and that their client did not repeat with a token. Of these hosts,
   * and of all that are in the Auto Scaling groups now. In any order.
   */
  refusedCalls(
    sinceMs: number,
    watched: { hostIds: readonly string[]; scalingGroups: readonly string[] },
  ): Promise<TokenlessCall[]>;
  /**
   * Hosts of an account and region of which the first record is not older than a time, by the host's clock: instances
   * that were launched since, or that have got their agent since. In any order.
   */
  newHosts(place: { account: string; region: string }, sinceMs: number): Promise<NewHost[]>;
  /** Calls on these hosts since a time that were answered with success: tokens are not required there. */
  acceptedCalls(hostIds: readonly string[], sinceMs: number): Promise<TokenlessCall[]>;
  /** Hosts on which a caller was seen in the readiness window. */
  hostsOfCaller(callerId: string): Promise<string[]>;
  /** Milliseconds of a span that each host was watched. A host that never reported is absent. */
  watched(
    hostIds: readonly string[],
    span: { sinceMs: number; untilMs: number },
  ): Promise<Map<string, number>>;
  /** Other plans that are carried out now for the target, as the collector knows them: also on other machines. */
  otherPlans(planId: string, target: Target): Promise<string[]>;
  /** Writes an entry to the audit log. */
  audit(action: string, subject: string, detail: string): Promise<void>;
}
