/** Reads calls in the order of their arrival. */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { Call, HostFacts } from '../../../protocol/call.ts';
import {
  ARRIVALS_FOLLOWED_US,
  type ArrivedCalls,
  endsOf,
  keysBehind,
  type StoredNote,
  type WaitingArrivals,
} from '../arrivals.ts';
import { CallParts, KIND_COLUMNS, type RawCall, type Row, SHAPE_COLUMNS } from '../call_parts.ts';
import type { CallerFacts } from '../workload_identity.ts';

export class ArrivalsReader {
  readonly #parts = new CallParts();
  readonly #statements: Record<
    | 'notes'
    | 'call'
    | 'kind'
    | 'shape'
    | 'userAgent'
    | 'caller'
    | 'host'
    | 'last'
    | 'first'
    | 'alive'
    | 'oldest'
    | 'followed',
    StatementSync
  >;

  constructor(database: DatabaseSync) {
    this.#statements = {
      notes: database.prepare(
        'SELECT last, calls, stored_us AS storedUs, keys FROM arrivals WHERE last > ? ORDER BY last',
      ),
      call: database.prepare('SELECT * FROM calls WHERE time_us = ? AND id = ?'),
      kind: database.prepare(`SELECT ${KIND_COLUMNS} FROM kinds WHERE id = ?`),
      shape: database.prepare(`SELECT ${SHAPE_COLUMNS} FROM shapes WHERE id = ?`),
      userAgent: database.prepare('SELECT text FROM user_agents WHERE id = ?'),
      caller: database.prepare('SELECT facts FROM caller_facts WHERE caller = ?'),
      host: database.prepare('SELECT facts FROM hosts WHERE id = ?'),
      last: database.prepare('SELECT coalesce(max(last), 0) AS last FROM arrivals'),
      first: database.prepare(
        `SELECT stored_us AS storedUs, oldest_us AS oldestUs FROM arrivals WHERE last > ? ORDER BY last LIMIT 1`,
      ),
      alive: database.prepare(
        'SELECT last - calls AS before FROM arrivals WHERE last > ? AND newest_us >= ? ORDER BY last LIMIT 1',
      ),
      oldest: database.prepare('SELECT min(time_us) AS oldest FROM calls'),
      followed: database.prepare(`SELECT value FROM sums WHERE name = '${ARRIVALS_FOLLOWED_US}'`),
    };
  }

  /** See `ArrivalStore`. */
  arrivals(after: number, limit: number): ArrivedCalls {
    this.#parts.trim();
    const { keys, positions, storedUs } = keysBehind(this.#notes(after, limit), after, limit);
    const hosts = new Map<number, HostFacts>();
    const found: ArrivedCalls = {
      ...{ calls: [], positions: [], storedUs: [], next: positions.at(-1) ?? after },
      ends: endsOf(keys, positions),
    };
    keys.forEach(({ host, timeUs, id }, at) => {
      const row = this.#statements.call.get(timeUs, Buffer.from(id, 'hex')) as RawCall | undefined;
      if (row === undefined || row.host !== host) return;
      const call = this.#callOf(row, hosts);
      if (call === null) return;
      found.calls.push(call);
      found.positions.push(positions[at]!);
      found.storedUs.push(storedUs[at]!);
    });
    return found;
  }

  arrivalsBehind(after: number): WaitingArrivals {
    const last = Number(this.#statements.last.get()!['last']);
    const first = this.#statements.first.get(after) as
      | Pick<WaitingArrivals, 'storedUs' | 'oldestUs'>
      | undefined;
    const oldest = this.#statements.oldest.get()!['oldest'] ?? Number.MAX_SAFE_INTEGER;
    const alive = first === undefined ? undefined : this.#statements.alive.get(after, oldest);
    const deletedUpTo =
      alive === undefined ? Math.max(after, last) : Math.max(after, Number(alive['before']));
    const followed = this.#statements.followed.get();
    return {
      ...{ last, storedUs: first?.storedUs ?? null, oldestUs: first?.oldestUs ?? null, deletedUpTo },
      followedUs: followed === undefined ? null : Number(followed['value']),
    };
  }

  #notes(after: number, limit: number): StoredNote[] {
    const notes: StoredNote[] = [];
    for (const note of this.#statements.notes.iterate(after) as Iterable<unknown>) {
      notes.push(note as StoredNote);
      if ((note as StoredNote).last - after >= limit) break;
    }
    return notes;
  }

  #callOf(row: RawCall, hosts: Map<number, HostFacts>): Call | null {
    const { kinds, shapes, userAgents, callers } = this.#parts;
    this.#load(kinds, 'kind', row.kind, (found) => found);
    this.#load(shapes, 'shape', row.shape, (found) => found);
    if (row.user_agent !== null)
      this.#load(userAgents, 'userAgent', row.user_agent, ({ text }) => String(text));
    this.#load(callers, 'caller', row.caller, ({ facts }) => JSON.parse(String(facts)) as CallerFacts);
    this.#load(hosts, 'host', row.host, ({ facts }) => JSON.parse(String(facts)) as HostFacts);
    return this.#parts.callOf(row, hosts.get(row.host));
  }

  #load<T>(
    kept: Map<number, T>,
    name: 'kind' | 'shape' | 'userAgent' | 'caller' | 'host',
    number: number,
    read: (row: Row) => T,
  ): void {
    if (kept.has(number)) return;
    const row = this.#statements[name].get(number);
    if (row !== undefined) kept.set(number, read(row));
  }
}
