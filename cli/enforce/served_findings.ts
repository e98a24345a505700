/** Converts the collector's answers about hosts and calls, from its files or its API, to findings of the enforcement. */
import type { EnforcementCall, EnforcementHost } from '../../collector/contract/enforcement.ts';
import type { HostFinding, TokenlessCall } from '../../enforce/findings.ts';

export function hostOf(served: EnforcementHost): HostFinding {
  return {
    hostId: served.id,
    name: served.name,
    account: served.account,
    region: served.region,
    imageId: served.image_id,
    tags: served.tags,
    verdict: served.verdict,
    reason: served.reason,
    startSeen: served.start_seen,
    coveragePercent: served.coverage_percent,
    hops: served.hops,
    advisedHopLimit: served.advised_hop_limit,
    isOnline: served.is_online,
    isLive: served.is_live,
  };
}

export function callOf({ id, host, tags, time, caller }: EnforcementCall): TokenlessCall {
  return { id, hostId: host, tags, atMs: Date.parse(time), caller };
}
