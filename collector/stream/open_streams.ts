/** Puts the streams of a collector together. */
import type { Logger } from 'pino';
import type { Call } from '../../protocol/call.ts';
import type { AdminStore } from '../admin/admin_store.ts';
import { type ClockCheck, Lease } from '../admin/lease.ts';
import { DAY_US } from '../contract/window.ts';
import type { Store } from '../store/store.ts';
import { AuditSource } from './audit_source.ts';
import { CallSource } from './call_source.ts';
import { FindingReporter, type ReporterInsight } from './finding_reporter.ts';
import { FindingSource } from './finding_source.ts';
import { STREAMS_LEASE_MS, Streams } from './streams.ts';

export interface StreamParts {
  admin: AdminStore;
  store: Store;
  insight: ReporterInsight;
  /** Returns the id of a call's workload. */
  offenderOf: (call: Call) => string;
  retention: () => Promise<{ raw_days: number; max_bytes: number }>;
  publicUrl: string | null;
  log: Logger;
  /** See `LeaseOptions`. */
  clockCheck: ClockCheck;
}

export function openStreams(parts: StreamParts): { streams: Streams; lease: Lease } {
  const { admin, store, insight, offenderOf, retention, publicUrl, log, clockCheck } = parts;
  const lease = new Lease(admin, 'streams', { durationMs: STREAMS_LEASE_MS, clockCheck });
  const nowUs = () => Date.now() * 1000;
  const rows = admin.findings;
  const followedSinceUs = async () => nowUs() - (await retention()).raw_days * DAY_US;
  const calls = new CallSource(store, offenderOf, followedSinceUs, nowUs);
  const reporter = new FindingReporter({ rows, insight, store, held: () => lease.held, publicUrl, nowUs });
  const streams = new Streams({
    admin,
    lease,
    sources: {
      calls,
      findings: new FindingSource(rows, nowUs),
      audit: new AuditSource(admin.auditLog),
    },
    forgetCalls: () => calls.end(),
    report: () => reporter.report(),
    bounds: async () => {
      const [{ raw_days: rawDays, max_bytes: maxBytes }, { bytes }] = await Promise.all([
        retention(),
        store.statistics(),
      ]);
      return { rawDays, maxBytes, bytes };
    },
    log,
  });
  return { streams, lease };
}
