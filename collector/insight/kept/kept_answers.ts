/** Answers about all hosts that are worked out again and again, whether or not somebody asks. */
import type { GroupAttribute } from '../../../common/group_id.ts';
import type { Group } from '../../contract/group.ts';
import type { Window } from '../../contract/window.ts';
import type { PlaceSums } from '../../store/store.ts';
import type { Held } from '../fix_first.ts';
import type { Fleet } from '../group/fleet.ts';
import type { HostBoard } from '../host_board.ts';
import type { UntriagedOffender } from '../offenders.ts';

export interface Kept<T> {
  value: T;
  /** Everything that was stored before counts. Microseconds since 1970. */
  asOfUs: number;
}

/**
 * The answers are about all hosts, at a time that is not long ago. Null: there is none, and whoever asks works it out.
 */
export interface KeptAnswers {
  board(): Promise<HostBoard | null>;
  held(): Promise<Kept<Held> | null>;
  /** Null also for tags: only the groups of attributes that every host can have are kept. */
  groups(by: GroupAttribute): Promise<Kept<Group[]> | null>;
  /** The judged members of all groups, also of those by tags and of some places. */
  fleet(): Promise<Kept<Fleet> | null>;
  /** Those of a window of the default length. */
  offenders(): Promise<Kept<UntriagedOffender[]> | null>;
  /** Sums by account and region, of the same window: the offenders of a place are made of them. */
  places(): Promise<Kept<{ window: Window; places: PlaceSums[] }> | null>;
  /** Something changed that answers depend on: the next ones are begun soon. */
  renewSoon(): void;
}

/** Keeps nothing: all answers are worked out when somebody asks. */
export const NOTHING_KEPT: KeptAnswers = {
  board: async () => null,
  held: async () => null,
  groups: async () => null,
  fleet: async () => null,
  offenders: async () => null,
  places: async () => null,
  renewSoon: () => {},
};
