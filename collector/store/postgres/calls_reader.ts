/** Reads raw calls, newest first, page by page, as the embedded store does. */
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
import { fromBytes, toBytes } from '../sqlite/uuid_bytes.ts';
import type { CallFilter } from '../store.ts';
import type { Session } from './database_pool.ts';
import type { HostChoices } from './host_choice.ts';
import { all, bounded, SqlParameters } from './question.ts';

/** Throws `RangeError` for a cursor that is not one. */
export async function readCalls(
  session: Session,
  filter: CallFilter,
  limit: number,
  cursor: string | null,
  choices: HostChoices,
): Promise<{ calls: Call[]; next: string | null }> {
  const before = cursor === null ? startOf(filter) : parseCursor(cursor);
  const identities = await identityNumbers(session, filter.identities);
  const hosts = await choices.numbers(session, filter.hosts);
  if (identities?.length === 0 || hosts?.length === 0) return { calls: [], next: null };
  if (filter.categories?.length === 0 || filter.outcomes?.length === 0) return { calls: [], next: null };
  const walks = walksOf(identities, hosts);
  const page = new CallPage(walks, limit);
  for (const walk of walks) {
    const rows = await readWalk(session, walk, before, filter, identities, hosts, page.scan, limit + 1);
    if (page.take(rows)) page.endAt(await readEnd(session, walk, before, filter, page.scan));
  }
  return page.finish();
}

async function identityNumbers(session: Session, keys: readonly string[] | null): Promise<number[] | null> {
  if (keys === null) return null;
  const rows = await session.query<{ id: number }>('SELECT id FROM identities WHERE key = ANY ($1)', [keys]);
  return rows.map(({ id }) => id);
}

async function readWalk(
  session: Session,
  walk: Walk,
  before: Position,
  filter: CallFilter,
  identities: number[] | null,
  hosts: number[] | null,
  scan: number,
  limit: number,
): Promise<FoundCall[]> {
  const parameters = new SqlParameters();
  const inner = `SELECT * FROM calls WHERE ${inWalk(parameters, walk, before, filter)}
    ORDER BY time_us DESC, id DESC LIMIT ${parameters.add(scan)}`;
  const among = (column: string, list: readonly unknown[] | null, type: string) =>
    list === null ? null : `${column} = ANY (${parameters.add(list)}::${type}[])`;
  // The collation "C" lowers ASCII alone.
  const pattern = filter.path === null ? null : likePattern(filter.path);
  const conditions = all(
    among('c.identity', identities, 'bigint'),
    among('c.host', hosts, 'bigint'),
    among('k.category', filter.categories, 'text'),
    among('k.outcome', filter.outcomes, 'text'),
    filter.version === null ? null : `k.version = ${parameters.add(filter.version)}`,
    pattern === null
      ? null
      : `lower(c.path) LIKE lower(${parameters.add(pattern)}::text COLLATE "C") ESCAPE '\\'`,
  );
  const rows = await session.query<Record<string, unknown> & { time_us: number; id: string }>(
    `SELECT c.*, k.version, k.endpoint, k.category, k.status, k.outcome, k.fallback, k.role, s.kind AS shape_kind,
       s.server_version, s.hops, s.token_hop_limit, s.method, s.destination_address, s.destination_port, s.relay,
       u.text AS user_agent_text, p.facts, h.facts AS host_facts
     FROM (${inner}) c JOIN kinds k ON k.id = c.kind JOIN shapes s ON s.id = c.shape
       JOIN caller_facts p ON p.caller = c.caller JOIN hosts h ON h.id = c.host
       LEFT JOIN user_agents u ON u.id = c.user_agent
     WHERE ${conditions} ORDER BY c.time_us DESC, c.id DESC LIMIT ${parameters.add(limit)}`,
    parameters.values,
  );
  return rows.map((row) => {
    const id = toBytes(row.id);
    return { row: { ...row, id }, at: { timeUs: row.time_us, id } };
  });
}

/** Returns the last row that a walk may read; null where it has fewer rows. */
async function readEnd(
  session: Session,
  walk: Walk,
  before: Position,
  filter: CallFilter,
  scan: number,
): Promise<Position | null> {
  const parameters = new SqlParameters();
  const [row] = await session.query<{ time_us: number; id: string }>(
    `SELECT time_us, id FROM calls WHERE ${inWalk(parameters, walk, before, filter)}
     ORDER BY time_us DESC, id DESC LIMIT 1 OFFSET ${parameters.add(scan - 1)}`,
    parameters.values,
  );
  return row === undefined ? null : { timeUs: row.time_us, id: toBytes(row.id) };
}

function inWalk(
  parameters: SqlParameters,
  { column, value }: Walk,
  before: Position,
  { window }: CallFilter,
): string {
  // The first page begins before all calls of its time.
  const id = before.id.length === 0 ? '00000000-0000-0000-0000-000000000000' : fromBytes(before.id);
  return all(
    column === null ? null : `${column} = ${parameters.add(value)}`,
    `(time_us, id) < (${parameters.add(bounded(before.timeUs))}::bigint, ${parameters.add(id)}::uuid)`,
    `time_us >= ${parameters.add(Math.floor(bounded(window.sinceUs)))}`,
  );
}
