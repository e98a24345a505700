/** Statements about many rows at once: their columns are sent as arrays. */
import type { Session } from './database_pool.ts';
import { withoutNul } from './nul_characters.ts';
import { RetryError } from './retries.ts';

/** Name of a column and its type in PostgreSQL. */
export type Column = readonly [name: string, type: string];
export type Value = string | number | boolean | null | Buffer;

/** Returns `unnest($1::bigint[], …) AS v (host, …)`. */
export function unnested(columns: readonly Column[]): string {
  const arrays = columns.map(([, type], at) => `$${at + 1}::${type}[]`).join(', ');
  return `unnest(${arrays}) AS v (${columns.map(([name]) => name).join(', ')})`;
}

/** Returns the columns of rows, as the parameters of a statement with `unnested`. */
export function transposed(columns: readonly Column[], rows: readonly (readonly Value[])[]): string[] {
  return columns.map(([, type], at) => arrayText(type, rows, at));
}

/** Types whose values need no quotes in the text of an array. */
const BARE: ReadonlySet<string> = new Set([
  'bigint',
  'integer',
  'smallint',
  'double precision',
  'uuid',
  'boolean',
]);
const ESCAPED = /["\\]/;
const EVERY_ESCAPED = /["\\]/g;

/**
 * Returns a column of rows as the text of an array (PostgreSQL 15 documentation, 8.15.6). The package `pg` would do the
 * same, but looks at each value to find out its type, which takes a third of the time of a small transaction.
 */
function arrayText(type: string, rows: readonly (readonly Value[])[], at: number): string {
  const isBare = BARE.has(type);
  let text = '{';
  for (let index = 0; index < rows.length; index += 1) {
    const value = rows[index]![at];
    if (index > 0) text += ',';
    if (value === null || value === undefined) text += 'NULL';
    else if (isBare) text += value;
    else if (typeof value === 'string') text += quoted(withoutNul(value));
    else if (value instanceof Uint8Array) text += `"\\\\x${Buffer.from(value).toString('hex')}"`;
    else text += `"${value}"`;
  }
  return `${text}}`;
}

/** Returns bytes as the text of a UUID or of other hexadecimal digits. */
export function hexOf(bytes: Value): string {
  return (bytes as Buffer).toString('hex');
}

function quoted(text: string): string {
  return ESCAPED.test(text) ? `"${text.replace(EVERY_ESCAPED, '\\$&')}"` : `"${text}"`;
}

/**
 * Inserts rows in the order of `keys`, which is also the order in which they are locked: two transactions that follow it
 * never wait for each other. `onConflict` follows `ON CONFLICT`; null if a row that is there already is an error, which
 * costs less. Returns the number of rows that were inserted or changed.
 */
export async function insertRows(
  session: Session,
  table: string,
  columns: readonly Column[],
  keys: readonly string[],
  rows: readonly (readonly Value[])[],
  onConflict: string | null,
): Promise<number> {
  if (rows.length === 0) return 0;
  const names = columns.map(([name]) => name).join(', ');
  return session.execute(
    `INSERT INTO ${table} (${names}) SELECT ${names} FROM ${unnested(columns)} ORDER BY ${keys.join(', ')}
     ${onConflict === null ? '' : `ON CONFLICT ${onConflict}`}`,
    transposed(columns, rows),
  );
}

/** Returns `(keys) DO UPDATE SET …` that replaces all other columns. */
export function replacing(columns: readonly Column[], keys: readonly string[]): string {
  const others = columns.map(([name]) => name).filter((name) => !keys.includes(name));
  return `(${keys.join(', ')}) DO UPDATE SET ${others.map((name) => `${name} = excluded.${name}`).join(', ')}`;
}

/**
 * Changes rows that are known to be there. `set` follows `SET`; `v` has the given rows. That costs half as much as
 * `insertRows` with a conflict, which writes the lock of each row into the log too. `keys` are the primary key. Throws `RetryError` where
 * one is gone. Everybody who changes such rows has locked their hosts, so that their order does not matter.
 */
export async function changeRows(
  session: Session,
  table: string,
  columns: readonly Column[],
  keys: readonly string[],
  rows: readonly (readonly Value[])[],
  set: string,
): Promise<void> {
  if (rows.length === 0) return;
  // The server cannot use another index for this, as it does for equal columns where it has no statistics yet.
  const stored = keys.map((name) => `${table}.${name}`).join(', ');
  const given = keys.map((name) => `v.${name}`).join(', ');
  const changed = await session.execute(
    `UPDATE ${table} SET ${set} FROM ${unnested(columns)} WHERE (${stored}) >= (${given}) AND (${stored}) <= (${given})`,
    transposed(columns, rows),
  );
  if (changed < rows.length) throw new RetryError(`Rows of ${table} that the set remembers are gone.`);
}

/** Deletes rows by their keys. */
export async function deleteRows(
  session: Session,
  table: string,
  keys: readonly Column[],
  rows: readonly (readonly Value[])[],
): Promise<void> {
  if (rows.length === 0) return;
  const same = keys.map(([name]) => `${table}.${name} = v.${name}`).join(' AND ');
  await session.execute(`DELETE FROM ${table} USING ${unnested(keys)} WHERE ${same}`, transposed(keys, rows));
}
