/** A PostgreSQL server with a standby that follows it by streaming, for tests. */
import { PostgresServer } from '../../postgres.ts';
import { eventually } from '../stored.ts';

export class ServerPair {
  readonly primary: PostgresServer;
  readonly standby: PostgresServer;

  private constructor(primary: PostgresServer, standby: PostgresServer) {
    this.primary = primary;
    this.standby = standby;
  }

  static async start(): Promise<ServerPair> {
    const primary = await PostgresServer.start();
    try {
      return new ServerPair(primary, await PostgresServer.startStandby(primary, 'reader'));
    } catch (error) {
      await primary.close();
      throw error;
    }
  }

  /** Keeps the standby from replaying what it receives. */
  async pause(): Promise<void> {
    await this.standby.query('postgres', 'SELECT pg_wal_replay_pause()');
    await eventually('the replay is paused', async () => {
      const [row] = await this.standby.query('postgres', 'SELECT pg_get_wal_replay_pause_state() AS state');
      return row!['state'] === 'paused';
    });
  }

  async resume(): Promise<void> {
    await this.standby.query('postgres', 'SELECT pg_wal_replay_resume()');
  }

  /** Waits until the standby has everything that the primary has now. */
  async caughtUp(): Promise<void> {
    await untilReplayed(this.primary, this.standby);
  }

  async close(): Promise<void> {
    await this.standby.close();
    await this.primary.close();
  }
}

/** Resolves when a standby has replayed everything that the primary has now. */
export async function untilReplayed(primary: PostgresServer, standby: PostgresServer): Promise<void> {
  const [row] = await primary.query('postgres', 'SELECT pg_current_wal_lsn()::text AS position');
  await eventually('the standby has replayed', async () => {
    const sql = 'SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn AS has';
    const [found] = await standby.query('postgres', sql, [row!['position']]);
    return found!['has'] === true;
  });
}

/** Returns the name of the database in an address of `PostgresServer.createDatabase`. */
export function databaseOf(url: string): string {
  return /\/(test_\d+)\?/.exec(url)![1]!;
}
