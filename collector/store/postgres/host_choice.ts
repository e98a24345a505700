/** Looks up the hosts that a question is about. */
import {
  comparesProfiles,
  type HostChoice,
  type HostFilter,
  hostMatcher,
  isIdList,
  matchesProfile,
} from '../host_filter.ts';
import type { HostProfile } from '../store.ts';
import type { Session } from './database_pool.ts';
import { all, type ChosenHosts, hostsOfNumbers, SqlParameters } from './question.ts';

/** Rows that are compared at once where the database cannot compare all of a filter. */
const PAGE = 5_000;

interface Candidate {
  id: number;
  hostId: string;
  name: string;
  firstUs: number;
  [column: string]: unknown;
}

export class HostChoices {
  /** A profile never changes, and its number is never given again. */
  readonly #profiles = new Map<number, HostProfile>();

  async choose(session: Session, choice: HostChoice): Promise<ChosenHosts> {
    if (choice === null) return null;
    if (isIdList(choice)) {
      return {
        condition: (parameters, column) =>
          `${column} IN (SELECT id FROM hosts WHERE host_id = ANY (${parameters.add(choice)}))`,
        areNeighbours: false,
      };
    }
    return hostsOfNumbers(await this.#select(session, choice));
  }

  /** Returns the numbers of the hosts that a question is about; null for all. */
  async numbers(session: Session, choice: HostChoice): Promise<number[] | null> {
    if (choice === null) return null;
    if (isIdList(choice)) {
      const rows = await session.query<{ id: number }>('SELECT id FROM hosts WHERE host_id = ANY ($1)', [
        choice,
      ]);
      return rows.map(({ id }) => id);
    }
    return this.#select(session, choice);
  }

  async #select(session: Session, filter: HostFilter): Promise<number[]> {
    const numbers: number[] = [];
    for (let after = 0; ; ) {
      const page = await this.#candidates(session, filter, 'id', after, PAGE);
      const matches = hostMatcher(filter);
      for (const { id, hostId, name, firstUs } of page) {
        if (matches({ id: hostId, name, firstUs })) numbers.push(id);
      }
      if (page.length < PAGE) return numbers;
      after = page.at(-1)!.id;
    }
  }

  /** Returns hosts with a record or heartbeat in the order of the bytes of their ids, after the id `after`. */
  async idsAfter(
    session: Session,
    choice: HostChoice,
    after: string | null,
    limit: number,
  ): Promise<string[]> {
    const found = await this.page(session, choice, 'host_id', after ?? '', limit);
    return found.map(({ hostId }) => hostId);
  }

  /** Returns at most `limit` hosts that match, in the order of a column and after a value of it. */
  async page(
    session: Session,
    choice: HostChoice,
    by: 'id' | 'host_id',
    after: number | string,
    limit: number,
  ): Promise<Candidate[]> {
    const filter = choice === null ? {} : isIdList(choice) ? { ids: choice } : choice;
    const matches = hostMatcher(filter);
    const found: Candidate[] = [];
    for (let from = after; found.length < limit; ) {
      const size = Math.max(limit, PAGE);
      const candidates = await this.#candidates(session, filter, by, from, size);
      found.push(...candidates.filter(({ hostId, name, firstUs }) => matches({ id: hostId, name, firstUs })));
      if (candidates.length < size) break;
      const last = candidates.at(-1)!;
      from = by === 'id' ? last.id : last.hostId;
    }
    return found.slice(0, limit);
  }

  /** Returns hosts that match in all but their texts. */
  async #candidates(
    session: Session,
    filter: HostFilter,
    by: 'id' | 'host_id',
    after: number | string,
    limit: number,
  ): Promise<Candidate[]> {
    const parameters = new SqlParameters();
    const profiles = await this.#matchingProfiles(session, filter);
    const conditions = all(
      'h.first_us IS NOT NULL',
      `h.${by} > ${parameters.add(after)}`,
      filter.ids === undefined ? null : `h.host_id = ANY (${parameters.add(filter.ids)})`,
      filter.firstSinceUs === undefined
        ? null
        : `h.first_us >= ${parameters.add(Math.ceil(filter.firstSinceUs))}`,
      profiles === null ? null : `coalesce(p.profile, 0) = ANY (${parameters.add(profiles)}::bigint[])`,
    );
    return session.query<Candidate>(
      `SELECT h.id, h.host_id AS "hostId", h.name, h.first_us AS "firstUs" FROM hosts h
       LEFT JOIN host_profiles p ON p.host = h.id AND p.until_us IS NULL
       WHERE ${conditions} ORDER BY h.${by} LIMIT ${parameters.add(limit)}`,
      parameters.values,
    );
  }

  /** Returns the numbers of profiles that match, 0 for none; null where a filter compares none. */
  async #matchingProfiles(session: Session, filter: HostFilter): Promise<number[] | null> {
    if (!comparesProfiles(filter)) return null;
    const rows = await session.query<{ id: number }>(
      'SELECT DISTINCT profile AS id FROM host_profiles WHERE until_us IS NULL',
    );
    const ids = [0, ...rows.map(({ id }) => id)];
    await this.loadProfiles(session, ids);
    return ids.filter((id) => matchesProfile(this.profile(id), filter));
  }

  /** Reads profiles that are not known. Afterwards `profile` has all of these. */
  async loadProfiles(session: Session, ids: readonly number[]): Promise<void> {
    const missing = ids.filter((id) => id !== 0 && !this.#profiles.has(id));
    if (missing.length === 0) return;
    const rows = await session.query<{ id: number; facts: string }>(
      'SELECT id, facts FROM profiles WHERE id = ANY ($1)',
      [missing],
    );
    for (const { id, facts } of rows) this.#profiles.set(id, JSON.parse(facts) as HostProfile);
  }

  /** Returns a profile by its number; an empty one for 0. */
  profile(number: number): HostProfile {
    return this.#profiles.get(number) ?? {};
  }
}
