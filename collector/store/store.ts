/**
 * What agents reported, behind one interface: the embedded SQLite store now, a distributed one later. Every method may be
 * answered by another thread or process: arguments and results are plain data.
 *
 * Raw calls are kept for days, roll-ups by hour and by day for long: what is asked of more than one host or hour is answered
 * from roll-ups. Times are microseconds since 1970. Hosts are named by the agents' `host.id`.
 */
import type { Call, HostFacts } from '../../protocol/call.ts';
import type { Coverage, Heartbeat, Rollup } from '../../protocol/records.ts';
import type { GapReason } from '../contract/host.ts';
import type { Window } from '../contract/window.ts';
import type { CallerFacts, WorkloadIdentity } from './workload_identity.ts';

/** A call or roll-up without who made it (`callers[caller]` of its batch) and where (`host` of its batch). */
export type CallBody = Omit<Call, keyof CallerFacts | 'host'>;
export type RollupBody = Omit<Rollup, keyof CallerFacts | 'host'>;

export type StoredRecord =
  | { kind: 'call'; caller: number; call: CallBody }
  | { kind: 'rollup'; caller: number; rollup: RollupBody }
  | { kind: 'coverage'; coverage: Coverage };

/** A batch as ingest has checked it: every record is valid and speaks for `host`. */
export interface StoredBatch {
  stream: string;
  seq: number;
  host: HostFacts;
  /** Each caller once, however many of the records are its. */
  callers: CallerFacts[];
  records: StoredRecord[];
  /** Records of the batch that were not valid, or spoke for another host: the host has a gap for them. */
  leftOut?: number;
  /** More of the same batch follows: the stream stays where it is. */
  partial?: boolean;
}

/**
 * What became of a batch: `stored` now, `known` by its number from before, or `ahead` of the stream (`lastSeq` is where
 * the stream is; nothing of the batch was stored).
 */
export interface BatchResult {
  result: 'stored' | 'known' | 'ahead';
  lastSeq: number;
  /** Records that were new, and records whose id was there already. */
  records: number;
  duplicates: number;
}

/** What calls are counted by, besides who made them. Small in number: it is what keeps roll-ups small. */
export interface CallKind {
  /** Null for attempts that were blocked, and for endpoints that have no versions. */
  version: 1 | 2 | null;
  endpoint: Call['imds.endpoint'] | null;
  category: Call['imds.category'];
  status: number | null;
  outcome: Call['outcome'];
  fallback: Call['imds.fallback'];
  /** Whose credentials were asked for. */
  role: string | null;
  userAgent: string | null;
}

export interface CountedCalls extends CallKind {
  count: number;
  firstUs: number;
  lastUs: number;
}

/** `id`: `identityId` of the model. */
export interface Identity extends WorkloadIdentity {
  id: string;
}

/** Which calls a question is about. `null`: all. An empty list: none. */
export interface Scope {
  window: Window;
  hosts: string[] | null;
  identities: string[] | null;
}

export interface IdentityTotals {
  identity: Identity;
  kinds: CountedCalls[];
}

/** One workload on one host. First and last times are of all time, not of the window; the host is in the window by `lastUs`. */
export interface IdentityHost {
  identity: string;
  hostId: string;
  firstUs: number;
  lastUs: number;
  lastV1Us: number | null;
  /** In the window. */
  callsV1: number;
}

export interface SeriesPoint {
  /** Start of the bucket. Buckets without calls are left out. */
  startUs: number;
  identity: string | null;
  v1: number;
  v1Credentials: number;
  v2: number;
}

export interface StoredHost {
  facts: HostFacts;
  firstUs: number;
  lastUs: number;
  heartbeat: { heartbeat: Heartbeat; receivedUs: number } | null;
}

export interface StoredGap {
  startUs: number;
  endUs: number;
  /** How much of it was not watched; all of it where that is not said. */
  missingUs?: number | undefined;
  reason: GapReason;
  detail: string | null;
}

/** What is known of when a host was watched; gaps are cut to the window, touching ones of one reason are one. */
export interface HostCoverage {
  hostId: string;
  /**
   * Start of the first and end of the last report of all; null where none ever came. Not earlier than what retention has left: before
   * that, calls and gaps may be gone.
   */
  firstUs: number | null;
  lastUs: number | null;
  gaps: StoredGap[];
  boots: { id: string; firstUs: number; lastUs: number }[];
  /** Sums over the days that the window touches. */
  kernelConnections: number | null;
  seenConnections: number;
  losses: Record<string, number>;
}

export interface CallFilter {
  window: Window;
  hosts: string[] | null;
  identities: string[] | null;
  version: 1 | 2 | null;
  categories: Call['imds.category'][] | null;
  outcomes: Call['outcome'][] | null;
  /** Substring of the path, ASCII case ignored. */
  path: string | null;
}

/** One hour, or a span of hours, as the cloud counted it for one instance. */
export interface CloudCount {
  hostId: string;
  startUs: number;
  endUs: number;
  /** `MetadataNoToken`: token-less calls that succeeded. */
  noToken: number;
  /** `MetadataNoTokenRejected`; null where it was not supplied. */
  noTokenRejected: number | null;
}

export interface CloudInstance {
  hostId: string;
  httpTokens: 'optional' | 'required' | null;
  hopLimit: number | null;
  /** When the operator supplied it. */
  suppliedUs: number;
}

export interface Retention {
  rawDays: number;
  rollupDays: number;
  /** Bound on the store's size on disk: the oldest raw calls go first. */
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
  /** Of the oldest raw call. */
  oldestCallUs: number | null;
  identities: number;
  hosts: number;
}

/** The questions; a reader beside the collector (a command on the same machine) can ask them too. */
export interface StoreQueries {
  /** Per workload, summed over hosts. Only workloads with calls in the scope. */
  identityTotals(scope: Scope): Promise<IdentityTotals[]>;
  identityHosts(scope: Scope): Promise<IdentityHost[]>;
  /** Per host and workload: everything but plain IMDSv2 calls, which are one sum per host (`identity` null, version 2). */
  hostTotals(scope: Scope): Promise<{ hostId: string; identity: string | null; kinds: CountedCalls[] }[]>;
  identities(ids: string[]): Promise<Identity[]>;
  /** With `byIdentity` one row per workload and bucket, else one per bucket. */
  series(scope: Scope, bucket: 'hour' | 'day', byIdentity: boolean): Promise<SeriesPoint[]>;
  /** What a workload asked for without a token, most frequent first. `path` null: what was not listed one by one. */
  pathsV1(identity: string, limit: number): Promise<{ path: string | null; count: number; lastUs: number }[]>;
  /** Its latest processes, most recent first. */
  callers(identity: string, limit: number): Promise<{ facts: CallerFacts; hostId: string; lastUs: number }[]>;
  hosts(): Promise<StoredHost[]>;
  coverage(window: Window, hosts: string[] | null): Promise<HostCoverage[]>;
  /** Raw calls, newest first; `next` goes into the following question as `cursor`. */
  calls(
    filter: CallFilter,
    limit: number,
    cursor: string | null,
  ): Promise<{ calls: Call[]; next: string | null }>;
  cloudCounts(window: Window, hosts: string[] | null): Promise<CloudCount[]>;
  cloudInstances(): Promise<CloudInstance[]>;
  /** Token-less calls answered with 2xx on this host in this span (whole hours), to hold against the cloud's count. */
  answeredV1(hostId: string, spans: Window[]): Promise<number[]>;
  statistics(): Promise<StoreStatistics>;
  close(): Promise<void>;
}

export interface Store extends StoreQueries {
  /** Where a stream is: the number of its last stored batch, 0 when it is new; null when it belongs to another host. */
  lastSeq(stream: string, hostId: string): Promise<number | null>;
  /**
   * Stores batches in order, in one transaction, and returns when they are durable. Rejects with nothing stored.
   * A batch or a record that is there already is left as it is.
   */
  write(batches: StoredBatch[]): Promise<BatchResult[]>;
  /** The newest heartbeat of a host replaces the one before. */
  heartbeat(heartbeat: Heartbeat, receivedUs: number): Promise<void>;
  /** Replaces what was supplied before for the same host and start. */
  putCloudCounts(counts: CloudCount[]): Promise<void>;
  putCloudInstances(instances: CloudInstance[]): Promise<void>;
  retain(retention: Retention, nowUs: number): Promise<RetentionResult>;
  /** A consistent copy while the store goes on. Throws `OperatorError`. */
  backup(file: string): Promise<void>;
}
