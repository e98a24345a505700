/** Opens the data of the collector in a PostgreSQL database. Only `store_place.ts` loads this file. */

import type { Logger } from 'pino';
import { PostgresAdminStore } from './admin/postgres/postgres_admin_store.ts';
import { POSTGRES_ADMIN } from './admin/postgres/postgres_schema.ts';
import type { Storage } from './contract/storage.ts';
import { LIVE_SCHEMA } from './live/postgres/feed_schema.ts';
import { hearsNotifications, NOT_HEARD } from './live/postgres/notifications.ts';
import { PostgresRelay } from './live/postgres/postgres_relay.ts';
import type { OpenedAdmin, OpenedData, StoredFigures } from './opened_data.ts';
import { COLLECTOR_NAMES } from './store/postgres/connected_collectors.ts';
import { DatabasePool } from './store/postgres/database_pool.ts';
import { describeAddress, parseDatabaseUrl } from './store/postgres/database_url.ts';
import type { Durability } from './store/postgres/durability.ts';
import { readDurability } from './store/postgres/durability.ts';
import { FINDINGS_SCHEMA } from './store/postgres/findings_schema.ts';
import { PostgresReader } from './store/postgres/postgres_reader.ts';
import { PostgresStore } from './store/postgres/postgres_store.ts';
import { migrate, plannedChange, requireSchema } from './store/postgres/schema_steps.ts';
import type { OnSchemaChange, SchemaChange } from './store/schema_change.ts';
import type { StoreQueries } from './store/store.ts';

/** Connections for the admin data: sessions, tokens, alerts and plans, each for a moment. */
const ADMIN_CONNECTIONS = 4;
const COMMAND_CONNECTIONS = 4;

export async function openData(
  url: string,
  helperPrograms: readonly string[],
  onSchemaChange: OnSchemaChange,
  log: Logger,
): Promise<OpenedData> {
  const address = parseDatabaseUrl(url);
  const store = await PostgresStore.open(address, { helperPrograms, onSchemaChange });
  const pool = new DatabasePool(address, { max: ADMIN_CONNECTIONS, applicationName: COLLECTOR_NAMES.admin });
  try {
    const admin = await PostgresAdminStore.open(pool, onSchemaChange);
    return {
      store,
      admin,
      feed: await PostgresRelay.open(address, { log, onSchemaChange }),
      place: describeAddress(address),
      storage: async () => storageOf(await store.durability()),
      isShared: true,
      closeAdmin: () => pool.close(),
    };
  } catch (error) {
    await pool.close();
    await store.close();
    throw error;
  }
}

export async function openQuestions(url: string): Promise<StoreQueries> {
  const pool = commandPool(url);
  try {
    await requireSchema(pool, FINDINGS_SCHEMA);
  } catch (error) {
    await pool.close();
    throw error;
  }
  return new CommandReader(pool);
}

class CommandReader extends PostgresReader implements StoreQueries {
  readonly #connections: DatabasePool;

  constructor(pool: DatabasePool) {
    super(pool);
    this.#connections = pool;
  }

  close(): Promise<void> {
    return this.#connections.close();
  }
}

export async function openAdminData(url: string): Promise<OpenedAdmin> {
  const pool = commandPool(url);
  try {
    await requireSchema(pool, POSTGRES_ADMIN);
    return { admin: await PostgresAdminStore.open(pool), close: () => pool.close() };
  } catch (error) {
    await pool.close();
    throw error;
  }
}

export async function putCloudFigures(
  url: string,
  { counts, instances, inventory }: StoredFigures,
): Promise<void> {
  // A command never makes the tables, as it never makes the files of the embedded store.
  const questions = await openQuestions(url);
  await questions.close();
  const store = await PostgresStore.open(parseDatabaseUrl(url));
  try {
    await store.putCloudCounts(counts);
    await store.putCloudInstances(instances);
    await store.putCloudInventory(inventory);
  } finally {
    await store.close();
  }
}

/** Asks a database without changing it. Throws `OperatorError` where a collector could not use it. */
export async function checkDatabase(
  url: string,
): Promise<{ place: string; version: string; durability: Durability; notificationProblem: string | null }> {
  const pool = commandPool(url);
  try {
    const [row] = await pool.query<{ version: string }>(
      `SELECT current_setting('server_version') AS version`,
    );
    await requireSchema(pool, FINDINGS_SCHEMA);
    await requireSchema(pool, POSTGRES_ADMIN);
    const durability = await pool.session(readDurability);
    const notificationProblem = (await hearsNotifications(pool, pool)) ? null : NOT_HEARD;
    return { place: pool.place!, version: row!.version, durability, notificationProblem };
  } finally {
    await pool.close();
  }
}

const SCHEMAS = [FINDINGS_SCHEMA, POSTGRES_ADMIN, LIVE_SCHEMA];

export function plannedChanges(url: string): Promise<SchemaChange[]> {
  return withCommandPool(url, (pool) => changesOf(pool));
}

export function changeSchemas(url: string): Promise<SchemaChange[]> {
  return withCommandPool(url, async (pool) => {
    const planned = await changesOf(pool);
    for (const schema of SCHEMAS) await migrate(pool, schema);
    return planned;
  });
}

async function changesOf(pool: DatabasePool): Promise<SchemaChange[]> {
  const changes: SchemaChange[] = [];
  for (const schema of SCHEMAS) changes.push(await plannedChange(pool, schema));
  return changes;
}

async function withCommandPool<T>(url: string, work: (pool: DatabasePool) => Promise<T>): Promise<T> {
  const pool = commandPool(url);
  try {
    return await work(pool);
  } finally {
    await pool.close();
  }
}

function commandPool(url: string): DatabasePool {
  return new DatabasePool(parseDatabaseUrl(url), {
    max: COMMAND_CONNECTIONS,
    applicationName: 'imdswatch command',
  });
}

function storageOf({ copies, isSafe, text }: Durability): Storage {
  return { kind: 'postgresql', copies, survives_loss_of_machine: isSafe, text };
}
