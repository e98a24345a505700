/**
 * Values of dictionaries by their numbers. A value never changes and a number is never given again, so values
 * are cached.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { type HostFilter, isIdList } from '../host_filter.ts';
import type { CallKind, Identity } from '../store.ts';
import type { WorkloadIdentity } from '../workload_identity.ts';
import { ChosenHosts } from './chosen_hosts.ts';

const MAX_CACHED = 50_000;
/** Characters of all texts of one cache. */
const MAX_CACHED_CHARACTERS = 8_000_000;

class CachedRows<T> {
  readonly #statement: StatementSync;
  readonly #read: (row: Record<string, unknown>) => T;
  readonly #cache = new Map<number, T>();
  #characters = 0;

  constructor(statement: StatementSync, read: (row: Record<string, unknown>) => T) {
    this.#statement = statement;
    this.#read = read;
  }

  get(id: number): T {
    const known = this.#cache.get(id);
    if (known !== undefined) return known;
    const row = this.#statement.get(id);
    if (row === undefined) throw new Error(`The store refers to row ${id}, which is not there.`);
    const value = this.#read(row);
    if (this.#cache.size >= MAX_CACHED || this.#characters >= MAX_CACHED_CHARACTERS) {
      this.#cache.clear();
      this.#characters = 0;
    }
    this.#cache.set(id, value);
    for (const column of Object.values(row))
      this.#characters += typeof column === 'string' ? column.length : 8;
    return value;
  }
}

export class Rows {
  /** The hosts by what they report. */
  readonly chosenHosts: ChosenHosts;
  readonly #kinds: CachedRows<CallKind>;
  readonly #identities: CachedRows<Identity>;
  readonly #hostIds: CachedRows<string>;
  readonly #hostRow: StatementSync;
  readonly #identityRow: StatementSync;

  constructor(database: DatabaseSync) {
    this.chosenHosts = new ChosenHosts(database);
    this.#kinds = new CachedRows(
      database.prepare(
        `SELECT version, endpoint, category, status, outcome, fallback, answered_by AS answeredBy, caller_role AS callerRole, role, user_agents.text AS userAgent
         FROM kinds LEFT JOIN user_agents ON user_agents.id = kinds.user_agent WHERE kinds.id = ?`,
      ),
      (row) => ({ ...row }) as unknown as CallKind,
    );
    this.#identities = new CachedRows(
      database.prepare('SELECT key, facts FROM identities WHERE id = ?'),
      (row) => ({ id: String(row['key']), ...(JSON.parse(String(row['facts'])) as WorkloadIdentity) }),
    );
    this.#hostIds = new CachedRows(database.prepare('SELECT host_id FROM hosts WHERE id = ?'), (row) =>
      String(row['host_id']),
    );
    this.#hostRow = database.prepare('SELECT id FROM hosts WHERE host_id = ?');
    this.#identityRow = database.prepare('SELECT id FROM identities WHERE key = ?');
  }

  kind(id: number): CallKind {
    return this.#kinds.get(id);
  }
  identity(id: number): Identity {
    return this.#identities.get(id);
  }
  hostId(id: number): string {
    return this.#hostIds.get(id);
  }

  /** Returns the numbers of those hosts of a list that the store knows, or of those that a filter selects. */
  hostRows(choice: readonly string[] | HostFilter): number[] {
    return isIdList(choice) ? known(this.#hostRow, choice) : this.chosenHosts.rows(choice);
  }
  identityRows(ids: string[]): number[] {
    return known(this.#identityRow, ids);
  }
}

function known(statement: StatementSync, names: readonly string[]): number[] {
  const rows = new Set<number>();
  for (const name of names) {
    const row = statement.get(name);
    if (row !== undefined) rows.add(Number(row['id']));
  }
  return [...rows];
}
