/**
 * Counts the verdicts of hosts that share an account, a region, a tag and the like. Pure. Each host is judged
 * by itself: whether a group is proven, also by its members that are gone, is judged in `group/`.
 */
import type { ReadinessGroup, Verdict } from '../contract/host.ts';
import { commandLines, type EnforceableHost, enforceCommand, enforceNotes } from './enforce_command.ts';
import { verdictCounts } from './hosts.ts';

/** The hosts of a group, added up. */
interface GroupSums {
  verdicts: Record<Verdict, number>;
  callsV1: number;
  ready: EnforceableHost[];
}

export class ReadinessGroups {
  readonly #groups = new Map<string | null, GroupSums>();

  /** `value`: of the attribute. `ready`: what the command needs, where the verdict is `ready`. */
  add(value: string | null, verdict: Verdict, callsV1: number, ready: EnforceableHost | null): void {
    let group = this.#groups.get(value);
    if (group === undefined) {
      group = { verdicts: verdictCounts([]), callsV1: 0, ready: [] };
      this.#groups.set(value, group);
    }
    group.verdicts[verdict] += 1;
    group.callsV1 += callsV1;
    if (ready !== null) group.ready.push(ready);
  }

  /** Returns the largest group first, and the hosts without the attribute last. */
  list(): ReadinessGroup[] {
    return [...this.#groups]
      .map(([value, { verdicts, callsV1, ready }]) => ({
        value,
        hosts: Object.values(verdicts).reduce((sum, count) => sum + count, 0),
        verdicts,
        calls_v1: callsV1,
        ready_without_start: ready.filter(({ startSeen }) => !startSeen).length,
        command: commandLines(
          ready.map(({ facts, calls, instance }) => enforceCommand(facts, calls, instance)).sort(),
        ),
        command_notes: enforceNotes(ready),
      }))
      .sort(
        (a, b) =>
          Number(a.value === null) - Number(b.value === null) ||
          b.hosts - a.hosts ||
          ((a.value ?? '') < (b.value ?? '') ? -1 : 1),
      );
  }
}
