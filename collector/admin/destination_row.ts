/** A row of a destination of alerts or of a stream in the admin database. */
import type { AlertRule } from '../contract/alert.ts';
import type { DestinationConfig, DestinationOwners } from '../contract/destination.ts';
import type { StreamName } from '../contract/export.ts';
import type { SqlRow } from './admin_sql.ts';

export interface DestinationRow {
  id: string;
  name: string;
  enabled: boolean;
  stream: StreamName;
  /** Rules of the stream of alerts; empty for other streams. */
  rules: AlertRule[];
  /** It gets summaries in place of many alerts of one rule. */
  digest: boolean;
  /** It gets alerts that say that something is over. */
  sendResolved: boolean;
  /** The owners whose alerts it gets; null for all alerts. */
  owners: DestinationOwners | null;
  /** The configuration with its secrets. */
  config: DestinationConfig;
  createdUs: number;
  lastDeliveredUs: number | null;
  lastError: string | null;
  waiting: number;
  /** Alerts that were given up so far; when and why that happened last. */
  givenUp: number;
  givenUpUs: number | null;
  givenUpReason: string | null;
}

export function destinationOf(row: SqlRow): DestinationRow {
  return {
    id: String(row['id']),
    name: String(row['name']),
    enabled: row['enabled'] === 1,
    stream: row['stream'] as StreamName,
    rules: JSON.parse(String(row['rules'])),
    digest: row['digest'] === 1,
    sendResolved: row['send_resolved'] === 1,
    owners: row['owners'] === null ? null : JSON.parse(String(row['owners'])),
    config: JSON.parse(String(row['config'])),
    createdUs: Number(row['created_us']),
    lastDeliveredUs: row['last_delivered_us'] === null ? null : Number(row['last_delivered_us']),
    lastError: row['last_error'] as string | null,
    waiting: Number(row['waiting']),
    givenUp: Number(row['given_up']),
    givenUpUs: row['given_up_us'] === null ? null : Number(row['given_up_us']),
    givenUpReason: row['given_up_reason'] as string | null,
  };
}

export function ownersColumn(owners: DestinationOwners | null): string | null {
  return owners === null ? null : JSON.stringify(owners);
}
