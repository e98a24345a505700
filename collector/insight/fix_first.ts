/** Describes what to fix first, from judged hosts. Pure: `Progress` asks the store. */
import { groupId } from '../../common/group_id.ts';
import type { Fix, FixFirst } from '../contract/fix_first.ts';
import type { Window } from '../contract/window.ts';
import { tagValue } from '../store/host_filter.ts';
import type { CountedCalls, HostProfile, Identity } from '../store/store.ts';
import { isV1, tally } from './counts.ts';
import { coverOf, type HeldHost } from './cover.ts';
import { isCovered } from './coverage_gaps.ts';
import { attributeOf } from './group/attributes.ts';
import type { JudgedBrief } from './host_judge.ts';
import { titleOf } from './offenders.ts';
import { severityOf } from './severity.ts';
import type { TriageNow } from './triage_reader.ts';

/** Attributes that a launcher gives to all its instances. */
const LAUNCHED_BY = ['asg', 'template', 'eks-nodegroup', 'image'] as const;

export interface HeldWorkload {
  /** Its calls on the held hosts, added up. */
  kinds: readonly CountedCalls[];
  /** Values of the tags that name owners, on the hosts where it calls IMDSv1; null for hosts without. */
  tags: ReadonlyMap<string, readonly (string | null)[]>;
  /** The accounts of these hosts. */
  accounts: readonly string[];
}

/** The held hosts at one moment. What to fix first is worked out of them and of the triage of now. */
export interface Held {
  /** The readiness window. */
  window: Window;
  hosts: readonly HeldHost[];
  workloads: ReadonlyMap<string, HeldWorkload>;
  /** Groups of `groupsOf` with an instance of which no agent has reported. */
  agentlessGroups: ReadonlySet<string>;
}

export interface FixFirstEvidence {
  held: Held;
  /** Every caller of the held hosts. */
  identities: ReadonlyMap<string, Identity>;
  triage: TriageNow;
  limit: number;
}

/**
 * Collects the hosts on which IMDSv1 calls keep tokens from being required. `rejected` hosts require them
 * already.
 */
export class HeldHosts {
  readonly hosts: HeldHost[] = [];
  /** The calls of each workload on these hosts, added up, and the profiles of the hosts where it calls IMDSv1. */
  readonly workloads = new Map<string, { kinds: Map<string, CountedCalls>; profiles: Set<HostProfile> }>();
  readonly #toleranceUs: number;
  readonly #groups = new Map<HostProfile, string[]>();

  constructor(toleranceUs: number) {
    this.#toleranceUs = toleranceUs;
  }

  add({ judged, totals }: JudgedBrief, profile: HostProfile): void {
    if (judged.verdict !== 'blocked' && judged.verdict !== 'fallback') return;
    const callers: string[] = [];
    for (const { identity, kinds } of totals) {
      if (identity === null) continue;
      let workload = this.workloads.get(identity);
      if (workload === undefined) {
        workload = { kinds: new Map(), profiles: new Set() };
        this.workloads.set(identity, workload);
      }
      for (const kind of kinds) addKind(workload.kinds, kind);
      if (!kinds.some(isV1)) continue;
      callers.push(identity);
      workload.profiles.add(profile);
    }
    let groups = this.#groups.get(profile);
    if (groups === undefined) {
      groups = groupsOf(profile);
      this.#groups.set(profile, groups);
    }
    this.hosts.push({ callers, watched: isCovered(judged.watched, this.#toleranceUs), groups });
  }

  /** Returns the calls of each workload, and the values of these tags. */
  workloadsWith(tagKeys: readonly string[]): Map<string, HeldWorkload> {
    return new Map(
      [...this.workloads].map(([id, { kinds, profiles }]) => {
        const valuesOf = (key: string) => new Set([...profiles].map(({ tags }) => tagValue(tags, key)));
        const tags = new Map(tagKeys.map((key) => [key, [...valuesOf(key)]]));
        const accounts = new Set([...profiles].flatMap((profile) => profile['cloud.account.id'] ?? []));
        return [id, { kinds: [...kinds.values()], tags, accounts: [...accounts].sort() }];
      }),
    );
  }
}

/** Adds calls to those of the same kind. */
function addKind(kinds: Map<string, CountedCalls>, calls: CountedCalls): void {
  const { count, firstUs, lastUs, ...kind } = calls;
  const key = JSON.stringify(kind);
  const known = kinds.get(key);
  kinds.set(
    key,
    known === undefined
      ? calls
      : {
          ...known,
          count: known.count + count,
          firstUs: Math.min(known.firstUs, firstUs),
          lastUs: Math.max(known.lastUs, lastUs),
        },
  );
}

export function fixFirstOf(evidence: FixFirstEvidence): Omit<FixFirst, 'window' | 'as_of'> {
  const { held, identities, triage, limit } = evidence;
  const { hosts, agentlessGroups } = held;
  const fixed = new Set<string>();
  const excepted = new Set<string>();
  const unidentified = new Set<string>();
  for (const [id, identity] of identities) {
    const { state } = triage.stateOf(id);
    if (state === 'fixed') fixed.add(id);
    else if (state === 'exception') excepted.add(id);
    else if (!isIdentified(identity)) unidentified.add(id);
  }
  const barred = new Set([...excepted, ...unidentified]);
  const cover = coverOf(hosts, { limit, fixed, barred, barredGroups: agentlessGroups });
  const countWith = (ids: ReadonlySet<string>) =>
    hosts.filter(({ callers }) => callers.some((id) => ids.has(id))).length;
  return {
    held_hosts: hosts.length,
    waiting_hosts: cover.waiting,
    excepted_hosts: countWith(excepted),
    unidentified_hosts: countWith(unidentified),
    held_groups: cover.groups,
    agentless_groups: cover.barredGroups,
    fixes: cover.steps.map((step): Fix => {
      const identity = identities.get(step.workload)!;
      const { kinds, tags, accounts } = held.workloads.get(step.workload)!;
      return {
        id: step.workload,
        title: titleOf(identity),
        severity: severityOf(tally([...kinds])),
        triage: triage.of(identity, { tag: (key) => tags.get(key) ?? [], accounts }),
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

/** Returns names of what launched an instance. Names of groups are unique in their account and region only. */
export function groupsOf(facts: HostProfile): string[] {
  const place = `${facts['cloud.account.id'] ?? ''}/${facts['cloud.region'] ?? ''}`;
  return LAUNCHED_BY.flatMap((by) => {
    const value = attributeOf(facts, by);
    return value === null ? [] : [`${groupId(by, value)} ${place}`];
  });
}
