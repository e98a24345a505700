/** Adds hosts of which something is stored for the first time. */
import type { HostFacts } from '../../../protocol/call.ts';
import { WRITERS_LOCK } from './advisory_locks.ts';
import { lockBriefs, refreshBriefs } from './cloud_briefs.ts';
import type { Session } from './database_pool.ts';
import type { HostRow } from './known_hosts.ts';
import { OutdatedHostsError } from './retries.ts';
import type { WorkingSet } from './working_set.ts';

/**
 * Adds hosts in a transaction of their own, before the one that stores something about them. That one commits later, and
 * whatever has its commit has this one too, so this one waits for no disk and no standby.
 */
export async function addHosts(
  session: Session,
  set: WorkingSet,
  hosts: ReadonlyMap<string, HostFacts>,
): Promise<void> {
  await session.query('SET LOCAL synchronous_commit = off');
  await session.query(`SELECT pg_advisory_xact_lock_shared(${WRITERS_LOCK})`);
  const ids = [...hosts.keys()].sort();
  const facts = ids.map((id) => hosts.get(id)!);
  const rows = await session.query<HostRow & Record<string, unknown>>(
    `INSERT INTO hosts (host_id, name, facts)
     SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) AS v (host_id, name, facts) ORDER BY host_id COLLATE "C"
     ON CONFLICT (host_id) DO NOTHING RETURNING id, host_id, name, facts, first_us, last_us, version`,
    [ids, facts.map(({ name }) => name), facts.map((each) => JSON.stringify(each))],
  );
  await lockBriefs(session, false);
  await refreshBriefs(
    session,
    rows.map(({ host_id: hostId }) => hostId),
  );
  // Those that another writer has added meanwhile are loaded in the next attempt.
  if (rows.length < ids.length) throw new OutdatedHostsError([]);
  for (const row of rows) set.loadHost(row);
}
