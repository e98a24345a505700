/** A record of a stream that leaves the collector. */
import type { AuditEntry } from '../contract/administration.ts';
import type { Alert } from '../contract/alert.ts';
import type { Finding } from '../contract/finding.ts';
import type { ServedCall } from '../contract/served_call.ts';

export type ExportItem =
  | {
      stream: 'calls';
      call: ServedCall;
      /** When the collector stored it (RFC 3339); absent where that is not known. */
      stored?: string | null;
    }
  | { stream: 'findings'; finding: Finding }
  | { stream: 'audit'; entry: AuditEntry }
  | { stream: 'alerts'; alert: Alert };

export type CallItem = Extract<ExportItem, { stream: 'calls' }>;
