/**
 * The embedded store: one SQLite file in WAL mode, written by one collector and readable by any process
 * beside it.
 */
import { join } from 'node:path';
import type { OnSchemaChange } from '../schema_change.ts';
import type { Store, StoreQueries } from '../store.ts';
import { lockDataDir } from './data_dir_lock.ts';
import { openForReading, openForWriting } from './database.ts';
import { canShrink, rewriteToShrink } from './file_space.ts';
import { FindingsReader } from './findings_reader.ts';
import { FINDINGS } from './findings_schema.ts';
import { ThreadedStore } from './threaded_store.ts';

/**
 * Opens the store of a collector, creates or migrates it, and starts its threads. Throws `OperatorError`.
 * `threadLost` is called when a thread died; the thread is started again.
 */
export function openStore(
  dataDir: string,
  threadLost: (error: Error) => void = () => {},
  /** Names of programs that are not the workload, besides the built-in ones. */
  helperPrograms: readonly string[] = [],
  onSchemaChange?: OnSchemaChange,
): Store {
  const release = lockDataDir(dataDir);
  try {
    // The schema is checked here and not in the threads, so that a problem is an error of the start.
    const database = openForWriting(dataDir, FINDINGS, onSchemaChange);
    if (canShrink(database)) database.close();
    else rewriteToShrink(database, join(dataDir, FINDINGS.file));
    return new ThreadedStore({ dataDir, helperPrograms, threadLost, release });
  } catch (error) {
    release();
    throw error;
  }
}

/** Opens the store for questions, while a collector may go on writing. Throws `OperatorError`. */
export function openStoreForReading(dataDir: string): StoreQueries {
  return new FindingsReader(openForReading(dataDir, FINDINGS));
}
