/** Reads and writes the findings in PostgreSQL, table by table. */
import { createHash } from 'node:crypto';
import { DAY_US } from '../contract/window.ts';
import { ARRIVALS_FOLLOWED_US, ARRIVALS_NOTED, ARRIVALS_SINCE_US } from '../store/arrivals.ts';
import { type Column, transposed, unnested } from '../store/postgres/bulk.ts';
import type { Session } from '../store/postgres/database_pool.ts';
import { FORGOTTEN_UNTIL_US } from '../store/sqlite/coverage_reader.ts';
import { SUMS_DELETED_UNTIL_US } from '../store/sqlite/retention.ts';
import { charactersOf, type FindingsReader, isPartFull, type Part } from './findings.ts';
import { type Cell, placesOf, RECORD_ID_DAYS, type Row, type StoredTable } from './stored_tables.ts';

/** SQL in place of the name of a table. */
const SOURCES: Record<string, string> = {
  // Notes that nobody has read yet get the positions that they would get.
  arrivals: `(SELECT coalesce(last, (SELECT coalesce(max(last), 0) FROM arrivals)
      + sum(calls) FILTER (WHERE last IS NULL) OVER (ORDER BY id))::bigint AS last,
      calls, stored_us, oldest_us, newest_us, keys FROM arrivals) AS noted`,
  record_ids: `(SELECT day, host, id FROM record_ids
    WHERE day >= (SELECT max(day) FROM record_ids) - ${RECORD_ID_DAYS}) AS ids`,
  sums: `(SELECT name, value FROM sums WHERE name IN ('${FORGOTTEN_UNTIL_US}', '${SUMS_DELETED_UNTIL_US}', '${ARRIVALS_NOTED}', '${ARRIVALS_SINCE_US}', '${ARRIVALS_FOLLOWED_US}')) AS kept`,
};
/** The sums of columns over the rows of several writers. */
const OVER_SLOTS: Record<string, string> = {
  count: 'sum(count)::bigint',
  first_us: 'min(first_us)',
  last_us: 'max(last_us)',
};
/** Rows that are fetched at once. Descriptions of processes can have 20,000 characters. */
const FETCHED_ROWS = 1_000;
/** Slot of rows that a copy adds up. */
const SLOT = 0;

export class PostgresFindings implements FindingsReader {
  readonly kind = 'postgres';
  readonly #session: Session;
  #cursors = 0;

  /** `session`: in a transaction that sees one moment. */
  constructor(session: Session) {
    this.#session = session;
  }

  async *read(table: StoredTable, after: readonly Cell[] | null = null): AsyncGenerator<Part> {
    const key = readKey(table);
    const order = key.join(', ');
    const behind = key.map((name, at) => `$${at + 1}::${typeOf(table, name)}`).join(', ');
    const cursor = await this.#declare(
      `SELECT ${table.columns.map(([name]) => readColumn(table, name)).join(', ')} FROM ${sourceOf(table)}
       ${after === null ? '' : `WHERE (${order}) > (${behind})`} ${grouping(table)} ORDER BY ${order}`,
      after ?? [],
    );
    const types = table.columns.map(([, type]) => type);
    const places = placesOf(table, key);
    const distinct = table.name === 'calls' ? distinctIds(table, after) : (row: Row) => row;
    let part: Part = { rows: [], after: [] };
    let characters = 0;
    for await (const rows of cursor) {
      for (const stored of rows) {
        const row = stored.map((cell, at) => fromPostgres(types[at]!, cell));
        characters += charactersOf(row);
        part.rows.push(distinct(row));
        part.after = row;
      }
      if (!isPartFull(part.rows.length, characters)) continue;
      yield { ...part, after: places.map((at) => part.after[at]!) };
      part = { rows: [], after: [] };
      characters = 0;
    }
    if (part.rows.length > 0) yield { ...part, after: places.map((at) => part.after[at]!) };
  }

  /** Reads through a cursor of the server, with the plan that is best for all rows and not for the first ones. */
  async *#declare(sql: string, values: readonly Cell[]): AsyncGenerator<unknown[][]> {
    this.#cursors += 1;
    const name = `copy_${this.#cursors}`;
    await this.#session.query('SET LOCAL cursor_tuple_fraction = 1');
    await this.#session.query(`DECLARE ${name} NO SCROLL CURSOR FOR ${sql}`, [...values]);
    for (;;) {
      const rows = await this.#session.arrays(`FETCH ${FETCHED_ROWS} FROM ${name}`);
      if (rows.length > 0) yield rows;
      if (rows.length < FETCHED_ROWS) break;
    }
    await this.#session.query(`CLOSE ${name}`);
  }

  async count(table: StoredTable): Promise<number> {
    const [row] = await this.#session.query<{ rows: number }>(
      `SELECT count(*) AS rows FROM ${sourceOf(table)}`,
    );
    return row!.rows;
  }

  async lastNumber({ name }: StoredTable): Promise<number> {
    const [row] = await this.#session.query<{ number: number | null }>(
      `SELECT pg_sequence_last_value(pg_get_serial_sequence($1, 'id')) AS number`,
      [name],
    );
    return row!.number ?? 0;
  }

  select(sql: string): Promise<Record<string, Cell>[]> {
    return this.#session.query(sql);
  }
}

/** Inserts rows in the transaction of a session. Partitions of their days should be there. */
export async function insertRows(session: Session, table: StoredTable, rows: readonly Row[]): Promise<void> {
  const { name, columns, hashed, hasSlots, isNumbered } = table;
  const names = columns.map(([column]) => column);
  const more = [
    ...(hashed === undefined ? [] : [['hash', `sha256(convert_to(v.${hashed}, 'UTF8'))`]]),
    ...(hasSlots ? [['slot', String(SLOT)]] : []),
  ];
  const sent: Column[] = columns.map(([column, type]) => [column, type === 'bytea' ? 'text' : type]);
  const values = columns.map(([column, type]) =>
    type === 'bytea' ? `decode(v.${column}, 'hex')` : `v.${column}`,
  );
  await session.execute(
    `INSERT INTO ${name} (${[...names, ...more.map(([column]) => column)].join(', ')})
     ${isNumbered ? 'OVERRIDING SYSTEM VALUE' : ''}
     SELECT ${[...values, ...more.map(([, value]) => value)].join(', ')} FROM ${unnested(sent)}`,
    transposed(sent, rows),
  );
  if (name === 'calls') await countCalls(session, table, rows);
}

async function countCalls(session: Session, table: StoredTable, rows: readonly Row[]): Promise<void> {
  const days = daysOf(table, rows, 'time_us');
  await session.execute(
    `INSERT INTO call_counts (day, slot, calls)
     SELECT day, ${SLOT}, calls FROM unnest($1::integer[], $2::bigint[]) AS v (day, calls)
     ON CONFLICT (day, slot) DO UPDATE SET calls = call_counts.calls + excluded.calls`,
    [[...days.keys()], [...days.values()]],
  );
}

/** Returns the number of rows by day since 1970, from a column of microseconds. */
export function daysOf(table: StoredTable, rows: readonly Row[], column: string): Map<number, number> {
  const [at] = placesOf(table, [column]);
  const days = new Map<number, number>();
  for (const row of rows) {
    const day = Math.floor(Number(row[at!]) / DAY_US);
    days.set(day, (days.get(day) ?? 0) + 1);
  }
  return days;
}

function sourceOf({ name }: StoredTable): string {
  return SOURCES[name] ?? name;
}

function readKey({ key, postgresKey }: StoredTable): readonly string[] {
  return postgresKey ?? key;
}

function readColumn({ hasSlots, columns }: StoredTable, name: string): string {
  if (hasSlots) return OVER_SLOTS[name] ?? name;
  return columns.some(([column, type]) => column === name && type === 'bytea')
    ? `encode(${name}, 'hex')`
    : name;
}

function grouping({ hasSlots, key }: StoredTable): string {
  return hasSlots ? `GROUP BY ${key.join(', ')}` : '';
}

function typeOf({ columns }: StoredTable, name: string): string {
  return columns.find(([column]) => column === name)![1];
}

function fromPostgres(type: string, value: unknown): Cell {
  if (type === 'uuid' && typeof value === 'string') return value.replaceAll('-', '');
  return value as Cell;
}

/**
 * Returns a function for the calls in their order. The embedded store keeps each id of a time once. Where two hosts sent
 * the same one, which no honest agent does, the calls of the others get an id that is made of their host and their own.
 */
function distinctIds(table: StoredTable, after: readonly Cell[] | null): (row: Row) => Row {
  const [time, id, host] = placesOf(table, ['time_us', 'id', 'host']);
  let last: readonly Cell[] = after ?? [];
  return (row) => {
    const isKnown = row[time!] === last[0] && row[id!] === last[1];
    last = [row[time!]!, row[id!]!];
    if (!isKnown) return row;
    const changed = [...row];
    const digest = createHash('sha256').update(`${row[host!]} ${row[id!]}`).digest('hex');
    // Version 8 is for ids of one's own making: RFC 9562, 5.8.
    changed[id!] = `${digest.slice(0, 12)}8${digest.slice(13, 16)}8${digest.slice(17, 32)}`;
    return changed;
  };
}
