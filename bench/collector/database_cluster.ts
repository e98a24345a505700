/** Runs a PostgreSQL primary with quorum standbys on loopback, with a database for the collectors that are measured. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { KIND_CLASS } from '../../collector/store/sqlite/total_rows.ts';
import { untilReplayed } from '../../test/support/collector/store/standbys.ts';
import { NO_POSTGRES, PostgresServer } from '../../test/support/postgres.ts';
import { familyUsage } from './process_usage.ts';

/** Settings of a small production server. Each commit reaches the disk, unlike in tests. */
const SETTINGS = [
  'fsync = on',
  'shared_buffers = 1GB',
  'max_wal_size = 4GB',
  'min_wal_size = 3GB',
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
  /** Memory of the primary with its buffers. */
  primaryBytes: number;
  /** All standbys together. */
  standbySeconds: number;
  walBytes: number;
  /** Tables and indexes of the collectors' database. */
  diskBytes: number;
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

  /**
   * `standbys`: one of them must confirm each commit. `listsStatements`: `statements` will be called. `logFiles`: files of the
   * log, of 16 MB each, that the servers have as if they had run for some time.
   */
  static async start(standbys: number, listsStatements: boolean, logFiles = 0): Promise<DatabaseCluster> {
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
      if (logFiles > 0) await makeLogFiles(servers, logFiles);
      return new DatabaseCluster(primary, servers.slice(1));
    } catch (error) {
      await Promise.all(servers.map((server) => server.close()));
      throw error;
    }
  }

  async usage(): Promise<ClusterUsage> {
    const [row] = await this.#primary.query(
      DATABASE,
      `SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8 AS bytes,
         pg_database_size(current_database())::float8 AS disk`,
    );
    const primary = usageOf(this.#primary);
    return {
      primarySeconds: primary.cpuSeconds,
      primaryBytes: primary.residentBytes,
      standbySeconds: this.#standbys.reduce((sum, server) => sum + usageOf(server).cpuSeconds, 0),
      walBytes: row!['bytes'] as number,
      diskBytes: row!['disk'] as number,
    };
  }

  /**
   * Returns the calls that are stored, and those that the sums by hour have counted, which must be equal: all calls of
   * simulated agents are without a token. `rolledUp`: those of the roll-ups, which have one.
   */
  async stored(): Promise<{ calls: number; counted: number; rolledUp: number }> {
    const [row] = await this.#primary.query(
      DATABASE,
      `SELECT (SELECT count(*) FROM calls)::float8 AS calls,
         coalesce(sum(count) FILTER (WHERE class = ${KIND_CLASS.v1}), 0)::float8 AS counted,
         coalesce(sum(count) FILTER (WHERE class = ${KIND_CLASS.v2}), 0)::float8 AS rolled_up FROM hourly`,
    );
    return {
      calls: row!['calls'] as number,
      counted: row!['counted'] as number,
      rolledUp: row!['rolled_up'] as number,
    };
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

/**
 * Makes the files of the write-ahead log that servers have when they have run for some time. A new server fills each file
 * with zeros and syncs it while transactions wait, until the first checkpoints give it used ones (PostgreSQL 15
 * documentation, 30.5 "WAL Configuration").
 */
async function makeLogFiles(servers: readonly PostgresServer[], files: number): Promise<void> {
  const [primary, ...standbys] = servers as [PostgresServer, ...PostgresServer[]];
  const next = "SELECT pg_logical_emit_message(false, 'imdswatch', ''), pg_switch_wal()";
  for (let made = 0; made < files; made += 1) await primary.query('postgres', next);
  // A checkpoint reuses files, also those that a standby lacks.
  for (const standby of standbys) await untilReplayed(primary, standby);
  await primary.query('postgres', 'CHECKPOINT');
  for (const standby of standbys) {
    await untilReplayed(primary, standby);
    await standby.query('postgres', 'CHECKPOINT');
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

/** Adds up the server's processes that run now. Those of connections last as long as these. */
function usageOf(server: PostgresServer): { cpuSeconds: number; residentBytes: number } {
  return familyUsage(Number(readFileSync(join(server.directory, 'server.pid'), 'utf8')));
}
