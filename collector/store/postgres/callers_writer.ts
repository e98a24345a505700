/** Stores processes. They belong to one host, and are looked up by their hash. */
import { CALLER_TIME_US } from '../sqlite/callers.ts';
import { type Column, hexOf, insertRows, transposed, unnested, type Value } from './bulk.ts';
import type { Session } from './database_pool.ts';
import { StoredCallersError } from './retries.ts';
import type { WorkingSet } from './working_set.ts';
import { CALLERS } from './working_tables.ts';

/** Returns the rows of processes that a set has and that are not stored. */
export function newCallersOf(set: WorkingSet): Value[][] {
  const ids = set.ids('callers');
  return set.changes(CALLERS).rows.filter((row) => !ids.hasStored(row[0] as number));
}

/** Inserts new processes. Throws `StoredCallersError` where one is stored already: it must be loaded. */
export async function insertCallers(
  session: Session,
  set: WorkingSet,
  added: readonly Value[][],
): Promise<void> {
  if (added.length === 0) return;
  const { others } = CALLERS;
  const rows = set.toStored(
    'callers',
    others,
    added.map((row) => row.slice(1)),
  );
  const names = others.map(([name]) => name).join(', ');
  const stored = await session.query<{ id: number; hash: Buffer }>(
    `INSERT INTO callers (${names}) SELECT ${names} FROM ${unnested(others)} ORDER BY hash
     ON CONFLICT (hash) DO NOTHING RETURNING id, hash`,
    transposed(others, rows),
  );
  if (stored.length < added.length) throw new StoredCallersError(added.map((row) => row[1] as Buffer));
  const localOf = new Map(added.map((row) => [hexOf(row[1]!), row[0] as number]));
  for (const { id, hash } of stored) set.ids('callers').set(localOf.get(hexOf(hash))!, id);
}

/** Stores the facts of new processes. */
export async function storeFacts(session: Session, set: WorkingSet): Promise<void> {
  const columns: Column[] = [
    ['caller', 'bigint'],
    ['facts', 'text'],
  ];
  const facts = set.toStored('caller_facts', columns, set.rows('SELECT caller, facts FROM caller_facts'));
  await insertRows(session, 'caller_facts', columns, ['caller'], facts, '(caller) DO NOTHING');
}

/** Stores the times of processes. `newCallers`: numbers in the set of those that were inserted with their times. */
export async function touchCallers(
  session: Session,
  set: WorkingSet,
  newCallers: ReadonlySet<number>,
): Promise<void> {
  const ids = set.ids('callers');
  const at = CALLERS.others.findIndex(([name]) => name === 'last_us') + 1;
  const rows = set.changes(CALLERS).rows.filter((row) => !newCallers.has(row[0] as number));
  const columns: Column[] = [
    ['id', 'bigint'],
    ['last_us', 'bigint'],
  ];
  const touched = rows.map((row) => [ids.storedOf(row[0] as number), row[at]!]);
  if (touched.length === 0) return;
  await session.execute(
    `UPDATE callers SET last_us = v.last_us FROM ${unnested(columns)}
     WHERE callers.id = v.id AND callers.last_us / ${CALLER_TIME_US} < v.last_us / ${CALLER_TIME_US}`,
    transposed(columns, touched),
  );
}
