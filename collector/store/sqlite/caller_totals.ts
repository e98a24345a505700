/** The question behind `offenders`, asked of SQLite. */
import type { DatabaseSync } from 'node:sqlite';
import type { CallerIdentity, CallerTotals, CallTotals } from '../store.ts';

/** Calls and roll-ups that reach into the time since `sinceUs`, in one consistent view of the store. */
export function readCallerTotals(database: DatabaseSync, sinceUs: number): CallerTotals {
  database.exec('BEGIN');
  try {
    // One pass over the calls: what they are grouped by hardly varies within one caller.
    const totals = database
      .prepare(
        `SELECT t.*, hosts.host_id AS hostId, hosts.name AS hostName, user_agents.text AS userAgent FROM (
           SELECT identity, host, version, category, status, outcome, fallback, role, user_agent,
                  count(*) AS count, min(time_us) AS firstUs, max(time_us) AS lastUs
           FROM calls WHERE time_us >= ?1 GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
           UNION ALL
           SELECT r.identity, r.host, 2, l.category, l.status, l.outcome, NULL, NULL, r.user_agent,
                  sum(l.count), min(r.first_us), max(r.last_us)
           FROM rollups r JOIN rollup_lines l ON l.rollup = r.id
           WHERE r.last_us >= ?1 GROUP BY 1, 2, 4, 5, 6, 9
         ) t JOIN hosts ON hosts.id = t.host LEFT JOIN user_agents ON user_agents.id = t.user_agent`,
      )
      .all(sinceUs) as unknown as CallTotals[];
    const identities = new Map<number, CallerIdentity>();
    const seen = new Set(totals.map(({ identity }) => identity));
    for (const row of database.prepare('SELECT * FROM identities').iterate()) {
      if (!seen.has(Number(row['id']))) continue;
      identities.set(Number(row['id']), {
        attributed: row['attributed'] === 1,
        executable: row['executable'] as string | null,
        name: row['name'] as string | null,
        script: row['script'] as string | null,
        user: row['user'] as string | null,
        uid: row['uid'] as number | null,
        hostId: row['host_id'] as string | null,
        sourceAddress: row['source_address'] as string | null,
      });
    }
    return { identities, totals };
  } finally {
    database.exec('COMMIT');
  }
}
