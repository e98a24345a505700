/** Carries profiles from the reader to the questions. Each one is sent and parsed once. */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { StoredProfiles } from '../store.ts';

export interface PackedProfiles {
  /** All profiles; the time is `NaN` where no agent reported it. */
  ids: Float64Array;
  firstUs: Float64Array;
  /** JSON of the last profiles in `ids`, those that the other side does not know. */
  facts: string[];
}

export class ProfilesReader {
  readonly #all: StatementSync;

  constructor(database: DatabaseSync) {
    this.#all = database.prepare(
      'SELECT id, first_us, CASE WHEN id > ? THEN facts END FROM profiles ORDER BY id',
    );
    this.#all.setReturnArrays(true);
  }

  read(afterId: number): PackedProfiles {
    const rows = this.#all.all(afterId) as unknown as [number, number | null, string | null][];
    return {
      ids: Float64Array.from(rows, ([id]) => id),
      firstUs: Float64Array.from(rows, ([, firstUs]) => firstUs ?? Number.NaN),
      facts: rows.flatMap(([, , facts]) => facts ?? []),
    };
  }
}

/** Remembers profiles: one never changes, and its number is never given again. */
export class ProfilesUnpacker {
  #known: StoredProfiles = new Map();
  #lastId = 0;

  /** The largest number that `unpack` has seen. */
  get lastId(): number {
    return this.#lastId;
  }

  unpack({ ids, firstUs, facts }: PackedProfiles): StoredProfiles {
    const profiles: StoredProfiles = new Map();
    const firstNew = ids.length - facts.length;
    for (const [at, id] of ids.entries()) {
      const known = at < firstNew ? this.#known.get(id)?.facts : JSON.parse(facts[at - firstNew]!);
      // A question that was asked before another one's answer has new profiles twice, and never misses one.
      if (known === undefined) continue;
      profiles.set(id, { facts: known, firstUs: Number.isNaN(firstUs[at]!) ? null : firstUs[at]! });
    }
    this.#known = profiles;
    this.#lastId = Math.max(this.#lastId, ids.at(-1) ?? 0);
    return profiles;
  }
}
