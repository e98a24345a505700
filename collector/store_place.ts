/** Opens the data of the collector where its settings say: the files of `data_dir`, or a PostgreSQL database. */
import type { Logger } from 'pino';
import { ADMIN, openAdmin } from './admin/admin_schema.ts';
import { SqliteAdminStore } from './admin/sqlite/sqlite_admin_store.ts';
import type { CollectorSettings } from './config.ts';
import type { StoreStorage } from './contract/storage.ts';
import type { OpenedAdmin, OpenedData, ReaderPlace, StoredFigures } from './opened_data.ts';
import type { OnSchemaChange, SchemaChange } from './store/schema_change.ts';
import { lockDataDir } from './store/sqlite/data_dir_lock.ts';
import { openForWriting, plannedChange } from './store/sqlite/database.ts';
import { FINDINGS } from './store/sqlite/findings_schema.ts';
import { FindingsWriter } from './store/sqlite/findings_writer.ts';
import { openStore, openStoreForReading } from './store/sqlite/sqlite_store.ts';
import type { StoreQueries } from './store/store.ts';

/** The settings that say where the data is. */
export type StorePlace = Pick<CollectorSettings, 'data_dir'> & { store?: string | undefined } & ReaderPlace;

const EMBEDDED: StoreStorage = {
  kind: 'embedded',
  copies: 1,
  survives_loss_of_machine: false,
  text: "An acknowledged batch is on the disk of the collector's machine. It is lost with that disk, unless a backup has it.",
  problem: null,
  reader: null,
};

/** Opens everything for a collector, and makes what is missing. Throws `OperatorError`. */
export async function openData(
  { data_dir: dataDir, store: database, ...readers }: StorePlace,
  helperPrograms: readonly string[],
  log: Logger,
): Promise<OpenedData> {
  const onSchemaChange: OnSchemaChange = (change) => log.info({ ...change }, changeText(change));
  if (database !== undefined) {
    return (await postgres()).openData(database, readers, helperPrograms, onSchemaChange, log);
  }
  const store = openStore(
    dataDir,
    (error) => log.error({ reason: error.message }, 'a thread of the store died and is started again'),
    [...helperPrograms],
    onSchemaChange,
  );
  try {
    const admin = openAdmin(dataDir, { onSchemaChange });
    return {
      store,
      reader: null,
      admin: new SqliteAdminStore(admin),
      place: dataDir,
      storage: async () => EMBEDDED,
      feed: null,
      isShared: false,
      closeAdmin: async () => admin.close(),
    };
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** Opens the findings for questions, while collectors go on writing. They must exist. Throws `OperatorError`. */
export async function openQuestions({ data_dir: dataDir, store }: StorePlace): Promise<StoreQueries> {
  return store === undefined ? openStoreForReading(dataDir) : (await postgres()).openQuestions(store);
}

/**
 * Opens the findings for the report of a command, which a standby may answer where the settings name one. Only questions
 * within a reading are asked of it. Throws `OperatorError`.
 */
export async function openReports(place: StorePlace): Promise<StoreQueries> {
  const { store, store_reader: reader } = place;
  if (store === undefined || reader === undefined) return openQuestions(place);
  return (await postgres()).openReports(store, place);
}

/**
 * Opens the admin data for a command, while collectors use it. `mustExist` is about files: a database must have its
 * tables in any case. Throws `OperatorError`.
 */
export async function openAdminData(
  { data_dir: dataDir, store }: StorePlace,
  { mustExist = true } = {},
): Promise<OpenedAdmin> {
  if (store !== undefined) return (await postgres()).openAdminData(store);
  const database = openAdmin(dataDir, { mustExist });
  return { admin: new SqliteAdminStore(database), close: async () => database.close() };
}

/** Stores figures of the cloud, while collectors go on writing. Throws `OperatorError`. */
export async function putCloudFigures(
  { data_dir: dataDir, store }: StorePlace,
  figures: StoredFigures,
): Promise<void> {
  if (store !== undefined) return (await postgres()).putCloudFigures(store, figures);
  const database = openForWriting(dataDir, FINDINGS);
  try {
    const writer = new FindingsWriter(database);
    writer.putCloudCounts(figures.counts);
    writer.putCloudInstances(figures.instances);
    writer.putCloudInventory(figures.inventory);
  } finally {
    database.close();
  }
}

/**
 * Returns what must change before this release can use the data: one entry for each schema, also where nothing must.
 * Throws `OperatorError`, also where the data was changed for a newer release.
 */
export async function plannedChanges({ data_dir: dataDir, store }: StorePlace): Promise<SchemaChange[]> {
  if (store !== undefined) return (await postgres()).plannedChanges(store);
  return [FINDINGS, ADMIN].map((schema) => plannedChange(dataDir, schema));
}

/** Brings all schemas up to date, and returns what was done. The files of `data_dir` must exist. Throws `OperatorError`. */
export async function changeSchemas(place: StorePlace): Promise<SchemaChange[]> {
  const { data_dir: dataDir, store } = place;
  if (store !== undefined) return (await postgres()).changeSchemas(store);
  const planned = await plannedChanges(place);
  const release = lockDataDir(dataDir);
  try {
    for (const schema of [FINDINGS, ADMIN]) openForWriting(dataDir, schema).close();
    return planned;
  } finally {
    release();
  }
}

function changeText({ from }: SchemaChange): string {
  return from === 0 ? 'made the tables of the store' : 'brought the schema of the store up to date';
}

/** The client of PostgreSQL is loaded only where it is used, so that the embedded store starts as fast without it. */
function postgres(): Promise<typeof import('./postgres_place.ts')> {
  return import('./postgres_place.ts');
}
