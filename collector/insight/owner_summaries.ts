/** Adds up workloads by their owners. Pure. */
import type { Offender } from '../contract/offender.ts';
import type { OwnerSummary } from '../contract/owner.ts';

/**
 * Returns the owners of the workloads that call IMDSv1: the one with most of them first, and the workloads without an owner
 * last.
 */
export function ownerSummaries(offenders: readonly Offender[]): OwnerSummary[] {
  const withV1 = offenders.filter(({ severity }) => severity !== 'none');
  return [...Map.groupBy(withV1, ({ triage }) => triage.owner)]
    .map(([owner, own]): OwnerSummary => {
      const sum = (of: (each: Offender) => number) => own.reduce((total, each) => total + of(each), 0);
      const times = own.flatMap(({ last_v1 }) => last_v1 ?? []).sort();
      return {
        id: owner === null ? 'none' : `owner:${owner}`,
        owner,
        offenders: own.length,
        credentials: own.filter(({ severity }) => severity === 'credentials').length,
        calls_v1: sum(({ calls_v1 }) => calls_v1),
        hosts_freed: sum(({ hosts_freed }) => hosts_freed),
        last_v1: times.at(-1) ?? null,
      };
    })
    .sort(mostFirst);
}

function mostFirst(a: OwnerSummary, b: OwnerSummary): number {
  if (a.owner === null || b.owner === null) return Number(a.owner === null) - Number(b.owner === null);
  return b.offenders - a.offenders || (a.owner < b.owner ? -1 : 1);
}
