/** Opens the data of the collector in a PostgreSQL database. Only `store_place.ts` loads this file. */

import type { Logger } from 'pino';
import { isClockRight } from './admin/lease.ts';
import { Leases } from './admin/leases.ts';
import { PostgresAdminStore } from './admin/postgres/postgres_admin_store.ts';
import { POSTGRES_ADMIN } from './admin/postgres/postgres_schema.ts';
import { PostgresSql } from './admin/postgres/postgres_sql.ts';
import type { StoreReader, StoreStorage } from './contract/storage.ts';
import { LIVE_SCHEMA } from './live/postgres/feed_schema.ts';
import { hearsNotifications, NOT_HEARD } from './live/postgres/notifications.ts';
import { PostgresRelay } from './live/postgres/postgres_relay.ts';
import type { OpenedAdmin, OpenedData, OpenedReader, ReaderPlace, StoredFigures } from './opened_data.ts';
import { COLLECTOR_NAMES } from './store/postgres/connected_collectors.ts';
import { hasNoRoom, sqlState } from './store/postgres/database_errors.ts';
import { DatabasePool } from './store/postgres/database_pool.ts';
import { describeAddress, parseDatabaseUrl } from './store/postgres/database_url.ts';
import type { Durability } from './store/postgres/durability.ts';
import { readDurability } from './store/postgres/durability.ts';
import { FINDINGS_SCHEMA } from './store/postgres/findings_schema.ts';
import { PostgresReader } from './store/postgres/postgres_reader.ts';
import { PostgresStore, READERS } from './store/postgres/postgres_store.ts';
import { migrate, plannedChange, requireSchema } from './store/postgres/schema_steps.ts';
import { type ReaderState, StandbyReader } from './store/postgres/standby_reader.ts';
import { READER_SCHEMA } from './store/postgres/timeline_marks.ts';
import { PrimaryViews, type Views } from './store/postgres/views.ts';
import type { OnSchemaChange, SchemaChange } from './store/schema_change.ts';
import type { StoreQueries } from './store/store.ts';
import { toTimestamp } from './store/time.ts';

/** Connections for the admin data: sessions, tokens, alerts and plans, each for a moment. */
const ADMIN_CONNECTIONS = 4;
const COMMAND_CONNECTIONS = 4;
const COMMAND_NAME = 'imdswatch command';

/** The default of the setting, for callers that have no settings of a collector. */
const MAX_LAG_SECONDS = 60;

export async function openData(
  url: string,
  readers: ReaderPlace,
  helperPrograms: readonly string[],
  onSchemaChange: OnSchemaChange,
  log: Logger,
): Promise<OpenedData> {
  const address = parseDatabaseUrl(url);
  const store = await PostgresStore.open(address, { helperPrograms, onSchemaChange });
  const pool = new DatabasePool(address, { max: ADMIN_CONNECTIONS, applicationName: COLLECTOR_NAMES.admin });
  let reader: OpenedReader | null = null;
  try {
    const admin = await PostgresAdminStore.open(pool, onSchemaChange);
    if (readers.store_reader !== undefined) {
      await migrate(pool, READER_SCHEMA, onSchemaChange);
      reader = await openReader(store.views, url, readers, { log });
    }
    const state = reader === null ? () => null : reader.state.bind(reader);
    return {
      store,
      reader,
      admin,
      feed: await PostgresRelay.open(address, { log, onSchemaChange }),
      place: describeAddress(address),
      storage: async () => storageOf(await store.durability(), store.problem(), state()),
      isShared: true,
      closeAdmin: () => pool.close(),
    };
  } catch (error) {
    await reader?.close();
    await pool.close();
    await store.close();
    throw error;
  }
}

/** `log` null: a command asks, which changes nothing. `onClose` closes what the views use. */
function openReader(
  views: Views,
  url: string,
  { store_reader: standbys, store_reader_max_lag_seconds: maxLagSeconds = MAX_LAG_SECONDS }: ReaderPlace,
  { log, onClose = async () => {} }: { log: Logger | null; onClose?: () => Promise<void> },
): Promise<StandbyReader> {
  return StandbyReader.open(views, {
    primary: parseDatabaseUrl(url),
    standbys: parseDatabaseUrl(standbys!),
    maxLagSeconds,
    readers: log === null ? COMMAND_CONNECTIONS : READERS,
    applicationName: log === null ? COMMAND_NAME : COLLECTOR_NAMES.standby,
    makesMarks: log !== null,
    log,
    onClose,
  });
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

/** Opens the findings for a command whose answers may come from a standby. */
export async function openReports(url: string, readers: ReaderPlace): Promise<StoreQueries> {
  const pool = commandPool(url);
  try {
    await requireSchema(pool, FINDINGS_SCHEMA);
    return await openReader(new PrimaryViews(pool), url, readers, { log: null, onClose: () => pool.close() });
  } catch (error) {
    await pool.close();
    throw error;
  }
}

class CommandReader extends PostgresReader implements StoreQueries {
  readonly #connections: DatabasePool;

  constructor(pool: DatabasePool) {
    super(new PrimaryViews(pool));
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
  readers: ReaderPlace,
): Promise<{
  place: string;
  version: string;
  durability: Durability;
  room: CheckedRoom;
  clock: { aheadSeconds: number; isRight: boolean };
  notificationProblem: string | null;
  standbys: { place: string; problem: string | null; lagSeconds: number | null }[];
}> {
  const pool = commandPool(url);
  try {
    const [row] = await pool.query<{ version: string }>(
      `SELECT current_setting('server_version') AS version`,
    );
    await requireSchema(pool, FINDINGS_SCHEMA);
    await requireSchema(pool, POSTGRES_ADMIN);
    const durability = await pool.session(readDurability);
    const room = await checkRoom(pool);
    const aheadMs = (await new Leases(new PostgresSql(pool)).clockAheadMs(Date.now))!;
    const notificationProblem = (await hearsNotifications(pool, pool)) ? null : NOT_HEARD;
    const standbys = readers.store_reader === undefined ? [] : await checkStandbys(pool, url, readers);
    return {
      place: pool.place!,
      version: row!.version,
      durability,
      room,
      clock: { aheadSeconds: aheadMs / 1000, isRight: isClockRight(aheadMs) },
      notificationProblem,
      standbys,
    };
  } finally {
    await pool.close();
  }
}

/** The finding about the disk of the database. `problem`: why the server refused some megabytes. */
interface CheckedRoom {
  isChecked: boolean;
  problem: string | null;
}

/** The database must have room for so much, or a batch may find none. */
const LEAST_ROOM_BYTES = 4 * 1024 * 1024;

/**
 * Writes some megabytes into a temporary table, which nobody sees, on the disk where the tables of the database are by
 * default.
 */
async function checkRoom(pool: DatabasePool): Promise<CheckedRoom> {
  try {
    await pool.transaction(async (session) => {
      await session.query('CREATE TEMPORARY TABLE imdswatch_room (text text) ON COMMIT DROP');
      // Compressed, the rows would take hardly any room.
      await session.query('ALTER TABLE imdswatch_room ALTER COLUMN text SET STORAGE PLAIN');
      await session.query(
        `INSERT INTO imdswatch_room SELECT repeat('x', 8000) FROM generate_series(1, ${Math.ceil(LEAST_ROOM_BYTES / 8000)})`,
      );
    });
    return { isChecked: true, problem: null };
  } catch (error) {
    if (hasNoRoom(error)) return { isChecked: true, problem: (error as Error).message };
    // insufficient_privilege: the user may not make temporary tables.
    if (sqlState(error) === '42501') return { isChecked: false, problem: null };
    throw error;
  }
}

async function checkStandbys(pool: DatabasePool, url: string, readers: ReaderPlace) {
  const reader = await openReader(new PrimaryViews(pool), url, readers, { log: null });
  try {
    const nowUs = Date.now() * 1000;
    return reader.state().standbys.map(({ place, problem, asOfUs }) => ({
      place,
      problem: problem?.text ?? null,
      lagSeconds: asOfUs === null ? null : lagSeconds(asOfUs, nowUs),
    }));
  } finally {
    await reader.close();
  }
}

const SCHEMAS = [FINDINGS_SCHEMA, POSTGRES_ADMIN, LIVE_SCHEMA, READER_SCHEMA];

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
    applicationName: COMMAND_NAME,
  });
}

function storageOf(
  { copies, isSafe, text }: Durability,
  problem: string | null,
  reader: ReaderState | null,
): StoreStorage {
  return {
    kind: 'postgresql',
    copies,
    survives_loss_of_machine: isSafe,
    text,
    problem,
    reader: reader === null ? null : storeReaderOf(reader, Date.now() * 1000),
  };
}

function storeReaderOf(
  { standbys, maxLagSeconds, answered, byPrimary }: ReaderState,
  nowUs: number,
): StoreReader {
  return {
    max_lag_seconds: maxLagSeconds,
    standbys: standbys.map(({ place, asOfUs, problem }) => {
      const lag = asOfUs === null ? null : lagSeconds(asOfUs, nowUs);
      return {
        place,
        problem: problem?.reason ?? null,
        as_of: asOfUs === null ? null : toTimestamp(asOfUs),
        lag_seconds: lag,
        text:
          problem === null
            ? `The standby ${place} answers questions. Its data is ${lag} s old.`
            : `The standby ${place} answers no questions: ${problem.text}.`,
      };
    }),
    answered,
    answered_by_primary: byPrimary,
  };
}

function lagSeconds(asOfUs: number, nowUs: number): number {
  return Math.max(0, Math.floor((nowUs - asOfUs) / 1e6));
}
