/** Lists made hosts as `Insight` does. */
import type { Host } from '../../../../collector/contract/host.ts';
import {
  chosenHosts,
  type HostBoard,
  type HostSelection,
  orderOf,
  type PageChoice,
  pageOfHosts,
} from '../../../../collector/insight/host_board.ts';
import { toMicroseconds } from '../../../../collector/store/time.ts';

/** When made hosts were judged. */
export const AS_OF = '2026-10-01T12:00:00.000000Z';
const AS_OF_US = toMicroseconds(AS_OF);

export function boardOf(hosts: readonly Host[]): HostBoard {
  return {
    asOfUs: AS_OF_US,
    hosts: hosts.map((host, number) => ({
      id: host.id,
      name: host.name,
      profile: number + 1,
      firstUs: toMicroseconds(host.first_seen),
      lastUs: toMicroseconds(host.last_seen),
      receivedUs: usOf(host.last_heartbeat),
      isSilent: host.state === 'silent',
      verdict: host.verdict,
      startSeen: host.start_seen,
      coveragePercent: host.coverage_percent,
      gapCount: host.gap_count,
      callsV1: host.calls_v1,
      offenderCount: host.offender_count,
      lastV1Us: usOf(host.last_v1),
    })),
    profiles: new Map(
      hosts.map(({ account, region, tags }, number) => [
        number + 1,
        {
          ...(account !== null && { 'cloud.account.id': account }),
          ...(region !== null && { 'cloud.region': region }),
          tags,
        },
      ]),
    ),
    seenEnabled: new Set(),
  };
}

/** Returns the page of the hosts as they are now. */
export function pageOfMade(hosts: readonly Host[], selection: HostSelection, { limit, place }: PageChoice) {
  const byId = new Map(hosts.map((host) => [host.id, host]));
  const page = pageOfHosts(chosenHosts(boardOf(hosts), selection), orderOf(selection.sort), limit, place);
  return { items: page.hosts.map(({ id }) => byId.get(id)!), next: page.next, asOfUs: AS_OF_US };
}

function usOf(time: string | null): number | null {
  return time === null ? null : toMicroseconds(time);
}
