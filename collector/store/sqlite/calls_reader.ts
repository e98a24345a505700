/** Reads raw calls, newest first, page by page. */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { Call } from '../../../protocol/call.ts';
import {
  CallPage,
  type FoundCall,
  likePattern,
  type Position,
  parseCursor,
  startOf,
  type Walk,
  walksOf,
} from '../call_pages.ts';
import type { CallFilter } from '../store.ts';
import type { Rows } from './rows.ts';

export class CallsReader {
  readonly #database: DatabaseSync;
  readonly #rows: Rows;
  readonly #statements = new Map<string, StatementSync>();

  constructor(database: DatabaseSync, rows: Rows) {
    this.#database = database;
    this.#rows = rows;
  }

  /** Throws `RangeError` for a cursor that is not one. */
  calls(filter: CallFilter, limit: number, cursor: string | null): { calls: Call[]; next: string | null } {
    const identities = filter.identities === null ? null : this.#rows.identityRows(filter.identities);
    const hosts = filter.hosts === null ? null : this.#rows.hostRows(filter.hosts);
    if (identities?.length === 0 || hosts?.length === 0) return { calls: [], next: null };
    if (filter.categories?.length === 0 || filter.outcomes?.length === 0) return { calls: [], next: null };
    const before = cursor === null ? startOf(filter) : parseCursor(cursor);
    const conditions = residual(filter, identities, hosts);
    const walks = walksOf(identities, hosts);
    const page = new CallPage(walks, limit);
    for (const walk of walks) {
      if (page.take(this.#walk(walk, before, filter, conditions, page.scan, limit + 1)))
        page.endAt(this.#end(walk, before, filter, page.scan));
    }
    return page.finish();
  }

  *#walk(
    walk: Walk,
    before: Position,
    { window }: CallFilter,
    conditions: { sql: string; values: (string | number)[] },
    scan: number,
    limit: number,
  ): Iterable<FoundCall> {
    const { sql, values } = inWalk(walk, before, window.sinceUs);
    const rows = this.#prepare(
      `SELECT c.*, k.version, k.endpoint, k.category, k.status, k.outcome, k.fallback, k.role, s.kind AS shape_kind,
         s.server_version, s.hops, s.token_hop_limit, s.method, s.destination_address, s.destination_port, s.relay, u.text AS user_agent_text, p.facts, h.facts AS host_facts
       FROM (SELECT * FROM calls ${sql} ORDER BY time_us DESC, id DESC LIMIT ?) c
       JOIN kinds k ON k.id = c.kind JOIN shapes s ON s.id = c.shape JOIN caller_facts p ON p.caller = c.caller
       JOIN hosts h ON h.id = c.host LEFT JOIN user_agents u ON u.id = c.user_agent
       ${conditions.sql} ORDER BY c.time_us DESC, c.id DESC LIMIT ?`,
    ).iterate(...values, scan, ...conditions.values, limit);
    for (const row of rows) yield { row, at: positionOf(row) };
  }

  /** Returns the last row that a walk may read; null where it has fewer rows. */
  #end(walk: Walk, before: Position, { window }: CallFilter, scan: number): Position | null {
    const { sql, values } = inWalk(walk, before, window.sinceUs);
    const row = this.#prepare(
      `SELECT time_us, id FROM calls ${sql} ORDER BY time_us DESC, id DESC LIMIT 1 OFFSET ?`,
    ).get(...values, scan - 1);
    return row === undefined ? null : positionOf(row);
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

function positionOf(row: Record<string, unknown>): Position {
  return { timeUs: Number(row['time_us']), id: row['id'] as Uint8Array };
}

function inWalk(
  { column, value }: Walk,
  before: Position,
  sinceUs: number,
): { sql: string; values: (number | Uint8Array)[] } {
  const index = column === null ? '' : `INDEXED BY calls_of_${column}`;
  const condition = column === null ? '' : `${column} = ? AND `;
  return {
    sql: `${index} WHERE ${condition}(time_us, id) < (?, ?) AND time_us >= ?`,
    values: [...(value === null ? [] : [value]), before.timeUs, before.id, sinceUs],
  };
}

function residual(
  filter: CallFilter,
  identities: number[] | null,
  hosts: number[] | null,
): { sql: string; values: (string | number)[] } {
  const conditions: string[] = [];
  const values: (string | number)[] = [];
  const among = (column: string, list: readonly unknown[] | null) => {
    if (list === null) return;
    conditions.push(`${column} IN (SELECT value FROM json_each(?))`);
    values.push(JSON.stringify(list));
  };
  among('c.identity', identities);
  among('c.host', hosts);
  among('k.category', filter.categories);
  among('k.outcome', filter.outcomes);
  if (filter.version !== null) {
    conditions.push('k.version = ?');
    values.push(filter.version);
  }
  if (filter.path !== null) {
    // LIKE ignores ASCII case.
    conditions.push(`c.path LIKE ? ESCAPE '\\'`);
    values.push(likePattern(filter.path));
  }
  return { sql: conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`, values };
}
