/** Reads and writes the findings of an embedded store, table by table. */
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite';
import { DAY_US } from '../contract/window.ts';
import { ARRIVALS_FOLLOWED_US, ARRIVALS_NOTED, ARRIVALS_SINCE_US } from '../store/arrivals.ts';
import { withoutNul } from '../store/postgres/nul_characters.ts';
import { FORGOTTEN_UNTIL_US } from '../store/sqlite/coverage_reader.ts';
import { SUMS_DELETED_UNTIL_US } from '../store/sqlite/retention.ts';
import { charactersOf, type FindingsReader, isPartFull, type Part } from './findings.ts';
import { type Cell, placesOf, RECORD_ID_DAYS, type Row, type StoredTable } from './stored_tables.ts';

/** SQL in place of the name of a table. */
const SOURCES: Record<string, string> = {
  record_ids: `(
    WITH latest (day) AS (SELECT max(
      coalesce((SELECT max(last_us) FROM rollups), 0), coalesce((SELECT max(end_us) FROM coverage), 0)) / ${DAY_US})
    SELECT last_us / ${DAY_US} AS day, host, rollup_id AS id FROM rollups, latest
      WHERE last_us >= (latest.day - ${RECORD_ID_DAYS}) * ${DAY_US}
    UNION SELECT end_us / ${DAY_US}, host, coverage.id FROM coverage, latest
      WHERE end_us >= (latest.day - ${RECORD_ID_DAYS}) * ${DAY_US})`,
  sums: `(SELECT name, value FROM sums WHERE name IN ('${FORGOTTEN_UNTIL_US}', '${SUMS_DELETED_UNTIL_US}', '${ARRIVALS_NOTED}', '${ARRIVALS_SINCE_US}', '${ARRIVALS_FOLLOWED_US}'))`,
};

export class SqliteFindings implements FindingsReader {
  readonly kind = 'sqlite';
  readonly #database: DatabaseSync;

  /** `database`: in a transaction, so that all of it is of one moment. */
  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  async *read(table: StoredTable, after: readonly Cell[] | null = null): AsyncGenerator<Part> {
    const { columns } = table;
    const key = readKey(table);
    const order = key.join(', ');
    const statement = this.#database.prepare(
      `SELECT ${columns.map(([name]) => name).join(', ')} FROM ${sourceOf(table)}
       ${after === null ? '' : `WHERE (${order}) > (${key.map(() => '?').join(', ')})`} ORDER BY ${order}`,
    );
    statement.setReturnArrays(true);
    const values = (after ?? []).map((cell, at) => toSqlite(typeOf(table, key[at]!), cell));
    const places = placesOf(table, key);
    const groups = isGrouped(table) ? places : [];
    const partOf = (rows: Row[]): Part => ({
      rows: merged(table, rows),
      after: places.map((at) => rows.at(-1)![at]!),
    });
    let part: Row[] = [];
    let characters = 0;
    for (const stored of statement.iterate(...values) as Iterable<unknown>) {
      const row = (stored as unknown[]).map(fromSqlite);
      // Rows that belong together are in one part.
      const isBoundary = groups.every((at) => part.at(-1)?.[at] !== row[at]);
      if (isPartFull(part.length, characters) && isBoundary) {
        yield partOf(part);
        part = [];
        characters = 0;
      }
      part.push(row);
      characters += charactersOf(row);
    }
    if (part.length > 0) yield partOf(part);
  }

  async count(table: StoredTable): Promise<number> {
    return Number(this.#database.prepare(`SELECT count(*) AS rows FROM ${sourceOf(table)}`).get()!['rows']);
  }

  async lastNumber({ name }: StoredTable): Promise<number> {
    const row = this.#database.prepare('SELECT seq FROM sqlite_sequence WHERE name = ?').get(name);
    return Number(row?.['seq'] ?? 0);
  }

  async select(sql: string): Promise<Record<string, Cell>[]> {
    return this.#database.prepare(sql).all() as Record<string, Cell>[];
  }
}

/** Inserts rows into an embedded store. */
export class SqliteRows {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  insert(table: StoredTable, rows: readonly Row[]): void {
    if (table.name === 'record_ids') {
      this.#insertRecordIds(rows);
      return;
    }
    const { name, columns } = table;
    const statement = this.#prepare(
      `INSERT INTO ${name} (${columns.map(([column]) => column).join(', ')}) VALUES (${columns.map(() => '?').join(', ')})`,
    );
    const types = columns.map(([, type]) => type);
    for (const row of rows) statement.run(...row.map((cell, at) => toSqlite(types[at]!, cell)));
  }

  /** PostgreSQL does not know which of them are roll-ups. Nothing but their ids and times is looked at. */
  #insertRecordIds(rows: readonly Row[]): void {
    const rollup = this.#prepare(
      `INSERT INTO rollups (rollup_id, first_us, last_us, host, identity, caller, user_agent, source_address, count)
       VALUES (?1, ?2, ?2, ?3, 0, 0, NULL, '', 0)`,
    );
    const coverage = this.#prepare(
      `INSERT INTO coverage (id, host, boot_id, start_us, end_us, live_ms, kernel_connections, seen_connections, losses)
       VALUES (?1, ?3, '', ?2, ?2, 0, NULL, 0, '{}')`,
    );
    for (const [day, host, id] of rows) {
      const values = [Buffer.from(String(id), 'hex'), Number(day) * DAY_US, host!];
      rollup.run(...values);
      coverage.run(...values);
    }
  }

  #prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}

function sourceOf({ name }: StoredTable): string {
  return SOURCES[name] ?? name;
}

/** A path with U+0000 can be the same as another path of its workload where U+0000 is U+FFFD. */
function isGrouped({ name }: StoredTable): boolean {
  return name === 'paths_v1';
}

/** An id is the primary key of calls together with its time: the host adds nothing to their order. */
function readKey({ name, key }: StoredTable): readonly string[] {
  if (name === 'calls') return ['time_us', 'id'];
  return name === 'paths_v1' ? ['identity'] : key;
}

function merged(table: StoredTable, rows: Row[]): Row[] {
  if (!isGrouped(table)) return rows;
  const [count, lastUs] = placesOf(table, ['count', 'last_us']);
  const byKey = new Map<string, Row>();
  for (const row of rows) {
    const key = JSON.stringify(placesOf(table, table.key).map((at) => row[at]));
    const known = byKey.get(key);
    if (known === undefined) {
      byKey.set(key, row);
      continue;
    }
    known[count!] = Number(known[count!]) + Number(row[count!]);
    known[lastUs!] = Math.max(Number(known[lastUs!]), Number(row[lastUs!]));
  }
  return [...byKey.values()];
}

function typeOf({ columns }: StoredTable, name: string): string {
  return columns.find(([column]) => column === name)![1];
}

function fromSqlite(value: unknown): Cell {
  if (value instanceof Uint8Array) {
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex');
  }
  return withoutNul(value as Cell);
}

function toSqlite(type: string, cell: Cell): SQLInputValue {
  return (type === 'uuid' || type === 'bytea') && cell !== null ? Buffer.from(String(cell), 'hex') : cell;
}
