/**
 * Compares the cloud's count of calls without a token with ours. CloudWatch's `MetadataNoToken` (namespace
 * AWS/EC2) counts calls that succeeded, `MetadataNoTokenRejected` those that were refused (EC2 user guide,
 * CloudWatch metrics of instances).
 */
import type { Reconciliation } from '../contract/cloud.ts';
import { HOUR_US } from '../contract/window.ts';
import type { CloudCount, StoredGap } from '../store/store.ts';
import { toTimestamp } from '../store/time.ts';

/**
 * `seen` has, for each count in the same order, the calls without a token that were answered with 2xx in its
 * span.
 */
export interface Compared {
  counts: readonly CloudCount[];
  seen: readonly number[];
  /** The same for calls without a token that were refused with 401. */
  seenRefused?: readonly number[];
}

export interface HostReconciliation {
  metadataNoToken: number;
  seenNoToken: number;
  /**
   * Calls that the cloud counted and the agent did not see, after a surplus was settled between neighbouring
   * spans.
   */
  unseen: number;
  /** The spans of those calls. */
  gaps: StoredGap[];
}

/**
 * Returns null without counts. The cloud may count a call from the last moment of a span in the next one. A
 * surplus in one span may therefore offset a deficit in the span just before or after it. Nothing else is
 * tolerated.
 */
export function reconcileHost({ counts, seen }: Compared): HostReconciliation | null {
  return reconcile(counts, seen, 'successful');
}

/** Does the same for calls without a token that were refused. Returns null without counts. */
export function reconcileRefusals({ counts, seenRefused = [] }: Compared): HostReconciliation | null {
  const refused = counts.map((count) => ({ ...count, noToken: count.noTokenRejected ?? 0 }));
  return reconcile(refused, seenRefused, 'refused');
}

function reconcile(
  counts: readonly CloudCount[],
  seen: readonly number[],
  kind: 'successful' | 'refused',
): HostReconciliation | null {
  if (counts.length === 0) return null;
  const spans = counts
    .map(({ startUs, endUs, noToken }, index) => ({ startUs, endUs, cloud: noToken, ours: seen[index] ?? 0 }))
    .sort((a, b) => a.startUs - b.startUs);
  const balance = spans.map(({ cloud, ours }) => ours - cloud);
  for (const [index, { startUs }] of spans.entries()) {
    if (index === 0 || spans[index - 1]!.endUs !== startUs) continue;
    settle(balance, index - 1, index);
  }
  const gaps = spans.flatMap(({ startUs, endUs, cloud, ours }, index): StoredGap[] => {
    if (balance[index]! >= 0) return [];
    const detail = `The cloud counted ${cloud} ${kind} calls without a token, the agent saw ${ours}.`;
    return [{ startUs, endUs, reason: 'cloud_saw_more', detail }];
  });
  return {
    metadataNoToken: spans.reduce((sum, { cloud }) => sum + cloud, 0),
    seenNoToken: spans.reduce((sum, { ours }) => sum + ours, 0),
    unseen: balance.reduce((sum, left) => sum + Math.max(0, -left), 0),
    gaps,
  };
}

/** Returns the comparison in the form that the API serves. `compared.counts` must not be empty. */
export function describeReconciliation(
  hostId: string,
  name: string | null,
  compared: Compared,
  found: HostReconciliation,
): Reconciliation {
  const { metadataNoToken, seenNoToken, unseen } = found;
  const rejected = compared.counts.map(({ noTokenRejected }) => noTokenRejected);
  return {
    id: hostId,
    name,
    result: unseen > 0 ? 'cloud_saw_more' : seenNoToken > metadataNoToken ? 'we_saw_more' : 'agrees',
    metadata_no_token: metadataNoToken,
    seen_no_token: seenNoToken,
    unseen,
    metadata_no_token_rejected: rejected.every((count) => count === null)
      ? null
      : rejected.reduce<number>((sum, count) => sum + (count ?? 0), 0),
    hours: compared.counts.reduce((sum, { startUs, endUs }) => sum + (endUs - startUs) / HOUR_US, 0),
    from: toTimestamp(Math.min(...compared.counts.map(({ startUs }) => startUs))),
    to: toTimestamp(Math.max(...compared.counts.map(({ endUs }) => endUs))),
    unseen_in: found.gaps.slice(0, 100).map(({ startUs, endUs }) => ({
      from: toTimestamp(startUs),
      to: toTimestamp(endUs),
    })),
  };
}

function settle(balance: number[], before: number, after: number): void {
  const [a, b] = [balance[before]!, balance[after]!];
  if (a * b >= 0) return;
  const moved = Math.min(Math.abs(a), Math.abs(b));
  balance[before] = a + (a < 0 ? moved : -moved);
  balance[after] = b + (b < 0 ? moved : -moved);
}
