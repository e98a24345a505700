/**
 * The interface of the store of findings, which holds the records of all agents. Every method may be answered
 * by another thread or process, so arguments and results are plain data.
 *
 * Raw calls are kept for days, roll-ups by hour and by day for much longer. Questions about more than one
 * host or hour are answered from roll-ups. Times are microseconds since 1970. Hosts are named by the agents'
 * `host.id`.
 */
import type { Call, CallerRole, HostFacts } from '../../protocol/call.ts';
import type { Coverage, Heartbeat, Rollup } from '../../protocol/records.ts';
import type { CloudResourceInput } from '../contract/cloud.ts';
import type { GapReason } from '../contract/host.ts';
import type { Window } from '../contract/window.ts';
import type { ArrivalStore } from './arrivals.ts';
import type { StoredCaller } from './defined_caller.ts';
import type { HostChoice } from './host_filter.ts';
import type { CallerFacts, WorkloadIdentity } from './workload_identity.ts';

/**
 * A call or roll-up without its caller (`callers[caller]` of its batch) and its host (`host` of its batch).
 */
export type CallBody = Omit<Call, keyof CallerFacts | 'host'>;
export type RollupBody = Omit<Rollup, keyof CallerFacts | 'host'>;

export type StoredRecord =
  | { kind: 'call'; caller: number; call: CallBody }
  | { kind: 'rollup'; caller: number; rollup: RollupBody }
  | { kind: 'coverage'; coverage: Coverage };

/** A batch that ingest has checked: every record is valid and is about `host`. */
export interface StoredBatch {
  stream: string;
  seq: number;
  host: HostFacts;
  /** The callers that the records refer to by index, each of them once. */
  callers: StoredCaller[];
  records: StoredRecord[];
  /** Records of the batch that were not valid, or were about another host. The host gets a gap for them. */
  leftOut?: number;
  /** True for a slice that is not the last one of its batch. The position of the stream does not change. */
  partial?: boolean;
}

/**
 * The result of writing a batch. `stored` means now, `known` means that its number was stored before. `ahead`
 * means that batches before it are missing, and nothing was stored; `lastSeq` is the position of the stream.
 */
export interface BatchResult {
  result: 'stored' | 'known' | 'ahead';
  lastSeq: number;
  /** Records that were new. `duplicates` counts those whose id was stored before. */
  records: number;
  duplicates: number;
}

/**
 * The properties by which calls are counted, besides the caller. There are few different kinds, which keeps
 * roll-ups small.
 */
export interface CallKind {
  /** Null for attempts that were blocked, and for endpoints that have no versions. */
  version: 1 | 2 | null;
  endpoint: Call['imds.endpoint'] | null;
  category: Call['imds.category'];
  status: number | null;
  outcome: Call['outcome'];
  fallback: Call['imds.fallback'];
  /** `host` if something on the host answered; else null, and absent in roll-ups of IMDSv2 calls. */
  answeredBy?: 'host' | null;
  /** `relay` if the caller sent on what other programs asked for; absent where nothing shows that. */
  callerRole?: CallerRole | null;
  /** The role whose credentials were requested. */
  role: string | null;
  userAgent: string | null;
}

export interface CountedCalls extends CallKind {
  count: number;
  firstUs: number;
  lastUs: number;
}

/** A workload with its `identityId`. */
export interface Identity extends WorkloadIdentity {
  id: string;
}

/** The calls that a question is about. `null` selects all, an empty list none. */
export interface Scope {
  window: Window;
  hosts: HostChoice;
  identities: string[] | null;
}

/** The calls of some hosts, of which no more are named than an answer should hold. */
export interface HostsScope extends Scope {
  hosts: readonly string[];
}

export interface IdentityTotals {
  identity: Identity;
  kinds: CountedCalls[];
  /** The releases that the sums are of, that which called last first. Absent where they are not joined. */
  releases?: { identity: Identity; kinds: CountedCalls[]; release: string | null }[];
}

/** One workload on one host. First and last times are of all time, not of the window. */
export interface IdentityHost {
  identity: string;
  hostId: string;
  firstUs: number;
  lastUs: number;
  lastV1Us: number | null;
  /** IMDSv1 calls in the window. */
  callsV1: number;
}

/** Choices of a question about the hosts of workloads. */
export interface WorkloadHostsOptions {
  /** Number of hosts that are listed for each workload. */
  latest: number;
  /** Keys of tags whose values are listed. */
  tagKeys: readonly string[];
  /**
   * Pairs of an identity and the workload that it counts for. Default: every identity is a workload of its
   * own. A host counts once for a workload, whichever of its identities called there.
   */
  joined?: readonly (readonly [identity: string, workload: string])[];
}

/** The hosts of one workload, added up. */
export interface WorkloadHosts {
  identity: string;
  hosts: number;
  /** First and last times are of all time, not of the window. */
  firstUs: number;
  lastUs: number;
  lastV1Us: number | null;
  /** Hosts on which no other workload made an IMDSv1 call in the window, and this one did. */
  freed: number;
  /** The hosts on which it called last; of equal times those whose id sorts first. */
  latest: IdentityHost[];
  /** Values that its hosts report, each once, sorted. */
  accounts: string[];
  regions: string[];
  /** For each key of a tag its different values; null where a host does not have it. */
  tags: Record<string, (string | null)[]>;
}

/** Choices of a question about workloads by place. */
export interface PlaceSumsOptions extends WorkloadHostsOptions {
  bucket: 'hour' | 'day';
}

/** Sums of the workloads on the hosts of one account and region, in a window. Null: the hosts do not report it. */
export interface PlaceSums {
  account: string | null;
  region: string | null;
  totals: IdentityTotals[];
  hosts: WorkloadHosts[];
  /** IMDSv1 calls of each workload by the hour or the day. Those without calls are left out. */
  trend: { identity: string; startUs: number; v1: number }[];
}

/** Hosts whose first and last record is of the same days since 1970. */
export interface ReportedDays {
  firstDay: number;
  lastDay: number;
  hosts: number;
}

/**
 * Evidence that decides the verdicts of some hosts, as columns with one entry for each host. Times are
 * microseconds since 1970; `NaN` where they are not known.
 */
export interface HostBriefs {
  hostIds: string[];
  names: string[];
  /** Number of the profile that a host reports now; 0 where it has reported none. */
  profiles: Uint32Array;
  /** Times of the first and the last record. */
  firstUs: Float64Array;
  lastUs: Float64Array;
  /** When the last heartbeat arrived. */
  receivedUs: Float64Array;
  /** `firstUs` and `lastUs` of `HostCoverage`. */
  watchedFirstUs: Float64Array;
  watchedLastUs: Float64Array;
  /** Metadata options, 0: not known, 1: optional, 2: required, and when they were supplied. */
  tokens: Uint8Array;
  tokensSuppliedUs: Float64Array;
  /** Gaps as in `HostCoverage`, without their details. `host` is a place in the columns. */
  gaps: { host: number; startUs: number; endUs: number; missingUs: number; reason: GapReason }[];
  /** Boots whose first report is in the window. */
  boots: { host: Uint32Array; firstUs: Float64Array };
  /** Hosts for which the cloud counted calls without a token in the window. */
  withCountedCalls: string[];
  /** Sums of `hostTotals` without IMDSv2 calls. */
  totals: { hostId: string; identity: string | null; kinds: CountedCalls[] }[];
  /** Position after which the following hosts come; null where there are no more. */
  next: number | null;
}

/** Distance of a workload from the service on one host when its token requests got no answer. */
export interface MeasuredHops {
  identity: string;
  hostId: string;
  /** Routers between them. */
  hops: number;
  /** The hop limit of the instance, as the answer to a token request showed it; null where none was seen. */
  tokenHopLimit: number | null;
  lastUs: number;
}

export interface SeriesPoint {
  /** Start of the hour or day. Those without calls are left out. */
  startUs: number;
  identity: string | null;
  v1: number;
  v1Credentials: number;
  v2: number;
}

/** A host whose agent sent a heartbeat. Times are microseconds since 1970. */
export interface HeardHost {
  hostId: string;
  /** When its last heartbeat arrived. */
  heardUs: number;
  /** When the first one of its connection arrived; null for later ones, whose host is stored. */
  firstUs: number | null;
  /** Contents of the last heartbeat that are to be stored; null where the stored ones stay. */
  said: SaidHeartbeat | null;
}

export interface SaidHeartbeat {
  /** By the clock of the host. */
  timeUs: number;
  receivedUs: number;
  /** See `packHeartbeat`. */
  body: Uint8Array;
}

export interface StoredHost {
  facts: HostFacts;
  firstUs: number;
  lastUs: number;
  /** When the last heartbeat arrived; null before the first. */
  heardUs: number | null;
  /** The last heartbeat whose contents were stored. On a large fleet it can be a minute older than the last one. */
  heartbeat: { heartbeat: Heartbeat; receivedUs: number } | null;
}

export interface StoredGap {
  startUs: number;
  endUs: number;
  /** The part of the gap that was not watched. Undefined means all of it. */
  missingUs?: number | undefined;
  reason: GapReason;
  detail: string | null;
}

/** When a host was watched. Gaps are cut to the window, and touching ones of one reason are merged. */
export interface HostCoverage {
  hostId: string;
  /**
   * Start of the first report and end of the last one, of all time; null where there is none. It is not
   * earlier than the records that retention has left: calls and gaps before that may be deleted.
   */
  firstUs: number | null;
  lastUs: number | null;
  gaps: StoredGap[];
  boots: { id: string; firstUs: number; lastUs: number }[];
  /** Sum over the days that the window touches, like the next two. */
  kernelConnections: number | null;
  seenConnections: number;
  losses: Record<string, number>;
}

export interface CallFilter {
  window: Window;
  hosts: HostChoice;
  identities: string[] | null;
  version: 1 | 2 | null;
  categories: Call['imds.category'][] | null;
  outcomes: Call['outcome'][] | null;
  /** Substring of the path, ASCII case ignored. */
  path: string | null;
}

/** The cloud's counts for one instance and one span of whole hours. */
export interface CloudCount {
  hostId: string;
  startUs: number;
  endUs: number;
  /** `MetadataNoToken`: calls without a token that succeeded. */
  noToken: number;
  /** `MetadataNoTokenRejected`; null where the operator did not supply it. */
  noTokenRejected: number | null;
}

export interface CloudInstance {
  hostId: string;
  httpTokens: 'optional' | 'required' | null;
  hopLimit: number | null;
  httpEndpoint: 'enabled' | 'disabled' | null;
  /** Time at which the operator supplied it. */
  suppliedUs: number;
}

/** An instance of the cloud's inventory, also one that is gone or never had an agent. Null: not known. */
export interface CloudMember {
  hostId: string;
  account: string;
  region: string;
  state: string | null;
  launchedUs: number | null;
  terminatedUs: number | null;
  imageId: string | null;
  scalingGroup: string | null;
  templateId: string | null;
  templateVersion: number | null;
  isSpot: boolean | null;
  managedBy: string | null;
  tags: Record<string, string> | null;
  suppliedUs: number;
}

export interface CloudInventory {
  instances: CloudMember[];
  resources: { facts: CloudResourceInput; suppliedUs: number }[];
}

/** Facts that the hosts of a group have in common. */
export type HostProfile = Omit<HostFacts, 'id' | 'name'>;

/** One number for each member, in the same order. Microseconds since 1970; `NaN` where it is not known. */
export interface MemberColumns {
  /** Start of the first coverage report and end of the last one, of all time. */
  firstUs: Float64Array;
  lastUs: Float64Array;
  /** Place in `CLOUD_STATES`, counted from 1; 0: not known. */
  state: Uint8Array;
  launchedUs: Float64Array;
  terminatedUs: Float64Array;
  /** When the inventory that names it was supplied. */
  suppliedUs: Float64Array;
  /** 0: not known, 1: optional, 2: required. */
  tokens: Uint8Array;
  tokensSuppliedUs: Float64Array;
  /** From the hour of the launch to this time the cloud's counts are complete. */
  launchCountedUs: Float64Array;
  /** From this time to the hour of the end they are. */
  endCountedUs: Float64Array;
}

/** Profiles by number. `firstUs`: when an agent first reported it; null where only the cloud's inventory has it. */
export type StoredProfiles = Map<number, { facts: HostProfile; firstUs: number | null }>;

/** A place in the order of members: a position among hosts, then the id of an instance without an agent. */
export type MembersPlace = number | string;

/** Hosts and instances that lived in a window, also those that are gone or never had an agent. */
export interface StoredMembers {
  hostIds: string[];
  columns: MemberColumns;
  /** Pairs of a member and a profile: those that its agent reported in the window, and that of the inventory. */
  memberOf: Uint32Array;
  profileOf: Uint32Array;
  /** Gaps within the window. */
  gaps: { member: number; startUs: number; endUs: number; missingUs: number; reason: GapReason }[];
  /** Boots within the window of hosts that booted more than once. */
  reboots: { member: number; firstUs: number }[];
  /** Members for which the cloud counted calls without a token in the window. */
  withCountedCalls: string[];
  /** Sums of `hostTotals` without IMDSv2 calls. There can be some of other hosts among them. */
  totals: { hostId: string; identity: string | null; kinds: CountedCalls[] }[];
  /** The place after which the following members come; null where there are no more. */
  next: MembersPlace | null;
  /** Retention has deleted calls or gaps up to this time; null: nothing was deleted. */
  forgottenUntilUs: number | null;
}

/** States of instances. Source: EC2 API, InstanceState. */
export const CLOUD_STATES = [
  'pending',
  'running',
  'shutting-down',
  'terminated',
  'stopping',
  'stopped',
] as const;

export interface Retention {
  rawDays: number;
  rollupDays: number;
  /** Bound on the store's size on disk. Beyond it the oldest raw calls are deleted first. */
  maxBytes: number;
}

export interface RetentionResult {
  callsDeleted: number;
  rollupsDeleted: number;
  coverageDeleted: number;
  bytes: number;
}

export interface StoreStatistics {
  bytes: number;
  calls: number;
  /** Time of the oldest raw call. */
  oldestCallUs: number | null;
  identities: number;
  hosts: number;
}

/** The hosts and workloads that made IMDSv1 calls on each day of UTC. Days without calls are left out. */
export interface CallingDays {
  /** First day with stored sums of any calls; null without one. Of this day only a part can be stored. */
  firstDay: number | null;
  /** `day`: days since 1970. `hosts`: numbers that stand for hosts in this answer only. */
  days: { day: number; hosts: Uint32Array; identities: string[] }[];
}

/** The questions. Commands on the same machine can ask them too, while the collector runs. */
export interface StoreQueries {
  /** Returns sums over hosts for every workload that has calls in the scope. */
  identityTotals(scope: Scope): Promise<IdentityTotals[]>;
  /** Returns sums of the workloads for each account and region of hosts. Places without calls are left out. */
  sumsByPlace(window: Window, options: PlaceSumsOptions): Promise<PlaceSums[]>;
  /** Returns the distances of fallbacks whose last call is in the window or after it. */
  measuredHops(scope: HostsScope): Promise<MeasuredHops[]>;
  /**
   * Returns sums per host and workload. IMDSv2 calls are one sum per host, with `identity` null; they are left
   * out with `withV2` false.
   */
  hostTotals(
    scope: HostsScope,
    withV2?: boolean,
  ): Promise<{ hostId: string; identity: string | null; kinds: CountedCalls[] }[]>;
  /**
   * Returns the same sums added up over the hosts of the scope. IMDSv2 calls are one sum, with `identity`
   * null.
   */
  callTotals(scope: Scope): Promise<{ identity: string | null; kinds: CountedCalls[] }[]>;
  /** Returns for each workload of the scope the hosts on which it called, added up. */
  workloadHosts(scope: Scope, options: WorkloadHostsOptions): Promise<WorkloadHosts[]>;
  /** Returns the ids of hosts on which the workloads of the scope called, in the order of their bytes. */
  callerHosts(scope: Scope, after: string | null, limit: number): Promise<string[]>;
  /** Returns the ids of hosts that have reported, in the order of their bytes, after the id `after`. */
  hostIds(choice: HostChoice, after: string | null, limit: number): Promise<string[]>;
  /** Returns hosts in the order of the bytes of their ids, after the id `after`. */
  hostPage(choice: HostChoice, after: string | null, limit: number): Promise<StoredHost[]>;
  /**
   * Returns what decides the verdicts of at most `limit` hosts after the position `after`, which is 0 at
   * first. Their order is always the same. The briefs of one answer are of one moment.
   */
  hostBriefs(choice: HostChoice, window: Window, after: number, limit: number): Promise<HostBriefs>;
  /** Returns the times of the first and the last record of any host; null where there is none. */
  reportedSpan(): Promise<{ firstUs: number; lastUs: number } | null>;
  /** Counts hosts by the days of their first and last record. */
  reportedDays(choice: HostChoice): Promise<ReportedDays[]>;
  /** Returns the ids of hosts with counts of the cloud in a window, in the order of their bytes. */
  countedHosts(window: Window, choice: HostChoice, after: string | null, limit: number): Promise<string[]>;
  /** Returns what hosts and instances have in common, by which they are grouped. */
  profiles(): Promise<StoredProfiles>;
  /**
   * Returns at most `limit` members of all groups after a place, which is 0 at first, or for a list those that have
   * one of its profiles. Their order is always the same. With `withTotals` false their sums are left out.
   */
  members(
    window: Window,
    profiles: readonly number[] | null,
    after: MembersPlace,
    limit: number,
    withTotals?: boolean,
  ): Promise<StoredMembers>;
  /** Returns the names that hosts report, in the order of `hostIds`; the id where none has reported. */
  hostNames(hostIds: readonly string[]): Promise<string[]>;
  identities(ids: string[]): Promise<Identity[]>;
  /** Returns identities in the order in which they were stored, after the row `row`. */
  identitiesAfter(row: number, limit: number): Promise<{ row: number; identity: Identity }[]>;
  /** Returns counts by hour or day, and with `byIdentity` by workload too. */
  series(scope: Scope, bucket: 'hour' | 'day', byIdentity: boolean): Promise<SeriesPoint[]>;
  /** Returns the days from `fromDay` until before `toDay`, oldest first. `hosts` null: all. */
  callingDays(fromDay: number, toDay: number, hosts: HostChoice): Promise<CallingDays>;
  /**
   * Returns the paths that a workload requested without a token, most frequent first. `path` null stands for
   * all that are not listed.
   */
  pathsV1(identity: string, limit: number): Promise<{ path: string | null; count: number; lastUs: number }[]>;
  /** Returns the latest processes of a workload on these hosts, most recent first. Their times can be a minute old. */
  callers(
    identity: string,
    limit: number,
    hosts: HostChoice,
  ): Promise<{ facts: CallerFacts; hostId: string; lastUs: number }[]>;
  /** Returns the hosts of a list. */
  hosts(ids: readonly string[]): Promise<StoredHost[]>;
  coverage(window: Window, hosts: readonly string[]): Promise<HostCoverage[]>;
  /**
   * Returns raw calls, newest first. `next` is the `cursor` of the following page. Throws `RangeError` for a
   * cursor that is not one.
   */
  calls(
    filter: CallFilter,
    limit: number,
    cursor: string | null,
  ): Promise<{ calls: Call[]; next: string | null }>;
  cloudCounts(window: Window, hosts: readonly string[]): Promise<CloudCount[]>;
  /** Returns the metadata options of the instances of a list. */
  cloudInstances(ids: readonly string[]): Promise<CloudInstance[]>;
  cloudInventory(): Promise<CloudInventory>;
  /** Returns the inventory without its instances. */
  cloudResources(): Promise<CloudInventory['resources']>;
  /**
   * Counts calls without a token that were answered with 2xx, for each span of whole hours, to compare with
   * the cloud's count.
   */
  answeredV1(hostId: string, spans: Window[]): Promise<number[]>;
  /** Counts calls without a token that were refused with 401 in the same way. */
  refusedV1(hostId: string, spans: Window[]): Promise<number[]>;
  statistics(): Promise<StoreStatistics>;
  close(): Promise<void>;
}

export interface Store extends StoreQueries, ArrivalStore {
  /**
   * Returns the number of a stream's last stored batch: 0 for a new stream, null for one that belongs to
   * another host.
   */
  lastSeq(stream: string, hostId: string): Promise<number | null>;
  /**
   * Stores the batches of each host in order, and resolves when they are durable. Where it rejects, nothing is stored
   * that would count twice when the batches come again: in PostgreSQL a commit can have happened unseen. A batch or a
   * record that is stored already is left as it is.
   */
  write(batches: StoredBatch[]): Promise<BatchResult[]>;
  /**
   * Stores heartbeats in place of earlier ones; each host occurs once. Of two collectors that an agent was connected to,
   * the later heartbeat stays. Those that were stored may be lost with the machine: the next ones replace them.
   */
  heartbeats(heard: readonly HeardHost[]): Promise<void>;
  /** Counts the hosts whose last heartbeat arrived at this time or later, in microseconds since 1970. */
  heardHosts(sinceUs: number): Promise<number>;
  /** Stores counts in place of earlier ones for the same host and start. */
  putCloudCounts(counts: CloudCount[]): Promise<void>;
  putCloudInstances(instances: CloudInstance[]): Promise<void>;
  /** Stores an inventory. A null of an instance keeps the former value. */
  putCloudInventory(inventory: CloudInventory): Promise<void>;
  retain(retention: Retention, nowUs: number): Promise<RetentionResult>;
  /** Writes a consistent copy to a new file while the store goes on. Throws `OperatorError`. */
  backup(file: string): Promise<void>;
}
