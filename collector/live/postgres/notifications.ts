/** Finds out whether notifications arrive on connections to a database. A pooler can stand in the way. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DatabasePool } from '../../store/postgres/database_pool.ts';

export const NOT_HEARD =
  'Notifications do not arrive on connections to the database. A pooler in transaction mode (such as PgBouncer with pool_mode = transaction) loses them, and settings of connections too. Connect to PostgreSQL itself, or set the pooler to session mode.';

const PROBE_MS = 5_000;

/** Listens on one connection and notifies on another one. Rejects where the database fails. */
export function hearsNotifications(listening: DatabasePool, notifying: DatabasePool): Promise<boolean> {
  const channel = `imdswatch_probe_${randomUUID().replaceAll('-', '')}`;
  const heard = Promise.withResolvers<true>();
  return listening.listen(
    channel,
    () => heard.resolve(true),
    async (_session, lost) => {
      const over = new AbortController();
      try {
        await notifying.query('SELECT pg_notify($1, $2)', [channel, '']);
        const late = sleep(PROBE_MS, false, { signal: over.signal }).catch(() => false);
        return await Promise.race([heard.promise, late, lost]);
      } finally {
        over.abort();
      }
    },
  );
}
