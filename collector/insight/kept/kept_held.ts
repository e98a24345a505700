/** The form in which the held hosts are kept. Callers and groups are numbers, which the last part names. Pure. */
import type { CountedCalls } from '../../store/store.ts';
import type { HeldHost } from '../cover.ts';
import type { Held, HeldWorkload } from '../fix_first.ts';
import { inParts } from './packed_parts.ts';

const HOSTS_IN_PART = 10_000;

type Tags = [key: string, values: readonly (string | null)[]][];
type PackedHost = [callers: number[], watched: 0 | 1, groups: number];
interface Names {
  callers: string[];
  /** Hosts of one profile are in the same groups. */
  groups: string[][];
  agentless: string[];
  window: Held['window'];
  workloads: [id: string, kinds: readonly CountedCalls[], tags: Tags, accounts: readonly string[]][];
}

export function partsOfHeld({ hosts, workloads, agentlessGroups, window }: Held): unknown[] {
  const callers = new Map<string, number>();
  const groups = new Map<string, number>();
  const groupLists: string[][] = [];
  const numberOf = (names: Map<string, number>, name: string) => {
    const known = names.get(name) ?? names.size;
    names.set(name, known);
    return known;
  };
  const packed = hosts.map((host): PackedHost => {
    const number = numberOf(groups, JSON.stringify(host.groups));
    groupLists[number] ??= [...host.groups];
    return [host.callers.map((id) => numberOf(callers, id)), host.watched ? 1 : 0, number];
  });
  const names: Names = {
    callers: [...callers.keys()],
    groups: groupLists,
    agentless: [...agentlessGroups],
    window,
    workloads: [...workloads].map(([id, { kinds, tags, accounts }]) => [id, kinds, [...tags], accounts]),
  };
  return [...inParts(packed, HOSTS_IN_PART), names];
}

export function heldOfParts(parts: readonly unknown[]): Held {
  const names = parts.at(-1) as Names;
  const hosts = (parts.slice(0, -1) as PackedHost[][]).flat().map(
    ([callers, watched, group]): HeldHost => ({
      callers: callers.map((number) => names.callers[number]!),
      watched: watched === 1,
      groups: names.groups[group]!,
    }),
  );
  return {
    hosts,
    workloads: new Map(
      names.workloads.map(([id, kinds, tags, accounts]): [string, HeldWorkload] => [
        id,
        { kinds, tags: new Map(tags), accounts },
      ]),
    ),
    agentlessGroups: new Set(names.agentless),
    window: names.window,
  };
}
