/** Describes what to fix first, from judged hosts. Pure: `Progress` asks the store. */
import { groupId } from '../../common/group_id.ts';
import type { HostFacts } from '../../protocol/call.ts';
import type { Fix, FixFirst } from '../contract/fix_first.ts';
import type { CountedCalls, HostProfile, Identity } from '../store/store.ts';
import { isV1, tally } from './counts.ts';
import { coverOf, type HeldHost } from './cover.ts';
import { isCovered } from './coverage_gaps.ts';
import { attributeOf } from './group/attributes.ts';
import type { JudgedHost } from './hosts.ts';
import { titleOf } from './offenders.ts';
import { severityOf } from './severity.ts';
import type { TriageNow } from './triage_reader.ts';

/** Attributes that a launcher gives to all its instances. */
const LAUNCHED_BY = ['asg', 'template', 'eks-nodegroup', 'image'] as const;

export interface FixFirstEvidence {
  /** Held hosts, see `isHeld`. */
  held: readonly JudgedHost[];
  /** Every caller of the held hosts. */
  identities: ReadonlyMap<string, Identity>;
  triage: TriageNow;
  /** Groups of `groupsOf` with an instance of which no agent has reported. */
  agentlessGroups: ReadonlySet<string>;
  toleranceUs: number;
  limit: number;
}

/** Tells whether IMDSv1 calls keep tokens from being required on a host. `rejected` hosts require them already. */
export function isHeld({ judged: { verdict } }: JudgedHost): boolean {
  return verdict === 'blocked' || verdict === 'fallback';
}

export function callersOf({ evidence }: JudgedHost): string[] {
  return evidence.totals.flatMap(({ identity, kinds }) =>
    identity !== null && kinds.some(isV1) ? [identity] : [],
  );
}

export function fixFirstOf(evidence: FixFirstEvidence): Omit<FixFirst, 'window'> {
  const { held, identities, triage, agentlessGroups, toleranceUs, limit } = evidence;
  const fixed = new Set<string>();
  const excepted = new Set<string>();
  const unidentified = new Set<string>();
  for (const [id, identity] of identities) {
    const { state } = triage.stateOf(id);
    if (state === 'fixed') fixed.add(id);
    else if (state === 'exception') excepted.add(id);
    else if (!isIdentified(identity)) unidentified.add(id);
  }
  const hosts = held.map(
    (host): HeldHost => ({
      callers: callersOf(host),
      watched: isCovered(host.judged.watched, toleranceUs),
      groups: groupsOf(host.stored.facts),
    }),
  );
  const barred = new Set([...excepted, ...unidentified]);
  const cover = coverOf(hosts, { limit, fixed, barred, barredGroups: agentlessGroups });
  const countWith = (ids: ReadonlySet<string>) =>
    hosts.filter(({ callers }) => callers.some((id) => ids.has(id))).length;
  const chosen = new Set(cover.steps.map(({ workload }) => workload));
  const calls = callsOf(held, chosen);
  return {
    held_hosts: held.length,
    waiting_hosts: cover.waiting,
    excepted_hosts: countWith(excepted),
    unidentified_hosts: countWith(unidentified),
    held_groups: cover.groups,
    agentless_groups: cover.barredGroups,
    fixes: cover.steps.map((step): Fix => {
      const identity = identities.get(step.workload)!;
      const kinds = calls.get(step.workload)!;
      return {
        id: step.workload,
        title: titleOf(identity),
        severity: severityOf(tally(kinds.kinds)),
        triage: triage.of(identity, kinds.hosts),
        hosts: step.hosts,
        frees: step.frees,
        freed: step.freed,
        freed_watched: step.freedWatched,
        freed_groups: step.freedGroups,
      };
    }),
  };
}

/**
 * Tells whether a workload can be fixed as one: its program is known. A caller that is not known, or a sum of many,
 * has the host in its identity.
 */
function isIdentified({ attributed, hostId, startedBy }: Identity): boolean {
  return attributed && hostId === null && startedBy !== 'unknown';
}

function callsOf(
  held: readonly JudgedHost[],
  chosen: ReadonlySet<string>,
): Map<string, { kinds: CountedCalls[]; hosts: HostFacts[] }> {
  const calls = new Map(
    [...chosen].map((id) => [id, { kinds: [] as CountedCalls[], hosts: [] as HostFacts[] }]),
  );
  for (const { stored, evidence } of held) {
    for (const { identity, kinds } of evidence.totals) {
      const known = identity === null ? undefined : calls.get(identity);
      if (known === undefined) continue;
      for (const kind of kinds) known.kinds.push(kind);
      if (kinds.some(isV1)) known.hosts.push(stored.facts);
    }
  }
  return calls;
}

/** Returns names of what launched an instance. Names of groups are unique in their account and region only. */
export function groupsOf(facts: HostProfile): string[] {
  const place = `${facts['cloud.account.id'] ?? ''}/${facts['cloud.region'] ?? ''}`;
  return LAUNCHED_BY.flatMap((by) => {
    const value = attributeOf(facts, by);
    return value === null ? [] : [`${groupId(by, value)} ${place}`];
  });
}
