/**
 * Counts the verdicts of hosts that share an account, a region, a tag and the like. Pure. Each host is judged
 * by itself: whether a group is proven, also by its members that are gone, is judged in `group/`.
 */
import type { ReadinessGroup } from '../contract/host.ts';
import { commandLines, enforceCommand, enforceNotes } from './enforce_command.ts';
import { groupValue } from './group_value.ts';
import { type JudgedHost, verdictCounts } from './hosts.ts';
import type { GroupBy } from './question.ts';

export function readinessGroupsOf(hosts: readonly JudgedHost[], by: GroupBy): ReadinessGroup[] {
  return [...Map.groupBy(hosts, ({ stored }) => groupValue(stored.facts, by))]
    .map(([value, members]) => {
      const ready = members
        .filter(({ judged }) => judged.verdict === 'ready')
        .map(({ stored, evidence, judged }) => ({
          facts: stored.facts,
          calls: judged.calls,
          instance: evidence.cloudInstance,
          startSeen: judged.startSeen,
        }));
      return {
        value,
        hosts: members.length,
        verdicts: verdictCounts(members.map(({ judged }) => judged.verdict)),
        calls_v1: members.reduce((sum, { judged }) => sum + judged.calls.v1, 0),
        ready_without_start: ready.filter(({ startSeen }) => !startSeen).length,
        command: commandLines(
          ready.map(({ facts, calls, instance }) => enforceCommand(facts, calls, instance)).sort(),
        ),
        command_notes: enforceNotes(ready),
      };
    })
    .sort(
      (a, b) =>
        Number(a.value === null) - Number(b.value === null) ||
        b.hosts - a.hosts ||
        ((a.value ?? '') < (b.value ?? '') ? -1 : 1),
    );
}
