/**
 * Notes of arrivals in PostgreSQL, and how they are read.
 *
 * Transactions commit in another order than they begin, so a note has no position when it is stored. Who reads gives the
 * positions: under a lock, to all notes that are visible, in the order of their numbers. A reader that passes a position
 * therefore never passes a note that becomes visible later. The transactions about one host wait for each other before they
 * store their notes (`batch_transaction.ts`), so the notes of one host are in the order of their commits.
 *
 * Numbers of transactions (`xid8`) would give an order as well. But they begin anew in a database that was restored from a
 * dump, and one old transaction anywhere in the server would hold all readers up.
 */

import type { HostFacts } from '../../../protocol/call.ts';
import {
  ARRIVALS_FOLLOWED_US,
  type ArrivedCalls,
  type CallKey,
  endsOf,
  keysBehind,
  MAX_NOTED,
  type StoredNote,
  type WaitingArrivals,
} from '../arrivals.ts';
import { CallParts, KIND_COLUMNS, type RawCall, type Row, SHAPE_COLUMNS } from '../call_parts.ts';
import { toBytes } from '../sqlite/uuid_bytes.ts';
import type { CallerFacts } from '../workload_identity.ts';
import { ARRIVALS_LOCK } from './advisory_locks.ts';
import type { DatabasePool, Session } from './database_pool.ts';

/** Notes that get their positions at a time. */
const MAX_NUMBERED = 5000;

export const ARRIVALS_TABLE = `
  CREATE TABLE arrivals (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    last bigint UNIQUE,
    calls integer NOT NULL,
    stored_us bigint NOT NULL,
    oldest_us bigint NOT NULL,
    newest_us bigint NOT NULL,
    keys bytea NOT NULL
  );
  -- Ids do not become smaller by compression.
  ALTER TABLE arrivals ALTER COLUMN keys SET STORAGE EXTERNAL;
  CREATE INDEX arrivals_without_position ON arrivals (id) WHERE last IS NULL;
`;

/** Gives positions to the notes that are visible. */
async function givePositions(pool: DatabasePool): Promise<void> {
  for (;;) {
    const numbered = await pool.transaction(async (session) => {
      // The next statement sees what the last holder of the lock has stored, and everything that was committed by now.
      await session.query(`SELECT pg_advisory_xact_lock(${ARRIVALS_LOCK})`);
      return session.execute(
        `UPDATE arrivals a SET last = n.last FROM (
           SELECT id, (SELECT coalesce(max(last), 0) FROM arrivals) + sum(calls) OVER (ORDER BY id) AS last
           FROM (SELECT id, calls FROM arrivals WHERE last IS NULL ORDER BY id LIMIT ${MAX_NUMBERED}) w) n
         WHERE a.id = n.id`,
      );
    });
    if (numbered < MAX_NUMBERED) return;
  }
}

export class ArrivalsReader {
  readonly #pool: DatabasePool;
  readonly #parts = new CallParts();
  #generation = -1;

  constructor(pool: DatabasePool) {
    this.#pool = pool;
  }

  /** See `ArrivalStore`. */
  async arrivals(after: number, limit: number): Promise<ArrivedCalls> {
    await givePositions(this.#pool);
    return this.#pool.transaction(async (session) => {
      const notes = await session.query<StoredNote>(
        `SELECT last, calls, stored_us AS "storedUs", keys FROM arrivals WHERE last > $1 AND last < $2 AND last - calls < $3 ORDER BY last`,
        [after, after + limit + MAX_NOTED, after + limit],
      );
      const { keys, positions, storedUs } = keysBehind(notes, after, limit);
      const found: ArrivedCalls = {
        ...{ calls: [], positions: [], storedUs: [], next: positions.at(-1) ?? after },
        ends: endsOf(keys, positions),
      };
      const rows = await rawCalls(session, keys);
      const hosts = await this.#load(session, rows);
      for (const { row, place } of rows) {
        const call = this.#parts.callOf(row, hosts.get(row.host));
        if (call === null) continue;
        found.calls.push(call);
        found.positions.push(positions[place]!);
        found.storedUs.push(storedUs[place]!);
      }
      return found;
    }, 'ISOLATION LEVEL REPEATABLE READ READ ONLY');
  }

  async arrivalsBehind(after: number): Promise<WaitingArrivals> {
    await givePositions(this.#pool);
    const [row] = await this.#pool.query<WaitingArrivals & { aliveAfter: number | null }>(
      `SELECT (SELECT coalesce(max(last), 0) FROM arrivals) AS last, first.stored_us AS "storedUs",
         first.oldest_us AS "oldestUs",
         (SELECT value FROM sums WHERE name = '${ARRIVALS_FOLLOWED_US}') AS "followedUs",
         (SELECT last - calls FROM arrivals WHERE last > $1
            AND newest_us >= (SELECT coalesce(min(time_us), ${Number.MAX_SAFE_INTEGER}) FROM calls)
          ORDER BY last LIMIT 1) AS "aliveAfter"
       FROM (SELECT 1) one LEFT JOIN LATERAL
         (SELECT stored_us, oldest_us FROM arrivals WHERE last > $1 ORDER BY last LIMIT 1) first ON true`,
      [after],
    );
    const { aliveAfter, ...behind } = row!;
    return { ...behind, deletedUpTo: Math.max(after, aliveAfter ?? behind.last) };
  }

  /** Reads what the rows refer to. Returns the facts of their hosts, which can change. */
  async #load(session: Session, rows: readonly FoundRow[]): Promise<Map<number, HostFacts>> {
    // After a failover numbers can be given again.
    if (session.generation !== this.#generation) this.#parts.clear();
    this.#generation = session.generation;
    this.#parts.trim();
    const { kinds, shapes, userAgents, callers } = this.#parts;
    const numbers = (column: string) => rows.map(({ row }) => row[column] as number | null);
    const hosts = new Map<number, HostFacts>();
    const facts = (row: Row) => JSON.parse(String(row['facts']));
    await Promise.all([
      load(session, kinds, `id, ${KIND_COLUMNS} FROM kinds WHERE id`, numbers('kind'), (row) => row),
      load(session, shapes, `id, ${SHAPE_COLUMNS} FROM shapes WHERE id`, numbers('shape'), (row) => row),
      load(session, userAgents, 'id, text FROM user_agents WHERE id', numbers('user_agent'), (row) =>
        String(row['text']),
      ),
      load<CallerFacts>(
        session,
        callers,
        'caller AS id, facts FROM caller_facts WHERE caller',
        numbers('caller'),
        facts,
      ),
      load<HostFacts>(session, hosts, 'id, facts FROM hosts WHERE id', numbers('host'), facts),
    ]);
    return hosts;
  }
}

interface FoundRow {
  row: RawCall;
  /** Place among the keys. */
  place: number;
}

/** Reads calls by their keys, in the order of the keys. Those that are deleted are left out. */
async function rawCalls(session: Session, keys: readonly CallKey[]): Promise<FoundRow[]> {
  if (keys.length === 0) return [];
  let [oldestUs, newestUs] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const { timeUs } of keys) {
    oldestUs = Math.min(oldestUs, timeUs);
    newestUs = Math.max(newestUs, timeUs);
  }
  const rows = await session.query<RawCall & { id: string; place: number }>(
    `SELECT c.*, v.place - 1 AS place FROM unnest($1::bigint[], $2::bigint[], $3::uuid[])
       WITH ORDINALITY AS v (host, time_us, id, place)
     JOIN calls c ON c.host = v.host AND c.time_us = v.time_us AND c.id = v.id
     WHERE c.time_us BETWEEN $4 AND $5 ORDER BY v.place`,
    [
      keys.map(({ host }) => host),
      keys.map(({ timeUs }) => timeUs),
      keys.map(({ id }) => id),
      oldestUs,
      newestUs,
    ],
  );
  return rows.map(({ place, id, ...row }) => ({ place, row: { ...row, id: toBytes(id) } as RawCall }));
}

async function load<T>(
  session: Session,
  kept: Map<number, T>,
  source: string,
  numbers: readonly (number | null)[],
  read: (row: Row) => T,
): Promise<void> {
  const missing = [...new Set(numbers)].filter((number) => number !== null && !kept.has(number));
  if (missing.length === 0) return;
  const rows = await session.query<Row & { id: number }>(`SELECT ${source} = ANY ($1)`, [missing]);
  for (const { id, ...row } of rows) kept.set(id, read(row));
}
