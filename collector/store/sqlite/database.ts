/** Opens a database file of the store: for the collector, which writes, or for a command that only reads. */
import { chmodSync, existsSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { OperatorError } from '../../../common/operator_error.ts';
import { VERSION } from '../../../common/version.ts';
import type { OnSchemaChange, SchemaChange } from '../schema_change.ts';
import { DiskFullError, isDiskFull } from './disk_full.ts';
import { allowShrinking } from './file_space.ts';

/**
 * One database file and the steps that make its schema. A step that was released never changes. The file's
 * `user_version` is the number of steps that it has been through.
 */
export interface Schema {
  /** `findings` or `admin`. */
  name: string;
  file: string;
  migrations: readonly Migration[];
}
/** SQL, or a function where SQL is not enough. Runs inside one transaction of all steps. */
export type Migration = string | ((database: DatabaseSync) => void);

/** Time that a statement waits for another process's write lock. */
const BUSY_TIMEOUT_MS = 5000;
/**
 * A thousand hosts change some 12 MiB in one transaction. A smaller cache would write them out and read them
 * back in the middle.
 */
const CACHE_KIB = 64 * 1024;
/**
 * Pages of the write-ahead log before they are moved into the database: 64 MiB. Batches of a thousand hosts
 * change the same pages again and again. With SQLite's default of 1,000 pages nearly every transaction wrote
 * all of its pages twice.
 */
const CHECKPOINT_PAGES = 16_384;
/** The log's file is cut to this size when its pages were moved into the database. */
const MAX_LOG_BYTES = 64 * 1024 * 1024;
/** Time that emptying the log may wait for readers. */
const CHECKPOINT_WAIT_MS = 200;

/**
 * Opens a database, creates it where it is missing, and brings its schema up to date. `onChange` is called where there was
 * something to do. Throws `OperatorError`.
 */
export function openForWriting(
  dataDir: string,
  schema: Schema,
  onChange: OnSchemaChange = () => {},
): DatabaseSync {
  const file = join(dataDir, schema.file);
  let database: DatabaseSync | null = null;
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    database = new DatabaseSync(file, { timeout: BUSY_TIMEOUT_MS });
    // The findings show which processes request credentials: no other user may read them.
    chmodSync(file, 0o600);
    allowShrinking(database);
    // An acknowledged batch must survive a power cut: with WAL only `synchronous=FULL` syncs at every commit
    // (https://www.sqlite.org/pragma.html#pragma_synchronous).
    database.exec(
      `PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -${CACHE_KIB}; PRAGMA temp_store = MEMORY; PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES}; PRAGMA journal_size_limit = ${MAX_LOG_BYTES};`,
    );
    const change = migrate(database, file, schema);
    if (change.from < change.to) onChange(change);
    return database;
  } catch (error) {
    database?.close();
    if (isDiskFull(error, dataDir)) throw new DiskFullError(file, dataDir, error);
    throw asOperatorError(error, file);
  }
}

/** Returns what `openForWriting` would do with the schema of an existing database. Throws `OperatorError`. */
export function plannedChange(dataDir: string, schema: Schema): SchemaChange {
  const database = openExisting(dataDir, schema);
  try {
    return changeFrom(schemaVersion(database), join(dataDir, schema.file), schema);
  } finally {
    database.close();
  }
}

/** Opens a database for reading, while the collector may go on writing. Throws `OperatorError`. */
export function openForReading(dataDir: string, schema: Schema): DatabaseSync {
  const database = openExisting(dataDir, schema);
  const version = schemaVersion(database);
  if (version === schema.migrations.length) return database;
  database.close();
  throw new OperatorError(
    1,
    `The store ${join(dataDir, schema.file)} has schema ${version} and this imdswatch reads schema ${schema.migrations.length}. Use the same release as its collector.`,
  );
}

function openExisting(dataDir: string, { file: name }: Schema): DatabaseSync {
  const file = join(dataDir, name);
  if (!existsSync(file)) {
    throw new OperatorError(
      1,
      `There is no store at ${file}. Start "imdswatch up" or "imdswatch collector" first, or name its directory with --data-dir.`,
    );
  }
  let database: DatabaseSync | null = null;
  try {
    database = new DatabaseSync(file, { readOnly: true, timeout: BUSY_TIMEOUT_MS });
    // A damaged file fails here, and not at the first question.
    schemaVersion(database);
    return database;
  } catch (error) {
    database?.close();
    throw asOperatorError(error, file);
  }
}

/** Returns the bytes of all pages in use, without free pages and without the write-ahead log. */
export function usedBytes(database: DatabaseSync): number {
  const pragma = (name: string) => Number(database.prepare(`PRAGMA ${name}`).get()![name]);
  return (pragma('page_count') - pragma('freelist_count')) * pragma('page_size');
}

/**
 * Moves the pages of the write-ahead log into the database and empties its file. The log stays as it is,
 * until the next call, where a long read prevents that.
 */
export function emptyLog(database: DatabaseSync): void {
  database.exec(`PRAGMA busy_timeout = ${CHECKPOINT_WAIT_MS}`);
  try {
    database.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get();
  } finally {
    database.exec(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
  }
}

/**
 * Returns the bytes on disk of the log of this database, and of the other databases of the directory with
 * their logs.
 */
export function bytesBeside(database: DatabaseSync): number {
  const file = database.location();
  if (file === null) return 0;
  return readdirSync(dirname(file))
    .filter((name) => /\.db(-wal|-shm)?$/.test(name) && name !== basename(file))
    .reduce(
      (sum, name) => sum + (statSync(join(dirname(file), name), { throwIfNoEntry: false })?.size ?? 0),
      0,
    );
}

function schemaVersion(database: DatabaseSync): number {
  return Number(database.prepare('PRAGMA user_version').get()?.['user_version']);
}

function migrate(database: DatabaseSync, file: string, schema: Schema): SchemaChange {
  // The lock is taken before the version is read. Of two processes that start at once, one migrates and the
  // other has nothing to do.
  database.exec('BEGIN IMMEDIATE');
  try {
    const change = changeFrom(schemaVersion(database), file, schema);
    for (const step of schema.migrations.slice(change.from)) {
      if (typeof step === 'string') database.exec(step);
      else step(database);
    }
    database.exec(`PRAGMA user_version = ${change.to}; COMMIT;`);
    return change;
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
}

/** No release uses a file that a newer one has changed: only one collector has it, and it is updated first. */
function changeFrom(version: number, file: string, { name, migrations }: Schema): SchemaChange {
  if (version > migrations.length) {
    throw new OperatorError(
      1,
      `The store ${file} was created by a newer imdswatch (schema ${version}; this one knows ${migrations.length}). Update imdswatch, or use another data_dir.`,
    );
  }
  return { schema: name, from: version, to: migrations.length, steps: [], oldestRelease: VERSION };
}

function asOperatorError(error: unknown, file: string): unknown {
  if (error instanceof OperatorError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const { code, errcode } = error as { code?: string; errcode?: number };
  const denied =
    code === 'EACCES' || code === 'EPERM' || errcode === SQLITE_READONLY || errcode === SQLITE_CANTOPEN;
  if (denied) {
    return new OperatorError(
      3,
      `The store ${file} cannot be opened: ${message}. Run as the user that owns it (or root), or set another data_dir.`,
      { cause: error },
    );
  }
  if (errcode === SQLITE_CORRUPT || errcode === SQLITE_NOTADB) {
    return new OperatorError(
      1,
      `The store ${file} is damaged: ${message}. Restore it from a backup, or move it away to begin a new one. Agents send the records again that they still have.`,
      { cause: error },
    );
  }
  return new OperatorError(1, `The store ${file} cannot be used: ${message}.`, { cause: error });
}

/** Result codes: https://www.sqlite.org/rescode.html */
const SQLITE_READONLY = 8;
const SQLITE_CORRUPT = 11;
const SQLITE_CANTOPEN = 14;
const SQLITE_NOTADB = 26;
