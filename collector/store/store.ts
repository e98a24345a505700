/** What the collector keeps, behind one small interface: the embedded SQLite store now, a distributed one later. */
import type { HostFacts } from '../../protocol/call.ts';
import type { Heartbeat, WireRecord } from '../../protocol/records.ts';

/** A batch as ingest has checked it: every record is valid and speaks for `host`. */
export interface StoredBatch {
  stream: string;
  seq: number;
  host: HostFacts;
  records: WireRecord[];
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

/** Who called, grouped by what stays the same from process to process. */
export interface CallerIdentity {
  /** False: nobody knows which process it was; then only `host` and `sourceAddress` tell them apart. */
  attributed: boolean;
  executable: string | null;
  /** The kernel's comm; the only name where the executable was gone before it could be read. */
  name: string | null;
  script: string | null;
  user: string | null;
  uid: number | null;
  hostId: string | null;
  sourceAddress: string | null;
}

/** Calls of one identity on one host that are alike in everything that `CallTotals` names. Times in microseconds since 1970. */
export interface CallTotals {
  identity: number;
  hostId: string;
  hostName: string;
  /** Null for attempts that were blocked. */
  version: 1 | 2 | null;
  category: string;
  status: number | null;
  outcome: string;
  fallback: string | null;
  /** Whose credentials were asked for. */
  role: string | null;
  userAgent: string | null;
  count: number;
  firstUs: number;
  lastUs: number;
}

export interface CallerTotals {
  identities: Map<number, CallerIdentity>;
  totals: CallTotals[];
}

export interface Store {
  /** Where a stream is: the number of its last stored batch, 0 when it is new; null when it belongs to another host. */
  lastSeq(stream: string, hostId: string): Promise<number | null>;
  /**
   * Stores batches in order, in one transaction, and returns when they are durable. Rejects with nothing stored.
   * A batch or a record that is there already is left as it is.
   */
  write(batches: StoredBatch[]): Promise<BatchResult[]>;
  /** The newest heartbeat of a host replaces the one before. */
  heartbeat(heartbeat: Heartbeat): Promise<void>;
  /** Everything about callers since a time in microseconds since 1970. */
  callerTotals(sinceUs: number): Promise<CallerTotals>;
  close(): Promise<void>;
}
