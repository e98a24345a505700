/**
 * Counts the verdicts of hosts that share an account, a region, a tag and the like. Pure. Each host is judged
 * by itself: whether a group is proven, also by its members that are gone, is judged in `group/`.
 */
import type { ReadinessGroup, Verdict } from '../contract/host.ts';
import { type EnforceableHost, enforceLines, enforceNotes } from './enforce_command.ts';
import { groupValue } from './group_value.ts';
import type { HostBoard } from './host_board.ts';
import { type HostSummary, verdictCounts } from './hosts.ts';
import type { GroupBy } from './question.ts';

/** The hosts of a group, added up. */
interface GroupSums {
  verdicts: Record<Verdict, number>;
  callsV1: number;
  ready: EnforceableHost[];
}

/**
 * Returns the largest group first, and the hosts without the attribute last. `hosts`: those of the board that are counted.
 * Throws where the board does not have the hosts that were seen enabled, which commands depend on.
 */
export function readinessGroupsOf(
  { profiles, seenEnabled }: HostBoard,
  hosts: readonly HostSummary[],
  by: GroupBy,
): ReadinessGroup[] {
  if (seenEnabled === null) throw new Error('the hosts were judged without looking which services are on');
  const groups = new Map<string | null, GroupSums>();
  const groupOf = new Map<number, GroupSums>();
  for (const { id, profile, verdict, callsV1, startSeen } of hosts) {
    const facts = profiles.get(profile) ?? {};
    let group = groupOf.get(profile);
    if (group === undefined) {
      const value = groupValue(facts, by);
      group = groups.get(value) ?? { verdicts: verdictCounts([]), callsV1: 0, ready: [] };
      groups.set(value, group);
      groupOf.set(profile, group);
    }
    group.verdicts[verdict] += 1;
    group.callsV1 += callsV1;
    if (verdict !== 'ready') continue;
    const region = facts['cloud.region'];
    group.ready.push({
      facts: { id, ...(region !== undefined && { 'cloud.region': region }) },
      seenEnabled: seenEnabled.has(id),
      startSeen,
    });
  }
  return [...groups]
    .map(groupOfSums)
    .sort(
      (a, b) =>
        Number(a.value === null) - Number(b.value === null) ||
        b.hosts - a.hosts ||
        ((a.value ?? '') < (b.value ?? '') ? -1 : 1),
    );
}

function groupOfSums([value, { verdicts, callsV1, ready }]: [string | null, GroupSums]): ReadinessGroup {
  return {
    value,
    hosts: Object.values(verdicts).reduce((sum, count) => sum + count, 0),
    verdicts,
    calls_v1: callsV1,
    ready_without_start: ready.filter(({ startSeen }) => !startSeen).length,
    command: enforceLines(ready),
    command_notes: enforceNotes(ready),
  };
}
