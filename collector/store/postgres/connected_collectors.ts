/** Finds out whether collectors use a database: their connections say what they are for (`pg_stat_activity`). */
import { setTimeout as sleep } from 'node:timers/promises';
import { OperatorError } from '../../../common/operator_error.ts';
import type { DatabasePool } from './database_pool.ts';

/** Names of the connections of a collector. */
export const COLLECTOR_NAMES = {
  writer: 'imdswatch writer',
  dictionaries: 'imdswatch dictionaries',
  reader: 'imdswatch reader',
  admin: 'imdswatch admin',
  standby: 'imdswatch standby reader',
} as const;

/** The connections of a collector that has just ended are there for a moment longer. */
const PATIENCE_MS = 3_000;
const PAUSE_MS = 200;

/** Throws `OperatorError` while a collector is connected to the database. `place` names the database. */
export async function requireNoCollector(pool: DatabasePool, place: string): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const [found] = await pool.query<{ name: string; address: string; since: string; others: number }>(
      `SELECT application_name AS name, coalesce(host(client_addr), 'the same machine') AS address,
         to_char(backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS since, count(*) OVER () - 1 AS others
       FROM pg_stat_activity WHERE datname = current_database() AND application_name = ANY ($1)
       ORDER BY backend_start LIMIT 1`,
      [Object.values(COLLECTOR_NAMES)],
    );
    if (found === undefined) return;
    if (performance.now() > deadline) {
      const { name, address, since, others } = found;
      throw new OperatorError(
        1,
        `A collector uses ${place}: it is connected from ${address} since ${since} ("${name}" and ${others} more connections). Stop all its collectors first.`,
      );
    }
    await sleep(PAUSE_MS);
  }
}
