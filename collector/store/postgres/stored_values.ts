/** Values of dictionaries by their numbers. They never change, so they are cached. */
import type { CallKind, Identity } from '../store.ts';
import type { WorkloadIdentity } from '../workload_identity.ts';
import type { Session } from './database_pool.ts';

const MAX_CACHED = 50_000;

export class StoredValues {
  readonly #identities = new Map<number, Identity>();
  readonly #kinds = new Map<number, CallKind>();
  readonly #hostIds = new Map<number, string>();

  /** Reads the workloads that are not cached. Afterwards `identity` knows all of these. */
  async loadIdentities(session: Session, ids: Iterable<number>): Promise<void> {
    await load(
      session,
      this.#identities,
      ids,
      'SELECT id, key, facts FROM identities WHERE id = ANY ($1)',
      (row) => identityOf(row as unknown as { key: string; facts: string }),
    );
  }

  async loadKinds(session: Session, ids: Iterable<number>): Promise<void> {
    const sql = `SELECT k.id, k.version, k.endpoint, k.category, k.status, k.outcome, k.fallback,
        k.answered_by AS "answeredBy", k.caller_role AS "callerRole", k.role, u.text AS "userAgent"
      FROM kinds k LEFT JOIN user_agents u ON u.id = k.user_agent WHERE k.id = ANY ($1)`;
    await load(session, this.#kinds, ids, sql, ({ id: _id, ...kind }) => kind as unknown as CallKind);
  }

  async loadHostIds(session: Session, ids: Iterable<number>): Promise<void> {
    const sql = 'SELECT id, host_id AS "hostId" FROM hosts WHERE id = ANY ($1)';
    await load(session, this.#hostIds, ids, sql, ({ hostId }) => String(hostId));
  }

  identity(id: number): Identity {
    return known(this.#identities, id);
  }
  kind(id: number): CallKind {
    return known(this.#kinds, id);
  }
  hostId(id: number): string {
    return known(this.#hostIds, id);
  }
}

export function identityOf({ key, facts }: { key: string; facts: string }): Identity {
  return { id: key, ...(JSON.parse(facts) as WorkloadIdentity) };
}

async function load<T>(
  session: Session,
  cache: Map<number, T>,
  ids: Iterable<number>,
  sql: string,
  read: (row: Record<string, unknown>) => T,
): Promise<void> {
  const wanted = new Set(ids);
  const missing = [...wanted].filter((id) => !cache.has(id));
  if (missing.length === 0) return;
  // One answer may need more than is kept. What it needs is read again where it was just thrown away.
  if (cache.size + missing.length > MAX_CACHED && cache.size > 0) {
    cache.clear();
    return load(session, cache, wanted, sql, read);
  }
  for (const row of await session.query<{ id: number }>(sql, [missing])) cache.set(row.id, read(row));
}

function known<T>(cache: ReadonlyMap<number, T>, id: number): T {
  const value = cache.get(id);
  if (value === undefined) throw new Error(`The store refers to row ${id}, which is not there.`);
  return value;
}
