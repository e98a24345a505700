/** The form in which the verdicts of all hosts are kept: columns, some thousand hosts a part. Pure. */
import { verdict } from '../../contract/host.ts';
import type { StoredProfiles } from '../../store/store.ts';
import type { HostBoard } from '../host_board.ts';
import type { HostSummary } from '../hosts.ts';
import { inParts } from './packed_parts.ts';

const HOSTS_IN_PART = 5_000;

type Columns = { [Key in keyof HostSummary | 'seenEnabled']: unknown[] };

/** The order of the columns is that of the kept form, which the name of the release goes with. */
const KEYS = [
  'id',
  'name',
  'profile',
  'firstUs',
  'lastUs',
  'receivedUs',
  'isSilent',
  'verdict',
  'startSeen',
  'coveragePercent',
  'gapCount',
  'callsV1',
  'offenderCount',
  'lastV1Us',
] as const satisfies (keyof HostSummary)[];

export function partsOfBoard({ hosts, seenEnabled }: HostBoard): Columns[] {
  return inParts(hosts, HOSTS_IN_PART).map((part) => {
    const columns = Object.fromEntries(KEYS.map((key) => [key, part.map((host) => host[key])])) as Columns;
    columns.seenEnabled = part.map(({ id }) => (seenEnabled?.has(id) === true ? 1 : 0));
    columns.verdict = part.map((host) => verdict.options.indexOf(host.verdict));
    return columns;
  });
}

/** `profiles`: those that are stored now. One that is gone belongs to no host any more. */
export function boardOfParts(parts: readonly unknown[], asOfUs: number, profiles: StoredProfiles): HostBoard {
  const hosts: HostSummary[] = [];
  const used = new Map<number, NonNullable<ReturnType<StoredProfiles['get']>>['facts']>();
  const seenEnabled = new Set<string>();
  for (const part of parts as ({ [Key in keyof HostSummary]: HostSummary[Key][] } & {
    seenEnabled: (0 | 1)[];
  })[]) {
    const verdicts = part.verdict as unknown as number[];
    for (const [at, id] of part.id.entries()) {
      const profile = part.profile[at]!;
      if (!used.has(profile)) used.set(profile, profiles.get(profile)?.facts ?? {});
      if (part.seenEnabled[at] === 1) seenEnabled.add(id);
      hosts.push({
        id,
        name: part.name[at]!,
        profile,
        firstUs: part.firstUs[at]!,
        lastUs: part.lastUs[at]!,
        receivedUs: part.receivedUs[at]!,
        isSilent: part.isSilent[at]!,
        verdict: verdict.options[verdicts[at]!]!,
        startSeen: part.startSeen[at]!,
        coveragePercent: part.coveragePercent[at]!,
        gapCount: part.gapCount[at]!,
        callsV1: part.callsV1[at]!,
        offenderCount: part.offenderCount[at]!,
        lastV1Us: part.lastV1Us[at]!,
      });
    }
  }
  return { asOfUs, hosts, profiles: used, seenEnabled };
}
