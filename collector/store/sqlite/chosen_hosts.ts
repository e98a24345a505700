/** Finds the hosts that a filter selects. What many hosts have in common is compared once, by their profile. */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { type HostChoice, type HostFilter, hostMatcher, isIdList, matchesProfile } from '../host_filter.ts';
import type { HostProfile } from '../store.ts';

const NO_PROFILE: HostProfile = {};

/** Columns that `ChosenHosts.matcher` needs, in the order in which it takes them. */
export const FILTERED_COLUMNS = 'h.host_id, h.name, h.first_us, p.profile';
/** A host without a record or heartbeat has no times yet, and is left out. */
export const FILTERED_HOSTS =
  'hosts h LEFT JOIN host_profiles p ON p.host = h.id AND p.until_us IS NULL WHERE h.first_us IS NOT NULL';

export class ChosenHosts {
  readonly #all: StatementSync;
  readonly #listed: StatementSync;
  readonly #byId: StatementSync;
  readonly #listedById: StatementSync;
  readonly #facts: StatementSync;
  /** Numbers of hosts that the filters of one question have selected. */
  readonly #selected = new Map<HostFilter, number[]>();
  /** A profile never changes, and its number is never given again. */
  readonly #profiles = new Map<number, HostProfile>();

  constructor(database: DatabaseSync) {
    const prepare = (among: string, order = 'h.id') => {
      const statement = database.prepare(
        `SELECT h.id, ${FILTERED_COLUMNS} FROM ${FILTERED_HOSTS}${among} ORDER BY ${order}`,
      );
      statement.setReturnArrays(true);
      return statement;
    };
    this.#all = prepare('');
    this.#listed = prepare(' AND h.host_id IN (SELECT value FROM json_each(?))');
    this.#byId = prepare(' AND h.host_id > ?', 'h.host_id');
    this.#listedById = prepare(
      ' AND h.host_id > ? AND h.host_id IN (SELECT value FROM json_each(?))',
      'h.host_id',
    );
    this.#facts = database.prepare('SELECT facts FROM profiles WHERE id = ?');
  }

  /** Begins another question: hosts may have changed since. */
  forget(): void {
    this.#selected.clear();
  }

  /** Returns the numbers of the hosts that match. A question that asks again gets the same list. */
  rows(filter: HostFilter): number[] {
    let rows = this.#selected.get(filter);
    if (rows === undefined) {
      rows = this.#select(filter);
      this.#selected.set(filter, rows);
    }
    return rows;
  }

  #select(filter: HostFilter): number[] {
    const matches = this.matcher(filter);
    const found: number[] = [];
    const rows =
      filter.ids === undefined ? this.#all.iterate() : this.#listed.iterate(JSON.stringify(filter.ids));
    for (const row of rows as unknown as Iterable<[number, string, string, number, number | null]>) {
      if (matches(row[1], row[2], row[3], row[4])) found.push(row[0]);
    }
    return found;
  }

  /** Returns ids of hosts in the order of their bytes, after the id `after`. */
  idsAfter(choice: HostChoice, after: string | null, limit: number): string[] {
    const filter = choice === null ? {} : isIdList(choice) ? { ids: choice } : choice;
    const matches = this.matcher(filter);
    const found: string[] = [];
    const rows =
      filter.ids === undefined
        ? this.#byId.iterate(after ?? '')
        : this.#listedById.iterate(after ?? '', JSON.stringify(filter.ids));
    for (const row of rows as unknown as Iterable<[number, string, string, number, number | null]>) {
      if (!matches(row[1], row[2], row[3], row[4])) continue;
      found.push(row[1]);
      if (found.length === limit) break;
    }
    return found;
  }

  /** Returns a function that compares one host. Its profile is null where it has reported none. */
  matcher(
    filter: HostFilter,
  ): (id: string, name: string, firstUs: number, profile: number | null) => boolean {
    const matchesHost = hostMatcher(filter);
    const byProfile = new Map<number, boolean>();
    return (id, name, firstUs, profile) => {
      const number = profile ?? 0;
      let matches = byProfile.get(number);
      if (matches === undefined) {
        matches = matchesProfile(this.profile(number), filter);
        byProfile.set(number, matches);
      }
      return matches && matchesHost({ id, name, firstUs });
    };
  }

  /** Returns a profile by its number; an empty one for 0. */
  profile(number: number): HostProfile {
    if (number === 0) return NO_PROFILE;
    let profile = this.#profiles.get(number);
    if (profile === undefined) {
      profile = JSON.parse(String(this.#facts.get(number)?.['facts'] ?? '{}')) as HostProfile;
      this.#profiles.set(number, profile);
    }
    return profile;
  }
}
