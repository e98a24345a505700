/** Opens the admin data on each kind of database, so that the same tests run on all of them. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe } from 'node:test';
import { openAdmin } from '../../../../collector/admin/admin_schema.ts';
import type { AdminStore } from '../../../../collector/admin/admin_store.ts';
import { PostgresAdminStore } from '../../../../collector/admin/postgres/postgres_admin_store.ts';
import { SqliteAdminStore } from '../../../../collector/admin/sqlite/sqlite_admin_store.ts';
import { DatabasePool, type PoolOptions } from '../../../../collector/store/postgres/database_pool.ts';
import { parseDatabaseUrl } from '../../../../collector/store/postgres/database_url.ts';
import { NO_POSTGRES, PostgresServer } from '../../postgres.ts';

/** Bounds that a busy machine does not reach. */
export const PATIENT: Partial<PoolOptions> = {
  statementMs: 120_000,
  lockMs: 120_000,
  idleInTransactionMs: 120_000,
  connectMs: 60_000,
};

/** The admin data of one test. */
export interface AdminData {
  /** Opens it as another process does, and more than once. */
  open(): Promise<AdminStore>;
}

/** Describes what holds for every kind of database. `create` makes empty admin data, and deletes it after the tests. */
export function onEachAdminStore(name: string, tests: (create: () => Promise<AdminData>) => void): void {
  describe(`${name}, on SQLite`, () => {
    const endings: (() => void)[] = [];
    after(() => {
      for (const end of endings.reverse()) end();
    });
    tests(async () => {
      const directory = mkdtempSync(join(tmpdir(), 'imdswatch-admin-'));
      endings.push(() => rmSync(directory, { recursive: true }));
      return {
        open: async () => {
          const database = openAdmin(directory);
          endings.push(() => database.close());
          return new SqliteAdminStore(database);
        },
      };
    });
  });
  onPostgres(name, tests);
}

/** Describes what holds for PostgreSQL, on one server for all tests. */
export function onPostgres(
  name: string,
  tests: (create: (options?: Partial<PoolOptions>) => Promise<PostgresAdminData>) => void,
): void {
  describe(`${name}, on PostgreSQL`, { skip: NO_POSTGRES }, () => {
    let server: PostgresServer;
    const pools: DatabasePool[] = [];
    before(async () => {
      server = await PostgresServer.start();
    });
    after(async () => {
      await Promise.all(pools.map((pool) => pool.close()));
      await server?.close();
    });
    tests(async (options = {}) => {
      const url = await server.createDatabase();
      const pool = () => {
        const made = new DatabasePool(parseDatabaseUrl(url), { ...PATIENT, max: 4, ...options });
        pools.push(made);
        return made;
      };
      const statements = pool();
      return {
        open: () => PostgresAdminStore.open(pool()),
        query: (sql, values = []) => statements.query(sql, values),
      };
    });
  });
}

export interface PostgresAdminData extends AdminData {
  /** Runs a statement beside the stores. */
  query(sql: string, values?: unknown[]): Promise<Record<string, unknown>[]>;
}
