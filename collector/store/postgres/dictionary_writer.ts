/**
 * Stores new rows of dictionaries in a short transaction of their own, before the one that refers to them. Collectors
 * that see the same new value at the same time wait for each other for as long as this takes, and not until their records
 * are durable.
 *
 * The transaction does not wait for the disk or a standby. The one that refers to its rows commits later, and whatever
 * has that commit has this one too.
 */
import { hash } from 'node:crypto';
import { IDENTITIES_LOCK } from './advisory_locks.ts';
import { type Column, transposed, unnested, type Value } from './bulk.ts';
import type { DatabasePool, Session } from './database_pool.ts';
import type { WorkingSet } from './working_set.ts';
import { DICTIONARIES, type DictionaryTable } from './working_tables.ts';

/** Times of dictionary rows are stored when they grew by so much. Retention keeps unused rows for a day. */
const TOUCH_US = 3_600_000_000;

/** Rows that another writer had stored: the set must load them, and write its batches again. */
export interface FoundRows {
  table: DictionaryTable;
  rows: Value[][];
}

interface Work {
  table: DictionaryTable;
  added: Value[][];
  touched: Value[][];
}

/**
 * Stores what a working set added, and gives the rows their stored numbers. `added` has all of these rows. `found` has
 * them too where some were stored by another writer: the set then has to be rolled back.
 */
export async function storeDictionaries(
  pool: DatabasePool,
  set: WorkingSet,
): Promise<{ added: FoundRows[]; found: FoundRows[] }> {
  const works = DICTIONARIES.map((table) => workOf(table, set)).filter(
    ({ added, touched }) => added.length + touched.length > 0,
  );
  if (works.length === 0) return { added: [], found: [] };
  return pool.transaction(async (session) => {
    await session.query('SET LOCAL synchronous_commit = off');
    const stored: FoundRows[] = [];
    let isKnown = false;
    for (const { table, added, touched } of works) {
      if (added.length > 0) {
        const found = await add(session, table, added, set);
        stored.push({ table, rows: found.rows });
        isKnown ||= found.isKnown;
      }
      if (touched.length > 0) await touch(session, table, touched, set);
    }
    return { added: stored, found: isKnown ? stored : [] };
  });
}

/**
 * Tells whether a session sees rows with these numbers. The dictionary has connections of its own. In a failover
 * these can still be to the old primary, where a number may mean another row.
 */
export async function areStored(session: Session, added: readonly FoundRows[]): Promise<boolean> {
  const seen = await Promise.all(
    added.map(async ({ table, rows }) => {
      const { name, others, unique } = table;
      const at = others.findIndex(([column]) => column === unique) + 1;
      const stored = await session.query<{ id: number; text: string }>(
        `SELECT id, ${unique} AS text FROM ${name} WHERE id = ANY ($1)`,
        [rows.map((row) => row[0])],
      );
      const texts = new Map(stored.map(({ id, text }) => [id, text]));
      return rows.every((row) => texts.get(Number(row[0])) === row[at]);
    }),
  );
  return seen.every((each) => each);
}

function workOf(table: DictionaryTable, set: WorkingSet): Work {
  const ids = set.ids(table.name);
  const work: Work = { table, added: [], touched: [] };
  const at = timeColumn(table);
  for (const row of set.changes(table).rows) {
    if (!ids.hasStored(row[0] as number)) work.added.push(row);
    else if (
      at >= 0 &&
      (table.name === 'profiles' || set.isLater(table.name, row[0] as number, row[at] as number, TOUCH_US))
    )
      work.touched.push(row);
  }
  return work;
}

function timeColumn({ name, others }: DictionaryTable): number {
  const time = name === 'profiles' ? 'first_us' : 'last_us';
  return others.findIndex(([column]) => column === time) + 1;
}

async function add(
  session: Session,
  table: DictionaryTable,
  added: Value[][],
  set: WorkingSet,
): Promise<{ rows: Value[][]; isKnown: boolean }> {
  const { name, others, unique } = table;
  const ids = set.ids(name);
  const at = others.findIndex(([column]) => column === unique) + 1;
  const isHashed = name !== 'identities';
  const translated = set.toStored(
    name,
    others,
    added.map((row) => row.slice(1)),
  );
  const uniques = translated.map((row) => String(row[at - 1]));
  const hashes = uniques.map((text) => hash('sha256', text, 'buffer'));
  const columns: Column[] = [...(isHashed ? ([['hash', 'bytea']] as Column[]) : []), ...others];
  const rows = translated.map((row, index) => [...(isHashed ? [hashes[index]!] : []), ...row]);
  const key = isHashed ? 'hash' : 'key';
  if (name === 'identities') await session.query(`SELECT pg_advisory_xact_lock(${IDENTITIES_LOCK})`);
  const names = columns.map(([column]) => column).join(', ');
  const inserted = await session.execute(
    `INSERT INTO ${name} (${names}) SELECT ${names} FROM ${unnested(columns)} ORDER BY ${key} ON CONFLICT (${key}) DO NOTHING`,
    transposed(columns, rows),
  );
  const stored = await session.query<Record<string, Value>>(
    `SELECT id, ${others.map(([column]) => column).join(', ')} FROM ${name} WHERE ${key} = ANY ($1)`,
    [isHashed ? hashes : uniques],
  );
  const localOf = new Map(uniques.map((text, index) => [text, added[index]![0] as number]));
  for (const row of stored) {
    const local = localOf.get(String(row[unique]))!;
    ids.set(local, Number(row['id']));
    // A later use is compared with the time that is stored, which is not always the one of this set.
    if (row['last_us'] !== undefined) set.noteTime(name, local, Number(row['last_us']));
  }
  return {
    rows: stored.map((row) => ['id', ...others.map(([column]) => column)].map((column) => row[column]!)),
    isKnown: inserted < added.length,
  };
}

async function touch(
  session: Session,
  { name, ...table }: DictionaryTable,
  touched: Value[][],
  set: WorkingSet,
): Promise<void> {
  const at = timeColumn({ name, ...table });
  const ids = set.ids(name);
  const values = [touched.map((row) => ids.storedOf(row[0] as number)), touched.map((row) => row[at]!)];
  if (name === 'profiles') {
    await session.query('SELECT 1 FROM profiles WHERE id = ANY ($1) ORDER BY id FOR UPDATE', [values[0]]);
    await session.execute(
      `UPDATE profiles SET first_us = least(profiles.first_us, v.us)
       FROM unnest($1::bigint[], $2::bigint[]) AS v (id, us) WHERE profiles.id = v.id`,
      values,
    );
    return;
  }
  // Another writer that holds a row is noting a time of this hour too.
  await session.execute(
    `UPDATE ${name} SET last_us = greatest(${name}.last_us, v.us)
     FROM unnest($1::bigint[], $2::bigint[]) AS v (id, us)
     JOIN (SELECT id FROM ${name} WHERE id = ANY ($1) FOR UPDATE SKIP LOCKED) free ON free.id = v.id
     WHERE ${name}.id = v.id`,
    values,
  );
  for (const row of touched) set.noteTime(name, row[0] as number, row[at] as number);
}
