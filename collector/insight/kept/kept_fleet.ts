/**
 * The form in which the judged members of all groups are kept: columns, some thousand members a part. What many members
 * share, such as their profiles and their states, has a number that the last part explains. Pure.
 */
import { groupProblemCode } from '../../contract/group.ts';
import type { StoredProfiles } from '../../store/store.ts';
import { everReported, type Fleet, type FleetMember, type HostCaller } from '../group/fleet.ts';
import type { CallsVerdict, JudgedMember } from '../group/member.ts';
import { type ProfileSet, profileSet, sourceOf } from '../group/members_of.ts';
import { inParts } from './packed_parts.ts';

const MEMBERS_IN_PART = 5_000;
const CALLS: readonly (CallsVerdict | null)[] = [null, 'blocked', 'fallback', 'rejected'];

interface Columns {
  ids: string[];
  /** Numbers of sets of profiles, and of states. */
  sets: number[];
  states: number[];
  firstUs: (number | null)[];
  /** Null stands for `Infinity`. */
  bornUs: (number | null)[];
  callsV1: (number | null)[];
  /** Calls of one workload on one member, by its place in the part. */
  callers: [at: number, workload: number, v1: number, lastV1Us: number | null][];
}

type Entry<M> = M extends ReadonlyMap<infer Key, infer Value> ? [Key, Value] : never;

/** The part of a judgement that many members share. */
type State = Pick<JudgedMember, 'calls' | 'problems' | 'isRunning' | 'isEnforced' | 'startsSeen'>;
type PackedState = [calls: number, problems: number[], running: 0 | 1, enforced: 0 | 1, startsSeen: number];

interface Names extends Pick<Fleet, 'reported' | 'judging' | 'forgottenUntilUs'> {
  sets: (readonly number[])[];
  states: PackedState[];
  workloads: string[];
  launchesNow: Entry<Fleet['launchesNow']>[];
  inventoryUs: Entry<Fleet['inventoryUs']>[];
}

/** Gives each different value a number, in the order of their first use. */
class Numbers<T> {
  readonly values: T[] = [];
  readonly #known = new Map<unknown, number>();

  of(key: unknown, value: T): number {
    const number = this.#known.get(key) ?? this.values.push(value) - 1;
    this.#known.set(key, number);
    return number;
  }
}

export function partsOfFleet(fleet: Fleet): unknown[] {
  const sets = new Numbers<readonly number[]>();
  const states = new Numbers<PackedState>();
  const workloads = new Numbers<string>();
  const parts = inParts(fleet.members, MEMBERS_IN_PART).map((members): Columns => {
    const columns: Columns = {
      ids: [],
      sets: [],
      states: [],
      firstUs: [],
      bornUs: [],
      callsV1: [],
      callers: [],
    };
    for (const [at, { judged, profiles }] of members.entries()) {
      const { hostId, firstUs, calls } = judged.member;
      const state = packedState(judged);
      columns.ids.push(hostId);
      columns.sets.push(sets.of(profiles, profiles.numbers));
      columns.states.push(states.of(state.join(' '), state));
      columns.firstUs.push(firstUs);
      columns.bornUs.push(Number.isFinite(judged.bornUs) ? judged.bornUs : null);
      columns.callsV1.push(calls?.v1 ?? null);
      for (const { identity, calls: own } of fleet.callers.get(hostId) ?? [])
        columns.callers.push([at, workloads.of(identity, identity), own.v1, own.lastV1Us]);
    }
    return columns;
  });
  const names: Names = {
    reported: fleet.reported,
    judging: fleet.judging,
    forgottenUntilUs: fleet.forgottenUntilUs,
    sets: sets.values,
    states: states.values,
    workloads: workloads.values,
    launchesNow: [...fleet.launchesNow],
    inventoryUs: [...fleet.inventoryUs],
  };
  return [...parts, names];
}

/** `profiles`: those that are stored now. Throws where one is gone that a member had. */
export function fleetOfParts(parts: readonly unknown[], profiles: StoredProfiles): Fleet {
  const names = parts.at(-1) as Names;
  const sets = names.sets.map((numbers): ProfileSet => profileSet(numbers, profiles));
  const states = names.states.map(stateOf);
  const members: FleetMember[] = [];
  const callers = new Map<string, HostCaller[]>();
  for (const part of parts.slice(0, -1) as Columns[]) {
    for (const [at, hostId] of part.ids.entries()) {
      const set = sets[part.sets[at]!]!;
      const v1 = part.callsV1[at]!;
      const member = {
        hostId,
        source: sourceOf(set, hostId),
        firstUs: part.firstUs[at]!,
        calls: v1 === null ? null : { v1 },
      };
      const bornUs = part.bornUs[at] ?? Number.POSITIVE_INFINITY;
      members.push({ judged: { ...states[part.states[at]!]!, member, bornUs }, profiles: set });
    }
    for (const [at, workload, v1, lastV1Us] of part.callers) {
      const hostId = part.ids[at]!;
      const own = callers.get(hostId) ?? [];
      callers.set(hostId, own);
      own.push({ identity: names.workloads[workload]!, calls: { v1, lastV1Us } });
    }
  }
  return {
    members,
    reported: names.reported,
    judging: names.judging,
    callers,
    ever: everReported(profiles),
    forgottenUntilUs: names.forgottenUntilUs,
    launchesNow: new Map(names.launchesNow),
    inventoryUs: new Map(names.inventoryUs),
  };
}

function packedState({ calls, problems, isRunning, isEnforced, startsSeen }: State): PackedState {
  const codes = problems.map((code) => groupProblemCode.options.indexOf(code));
  return [CALLS.indexOf(calls), codes, isRunning ? 1 : 0, isEnforced ? 1 : 0, startsSeen];
}

function stateOf([calls, codes, running, enforced, startsSeen]: PackedState): State {
  return {
    calls: CALLS[calls]!,
    problems: codes.map((code) => groupProblemCode.options[code]!),
    isRunning: running === 1,
    isEnforced: enforced === 1,
    startsSeen,
  };
}
