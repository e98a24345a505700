/** The question behind `offenders`, asked of SQLite. */
import type { DatabaseSync } from 'node:sqlite';
import type { CallerIdentity, CallerTotals, CallTotals } from '../store.ts';

/** Calls and roll-ups that reach into the time since `sinceUs`, in one consistent view of the store. */
export function readCallerTotals(database: DatabaseSync, sinceUs: number): CallerTotals {
  database.exec('BEGIN');
  try {
    const totals = database
      .prepare(
        `SELECT t.*, hosts.host_id AS hostId, hosts.name AS hostName FROM (
           SELECT identity, host, version, category, status, outcome, fallback,
                  count(*) AS count, min(time_us) AS firstUs, max(time_us) AS lastUs
           FROM calls WHERE time_us >= ?1 GROUP BY 1, 2, 3, 4, 5, 6, 7
           UNION ALL
           SELECT r.identity, r.host, 2, l.category, l.status, l.outcome, NULL,
                  sum(l.count), min(r.first_us), max(r.last_us)
           FROM rollups r JOIN rollup_lines l ON l.rollup = r.id
           WHERE r.last_us >= ?1 GROUP BY 1, 2, 4, 5, 6
         ) t JOIN hosts ON hosts.id = t.host`,
      )
      .all(sinceUs) as unknown as CallTotals[];
    const roles = database
      .prepare(
        'SELECT DISTINCT identity, version, role FROM calls WHERE time_us >= ? AND role IS NOT NULL ORDER BY role',
      )
      .all(sinceUs) as unknown as CallerTotals['roles'];
    const userAgents = database
      .prepare(
        `SELECT identity, text AS userAgent, sum(n) AS count FROM (
           SELECT identity, user_agent, count(*) AS n FROM calls WHERE time_us >= ?1 GROUP BY 1, 2
           UNION ALL
           SELECT identity, user_agent, sum(count) FROM rollups WHERE last_us >= ?1 GROUP BY 1, 2
         ) u JOIN user_agents ON user_agents.id = u.user_agent GROUP BY 1, 2`,
      )
      .all(sinceUs) as unknown as CallerTotals['userAgents'];
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
    return { identities, totals, roles, userAgents };
  } finally {
    database.exec('COMMIT');
  }
}
