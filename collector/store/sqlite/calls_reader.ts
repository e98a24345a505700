/** Reads raw calls, newest first, page by page. */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { Call, HostFacts } from '../../../protocol/call.ts';
import { HOUR_US } from '../../contract/window.ts';
import type { CallFilter } from '../store.ts';
import { toTimestamp } from '../time.ts';
import type { CallerFacts } from '../workload_identity.ts';
import type { Rows } from './rows.ts';
import { fromBytes, toBytes } from './uuid_bytes.ts';

/**
 * Rows that one question may read. A page that would need more ends early, with a cursor that goes on from
 * there.
 */
export const MAX_SCANNED = 100_000;
/** For more workloads or hosts than this all calls are read, and the others are filtered out. */
export const MAX_WALKS = 8;
/** Characters of the descriptions of processes on one page. An ordinary process has some 1,500. */
export const MAX_PAGE_CHARACTERS = 8_000_000;

export interface Position {
  timeUs: number;
  id: Uint8Array;
}

interface Walk {
  column: 'identity' | 'host' | null;
  value: number | null;
}

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
    const found: { row: Record<string, unknown>; at: Position }[] = [];
    /** The newest position at which a walk ended early. Calls beyond it may be missing. */
    let horizon: Position | null = null;
    const walks = walksOf(identities, hosts);
    for (const walk of walks) {
      const scan = Math.floor(MAX_SCANNED / walks.length);
      const rows: { row: Record<string, unknown>; at: Position }[] = [];
      let characters = 0;
      for (const row of this.#walk(walk, before, filter, conditions, scan, limit + 1)) {
        rows.push({ row, at: { timeUs: Number(row['time_us']), id: row['id'] as Uint8Array } });
        characters += String(row['facts']).length;
        if (characters > MAX_PAGE_CHARACTERS / walks.length) break;
      }
      found.push(...rows);
      if (rows.length <= limit) {
        const isFull = characters > MAX_PAGE_CHARACTERS / walks.length;
        const end = isFull ? rows.at(-1)!.at : this.#end(walk, before, filter, scan);
        if (end !== null && (horizon === null || compare(end, horizon) > 0)) horizon = end;
      }
    }
    found.sort((a, b) => compare(b.at, a.at));
    const within = horizon === null ? found : found.filter(({ at }) => compare(at, horizon) >= 0);
    const page = within.slice(0, limit);
    const full = within.length > limit;
    const next = full ? page.at(-1)!.at : horizon;
    return { calls: page.map(({ row }) => callOf(row)), next: next === null ? null : toCursor(next) };
  }

  #walk(
    walk: Walk,
    before: Position,
    { window }: CallFilter,
    conditions: { sql: string; values: (string | number)[] },
    scan: number,
    limit: number,
  ): Iterable<Record<string, unknown>> {
    const { sql, values } = inWalk(walk, before, window.sinceUs);
    return this.#prepare(
      `SELECT c.*, k.version, k.endpoint, k.category, k.status, k.outcome, k.fallback, k.role, s.kind AS shape_kind,
         s.server_version, s.hops, s.token_hop_limit, s.method, s.destination_address, s.destination_port, s.relay, u.text AS user_agent_text, p.facts, h.facts AS host_facts
       FROM (SELECT * FROM calls ${sql} ORDER BY time_us DESC, id DESC LIMIT ?) c
       JOIN kinds k ON k.id = c.kind JOIN shapes s ON s.id = c.shape JOIN caller_facts p ON p.caller = c.caller
       JOIN hosts h ON h.id = c.host LEFT JOIN user_agents u ON u.id = c.user_agent
       ${conditions.sql} ORDER BY c.time_us DESC, c.id DESC LIMIT ?`,
    ).iterate(...values, scan, ...conditions.values, limit);
  }

  /** Returns the last row that a walk may read; null where it has fewer rows. */
  #end(walk: Walk, before: Position, { window }: CallFilter, scan: number): Position | null {
    const { sql, values } = inWalk(walk, before, window.sinceUs);
    const row = this.#prepare(
      `SELECT time_us, id FROM calls ${sql} ORDER BY time_us DESC, id DESC LIMIT 1 OFFSET ?`,
    ).get(...values, scan - 1);
    return row === undefined ? null : { timeUs: Number(row['time_us']), id: row['id'] as Uint8Array };
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

/** Makes a call of a row of calls that is joined with what it refers to. */
export function callOf(row: Record<string, unknown>): Call {
  const facts = JSON.parse(String(row['facts'])) as CallerFacts;
  return {
    id: fromBytes(row['id'] as Uint8Array),
    time: toTimestamp(Number(row['time_us'])),
    'imds.version': row['version'] as Call['imds.version'],
    'imds.kind': row['shape_kind'] as Call['imds.kind'],
    'imds.category': row['category'] as Call['imds.category'],
    'imds.role': row['role'] as string | null,
    'imds.endpoint': row['endpoint'] as Call['imds.endpoint'],
    'imds.server_version': row['server_version'] as Call['imds.server_version'],
    'imds.fallback': row['fallback'] as Call['imds.fallback'],
    'imds.hops': row['hops'] as number | null,
    'imds.token_hop_limit': row['token_hop_limit'] as number | null,
    'http.request.method': row['method'] as string | null,
    'url.path': row['path'] as string | null,
    'url.query': row['query'] as string | null,
    'user_agent.original': row['user_agent_text'] as string | null,
    'http.response.status_code': row['status'] as number | null,
    outcome: row['outcome'] as Call['outcome'],
    duration_ms: row['duration_ms'] as number | null,
    'source.address': String(row['source_address']),
    'source.port': Number(row['source_port']),
    'destination.address': String(row['destination_address']),
    'destination.port': Number(row['destination_port']),
    ...(row['relay'] === null ? {} : (JSON.parse(String(row['relay'])) as Partial<Call>)),
    ...facts,
    host: JSON.parse(String(row['host_facts'])) as HostFacts,
  };
}

/** Chooses the index that the calls are read by: (workload, time), (host, time), or all calls by time. */
function walksOf(identities: number[] | null, hosts: number[] | null): Walk[] {
  if (identities !== null && identities.length <= MAX_WALKS) {
    return identities.map((value) => ({ column: 'identity', value }));
  }
  if (hosts !== null && hosts.length <= MAX_WALKS) return hosts.map((value) => ({ column: 'host', value }));
  return [{ column: null, value: null }];
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
    values: [
      ...(value === null ? [] : [value]),
      before.timeUs,
      before.id,
      Math.floor(sinceUs / HOUR_US) * HOUR_US,
    ],
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
    // LIKE ignores ASCII case. The wildcards % and _ are escaped in the text of the filter.
    conditions.push(`c.path LIKE ? ESCAPE '\\'`);
    values.push(`%${filter.path.replaceAll(/[\\%_]/g, '\\$&')}%`);
  }
  return { sql: conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`, values };
}

export function startOf({ window }: CallFilter): Position {
  return { timeUs: Math.min(window.untilUs, Number.MAX_SAFE_INTEGER), id: new Uint8Array(0) };
}

/** Orders positions by time, then by id. */
export function compare(a: Position, b: Position): number {
  return a.timeUs - b.timeUs || Buffer.compare(a.id, b.id);
}

export function toCursor({ timeUs, id }: Position): string {
  return `${timeUs}.${fromBytes(id)}`;
}

export function parseCursor(cursor: string): Position {
  const match = /^(-?\d{1,16})\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/.exec(cursor);
  if (match === null) throw new RangeError('The cursor is not valid. Use the cursor of the page before.');
  return { timeUs: Number(match[1]), id: toBytes(match[2]!) };
}
