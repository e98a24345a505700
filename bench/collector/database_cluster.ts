/** Runs a PostgreSQL primary with quorum standbys on loopback, with a database for the collectors that are measured. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { NO_POSTGRES, PostgresServer } from '../../test/support/postgres.ts';

/** Settings of a small production server. Each commit reaches the disk, unlike in tests. */
const SETTINGS = [
  'fsync = on',
  'shared_buffers = 1GB',
  'max_wal_size = 4GB',
  'min_wal_size = 1GB',
  'checkpoint_timeout = 5min',
  'wal_compression = lz4',
  'max_connections = 200',
];
const DATABASE = 'imdswatch';
const CATCH_UP_MS = 30_000;

/** One statement, by its share of the server's time. */
export interface StatementCost {
  calls: number;
  total_ms: number;
  rows: number;
  wal_bytes: number;
  query: string;
}

export interface ClusterUsage {
  primarySeconds: number;
  /** All standbys together. */
  standbySeconds: number;
  walBytes: number;
}

export class DatabaseCluster {
  readonly url: string;
  readonly #primary: PostgresServer;
  readonly #standbys: readonly PostgresServer[];

  private constructor(primary: PostgresServer, standbys: readonly PostgresServer[]) {
    this.#primary = primary;
    this.#standbys = standbys;
    this.url = primary.url(DATABASE);
  }

  /** `standbys`: one of them must confirm each commit. `listsStatements`: `statements` will be called. */
  static async start(standbys: number, listsStatements: boolean): Promise<DatabaseCluster> {
    if (NO_POSTGRES !== false) throw new Error(NO_POSTGRES);
    const library = listsStatements ? [`shared_preload_libraries = 'pg_stat_statements'`] : [];
    const servers = [await PostgresServer.start({ tcp: true, settings: [...SETTINGS, ...library] })];
    const [primary] = servers as [PostgresServer];
    try {
      const names = Array.from({ length: standbys }, (_, index) => `standby_${index + 1}`);
      for (const name of names) servers.push(await PostgresServer.startStandby(primary, name));
      await primary.query('postgres', `CREATE DATABASE ${DATABASE} ENCODING 'UTF8' TEMPLATE template0`);
      if (listsStatements) await primary.query(DATABASE, 'CREATE EXTENSION pg_stat_statements');
      if (standbys > 0) {
        await primary.query(
          'postgres',
          `ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (${names.join(', ')})'`,
        );
        await primary.query('postgres', 'SELECT pg_reload_conf()');
        await untilQuorum(primary, standbys);
      }
      return new DatabaseCluster(primary, servers.slice(1));
    } catch (error) {
      await Promise.all(servers.map((server) => server.close()));
      throw error;
    }
  }

  async usage(): Promise<ClusterUsage> {
    const [row] = await this.#primary.query(
      DATABASE,
      `SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8 AS bytes`,
    );
    return {
      primarySeconds: secondsOf(this.#primary),
      standbySeconds: this.#standbys.reduce((sum, server) => sum + secondsOf(server), 0),
      walBytes: row!['bytes'] as number,
    };
  }

  /** Returns the calls that are stored, and the sums by hour, which must be equal. */
  async stored(): Promise<{ calls: number; counted: number }> {
    const [row] = await this.#primary.query(
      DATABASE,
      `SELECT (SELECT count(*) FROM calls)::float8 AS calls,
         (SELECT coalesce(sum(count), 0) FROM hourly WHERE class <> 0)::float8 AS counted`,
    );
    return { calls: row!['calls'] as number, counted: row!['counted'] as number };
  }

  async forgetStatements(): Promise<void> {
    await this.#primary.query(DATABASE, 'SELECT pg_stat_statements_reset()');
  }

  /** Returns the most expensive statements since `forgetStatements`. */
  async statements(): Promise<StatementCost[]> {
    const rows = await this.#primary.query(
      DATABASE,
      `SELECT calls::float8, total_exec_time + total_plan_time AS total_ms, rows::float8, wal_bytes::float8, query
       FROM pg_stat_statements ORDER BY total_exec_time + total_plan_time DESC LIMIT 60`,
    );
    return rows as unknown as StatementCost[];
  }

  async close(): Promise<void> {
    await this.#primary.stop();
    await Promise.all([this.#primary, ...this.#standbys].map((server) => server.close()));
  }
}

async function untilQuorum(primary: PostgresServer, standbys: number): Promise<void> {
  const deadline = performance.now() + CATCH_UP_MS;
  for (;;) {
    const rows = await primary.query(
      'postgres',
      `SELECT 1 FROM pg_stat_replication WHERE sync_state = 'quorum'`,
    );
    if (rows.length === standbys) return;
    if (performance.now() > deadline) throw new Error('The standbys do not follow the primary.');
    await sleep(100);
  }
}

/** Returns the processor time of a server's processes that run now. Those of connections last as long as these. */
function secondsOf(server: PostgresServer): number {
  const parent = readFileSync(join(server.directory, 'server.pid'), 'utf8').trim();
  const children = readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8').split(' ');
  let seconds = 0;
  for (const pid of [parent, ...children].filter((each) => each !== '')) {
    try {
      // First field of schedstat: nanoseconds on a processor.
      seconds += Number(readFileSync(`/proc/${pid}/schedstat`, 'latin1').split(' ')[0]) / 1e9;
    } catch {
      // It has ended meanwhile.
    }
  }
  return seconds;
}
