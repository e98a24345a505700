/** Converts coverage reports to the units of the store. */
import type { Coverage } from '../../../protocol/records.ts';
import { toMicroseconds } from '../time.ts';
import type { Report } from './run_account.ts';

export function reportOf(coverage: Coverage): Report {
  const { uptime_start_ms: uptimeStartMs, uptime_end_ms: uptimeEndMs } = coverage;
  return {
    bootId: coverage.boot_id,
    runId: coverage.run_id ?? null,
    uptime:
      uptimeStartMs === undefined || uptimeEndMs === undefined
        ? null
        : { startUs: Math.round(uptimeStartMs * 1000), endUs: Math.round(uptimeEndMs * 1000) },
    joinedConnections: coverage.joined_connections ?? null,
    undecidedConnections: coverage.undecided_connections ?? 0,
    openCalls: coverage.open_calls ?? 0,
    openSinceUs: coverage.open_since === undefined ? null : toMicroseconds(coverage.open_since),
    leftOut: coverage.left_out ?? [],
    startUs: toMicroseconds(coverage.start),
    endUs: toMicroseconds(coverage.end),
    liveMs: coverage.live_ms,
    kernelConnections: coverage.kernel_connections,
    seenConnections: coverage.seen_connections,
    losses: coverage.losses,
  };
}
