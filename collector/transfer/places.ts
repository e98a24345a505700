/** Opens the stores of a copy or a check where they are: in a directory, or in a PostgreSQL database. */
import { isDatabaseUrl } from '../store/postgres/database_url.ts';
import type { CopyTarget, OpenedStore } from './opened_store.ts';
import { SqliteSource } from './sqlite_source.ts';
import { finishPublishing, SqliteTarget } from './sqlite_target.ts';

/** The address of a PostgreSQL database, or the `data_dir` of an embedded store. */
export type Place = { database: string } | { dataDir: string };

/** Returns the place that a setting names. */
export function placeOf(text: string): Place {
  return isDatabaseUrl(text) ? { database: text } : { dataDir: text };
}

export async function openSource(place: Place): Promise<OpenedStore> {
  if ('dataDir' in place) return new SqliteSource(place.dataDir);
  return (await import('./postgres_source.ts')).PostgresSource.open(place.database);
}

export async function openTarget(place: Place, source: OpenedStore): Promise<CopyTarget> {
  if ('dataDir' in place) return SqliteTarget.open(place.dataDir, source.place);
  return (await import('./postgres_target.ts')).PostgresTarget.open(place.database, source.place);
}

/** Puts a store in place that an earlier run had copied and proven, and returns true where there was one. */
export function finishEarlierRun(place: Place): boolean {
  return 'dataDir' in place && finishPublishing(place.dataDir);
}
