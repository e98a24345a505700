/**
 * The rows that the transactions of one writer are about, in an embedded database in memory. The accounting of the
 * embedded store (`BatchWriter`) runs on it unchanged, so that both stores count alike: roll-ups, gaps, bounds and
 * workloads have one implementation. Afterwards the changed rows are read back and stored in PostgreSQL.
 *
 * The set remembers rows from one transaction to the next. The rows of a host are good for as long as the version of the
 * host is the same; rows of dictionaries never change. After an error the set is thrown away.
 */
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { BatchWriter } from '../sqlite/batch_writer.ts';
import { FINDINGS } from '../sqlite/findings_schema.ts';
import type { PackedBatches } from '../sqlite/packed_batch.ts';
import type { BatchResult } from '../store.ts';
import { AddedRows } from './added_rows.ts';
import type { Column, Value } from './bulk.ts';
import { type HostRow, KnownHosts } from './known_hosts.ts';
import { NumberMap, referredBy, withUserAgent } from './working_numbers.ts';
import {
  COVERAGE_DAYS,
  EMPTIED,
  HOST_TABLES,
  IDENTITY_HOSTS,
  NUMBERED,
  type Numbered,
  TRACKED,
  trackChanges,
  type WorkingTable,
} from './working_tables.ts';

/** Bounds on rows that are remembered. Beyond one, the set is thrown away and filled again as needed. */
const MAX_HOSTS = 8_192;
const COUNTED_TRANSACTIONS = 200;
/** Indexes by which the writer looks rows up. */
const USED_INDEXES: ReadonlySet<string> = new Set(['identities_of_host', 'future_calls_by_time']);
const MAX_ROWS = { callers: 250_000, identities: 50_000, paths_v1: 250_000 };

export interface ChangedRows {
  /** Columns in the order of keys and others. */
  rows: Value[][];
  /** Keys of rows that are gone. */
  deleted: Value[][];
}

export class WorkingSet {
  readonly #database: DatabaseSync;
  readonly #writer: BatchWriter;
  readonly #statements = new Map<string, StatementSync>();
  /** The calls and sums of the transaction. */
  readonly added = new AddedRows((identity, host) => this.#addIdentityHost(identity, host));
  /** The hosts whose rows are here. */
  readonly hosts = new KnownHosts();
  #transactions = 0;
  /** True where the writer may remember rows as they were before. */
  #isOutdated = false;
  /** Stored times of dictionary rows, by their numbers here. */
  readonly #times = new Map(NUMBERED.map((name) => [name, new Map<number, number>()]));
  readonly #ids = new Map(NUMBERED.map((name) => [name, new NumberMap()]));

  /** `nowUs`: the collector's clock, in microseconds since 1970. */
  constructor(nowUs: () => number, helperPrograms: readonly string[]) {
    this.#database = new DatabaseSync(':memory:');
    for (const step of FINDINGS.migrations) {
      if (typeof step === 'string') this.#database.exec(step);
      else step(this.#database);
    }
    this.#database.exec('PRAGMA foreign_keys = OFF');
    this.#dropIndexes();
    trackChanges(this.#database);
    // The bounds of a host are stored with every transaction: the next one may be another collector's.
    this.#writer = new BatchWriter(this.#database, nowUs, helperPrograms, 0, this.added);
  }

  /** Most indexes serve questions, which nobody asks here, and cost a third of the time of a transaction. */
  #dropIndexes(): void {
    const indexes = this.#rows(`SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL`);
    for (const [name] of indexes) {
      if (!USED_INDEXES.has(String(name))) this.#database.exec(`DROP INDEX ${name}`);
    }
  }

  close(): void {
    this.#database.close();
  }

  /** True where the set remembers too much, and a new one should be used. Counting takes time, and is done at times. */
  get isFull(): boolean {
    this.#transactions += 1;
    if (this.#transactions % COUNTED_TRANSACTIONS !== 0) return false;
    return (
      this.hosts.size > MAX_HOSTS ||
      Object.entries(MAX_ROWS).some(
        ([table, max]) => Number(this.#rows(`SELECT count(*) FROM ${table}`)[0]![0]) > max,
      )
    );
  }

  /** Returns the numbers of the rows of a table, here and in PostgreSQL. */
  ids(table: Numbered): NumberMap {
    return this.#ids.get(table)!;
  }

  /** Puts stored rows in place, as what is known. The rows that they refer to must be here already. */
  load({ name, keys, others }: WorkingTable, rows: readonly (readonly Value[])[]): void {
    const columns = [...keys, ...others].map(([column]) => column);
    const statement = this.#prepare(
      `INSERT OR REPLACE INTO ${name} (${columns.join(', ')}) VALUES (${columns.map(() => '?').join(', ')})`,
    );
    for (const row of rows) {
      const values = row.map((value, at) => this.#localOf(name, columns[at]!, value));
      statement.run(...(values as (string | number | null)[]));
    }
    if (name !== IDENTITY_HOSTS.name) this.#prepare(`DELETE FROM changed_${name}`).run();
  }

  /**
   * Adds stored rows of a table with numbers: the stored number, then the other columns. Rows that are here already are
   * given their stored number.
   */
  loadNumbered({ name, others }: WorkingTable & { name: string }, rows: readonly (readonly Value[])[]): void {
    const table = name as Numbered;
    const columns = others.map(([column]) => column);
    const unique = table === 'callers' ? 'hash' : table === 'profiles' ? 'facts' : 'key';
    const statement = this.#prepare(
      `INSERT INTO ${name} (${columns.join(', ')}) VALUES (${columns.map(() => '?').join(', ')})
       ON CONFLICT (${unique}) DO UPDATE SET ${unique} = excluded.${unique} RETURNING id`,
    );
    for (const [stored, ...row] of rows) {
      const values = row.map((value, at) => this.#localOf(name, columns[at]!, value));
      const { id } = statement.get(...(values as (string | number | null)[])) as { id: number };
      this.ids(table).set(id, Number(stored));
    }
    this.#prepare(`DELETE FROM changed_${name}`).run();
    // The writer knows how many kinds there are.
    if (name === 'kinds') this.#isOutdated = true;
  }

  #localOf(table: string, column: string, value: Value): Value {
    if (table === 'kinds' && column === 'key') {
      return withUserAgent(String(value), (id) => this.#localOf('kinds', 'user_agent', id) as number);
    }
    const referred = referredBy(table, column);
    if (referred === null || value === null) return value;
    const local = this.ids(referred).localOf(value as number);
    if (local === undefined) throw new Error(`${table}.${column} refers to ${value}, which was not loaded.`);
    return local;
  }

  /** Puts stored numbers in place of those of the working set. Every row that is referred to must be stored. */
  toStored(table: string, columns: readonly Column[], rows: Value[][]): Value[][] {
    columns.forEach(([column], at) => {
      if (table === 'kinds' && column === 'key') {
        const userAgents = this.ids('user_agents');
        for (const row of rows) row[at] = withUserAgent(String(row[at]), (id) => userAgents.storedOf(id));
      }
      const referred = referredBy(table, column);
      if (referred === null) return;
      const ids = this.ids(referred);
      for (const row of rows) {
        // Workload 0 and kind 0 stand for sums over all of them.
        if (row[at] !== null && row[at] !== 0) row[at] = ids.storedOf(row[at] as number);
      }
    });
    return rows;
  }

  /** Adds a path that a workload, by its stored number, has requested before. */
  loadPath(identity: number, path: string): void {
    const local = this.#localOf('paths_v1', 'identity', identity);
    this.#prepare('INSERT OR IGNORE INTO paths_v1 VALUES (?, 1, ?, 0, 0)').run(Number(local), path);
  }

  /** Adds a host. Its other rows must be loaded too, unless it has none. */
  loadHost(host: HostRow): void {
    this.#prepare('INSERT OR REPLACE INTO hosts VALUES (?, ?, ?, ?, ?, ?)').run(
      host.id,
      host.host_id,
      host.name,
      host.facts,
      host.first_us,
      host.last_us,
    );
    this.hosts.add(host);
    this.#writer.forgetHost(host.host_id, host.id);
  }

  /** Adds the position of a stream of a host. `owner`: number of the host that it is stored for; null if it is not stored. */
  loadStream(hostId: string, stream: string, owner: number | null, lastSeq: number): void {
    const host = this.hosts.get(hostId);
    if (host !== undefined) this.hosts.addStream(host, stream, lastSeq);
    this.#writer.forgetStream(stream);
    if (owner === null) return;
    // A position is looked up together with its host. Where it is not loaded, its number stands for it.
    this.#prepare(`INSERT OR IGNORE INTO hosts VALUES (?1, char(0) || ?1, '', '', NULL, NULL)`).run(owner);
    this.#prepare('INSERT OR REPLACE INTO streams VALUES (?, ?, ?)').run(stream, owner, lastSeq);
  }

  /** Returns the position of a stream that is loaded, or that is not stored. */
  lastSeq(stream: string): number {
    return Number(this.#rows('SELECT last_seq FROM streams WHERE stream = ?', stream)[0]?.[0] ?? 0);
  }

  /** Forgets the rows of a host, which another writer has changed. */
  dropHost(hostId: string): void {
    const known = this.hosts.get(hostId);
    if (known === undefined) return;
    for (const { name } of [...HOST_TABLES, COVERAGE_DAYS]) {
      this.#prepare(`DELETE FROM ${name} WHERE host = ?`).run(known.row);
      this.#prepare(`DELETE FROM changed_${name}`).run();
    }
    this.#prepare('DELETE FROM identity_hosts WHERE host = ?').run(known.row);
    this.added.forgetHost(known.row);
    this.hosts.forget(hostId);
  }

  /** Returns the hashes of the callers that are not here. A caller without a key cannot be looked up before it is written. */
  unknownCallers({ callers }: PackedBatches): Buffer[] {
    const find = this.#prepare('SELECT 1 FROM callers WHERE hash = ?');
    const hashes: Buffer[] = [];
    for (const { key } of callers) {
      if (key === null || this.#writer.remembersCaller(key)) continue;
      const hash = Buffer.from(key, 'base64');
      if (find.get(hash) === undefined) hashes.push(hash);
    }
    return hashes;
  }

  /** Adds a call that is stored, so that it is not counted again. */
  loadCall(timeUs: number, id: Buffer): void {
    this.added.noteStoredCall(timeUs, id);
  }

  /** Adds the id of a roll-up or coverage report that is stored. */
  loadRecordId(id: Buffer): void {
    this.#prepare(
      `INSERT OR IGNORE INTO rollups (rollup_id, first_us, last_us, host, identity, caller, user_agent, source_address, count)
       VALUES (?, 0, 0, 0, 0, 0, NULL, '', 0)`,
    ).run(id);
    this.#prepare(
      `INSERT OR IGNORE INTO coverage (id, host, boot_id, start_us, end_us, live_ms, kernel_connections, seen_connections, losses)
       VALUES (?, 0, '', 0, 0, 0, NULL, 0, '{}')`,
    ).run(id);
  }

  /** Adds a call that was dated by its receipt. */
  loadFutureCall(storedUs: number, id: Buffer): void {
    this.#prepare('INSERT OR IGNORE INTO future_calls VALUES (?, ?)').run(id, storedUs);
    this.#prepare('DELETE FROM changed_future_calls').run();
  }

  /** Notes the stored time of a dictionary row. */
  noteTime(table: Numbered, local: number, us: number): void {
    this.#times.get(table)!.set(local, us);
  }

  noteStoredTime(table: Numbered, stored: number, us: number): void {
    this.noteTime(table, this.ids(table).localOf(stored)!, us);
  }

  /** Tells whether a time is so much later than the stored one. */
  isLater(table: Numbered, local: number, us: number, byUs: number): boolean {
    const times = this.#times.get(table)!;
    const stored = times.get(local);
    return stored !== undefined && us - stored >= byUs;
  }

  /** A workload of a host is counted and looked up; its times are only in PostgreSQL. */
  #addIdentityHost(identity: number, host: number): void {
    this.#prepare('INSERT OR IGNORE INTO identity_hosts VALUES (?, ?, 0, 0, NULL)').run(identity, host);
  }

  begin(): void {
    for (const ids of this.#ids.values()) ids.begin();
    this.#database.exec('BEGIN');
  }

  /** Writes batches into the set. */
  write(packed: PackedBatches): BatchResult[] {
    if (this.#isOutdated) this.#writer.forget();
    this.#isOutdated = false;
    const results = this.#writer.write(packed);
    this.#writer.flush();
    return results;
  }

  /** Keeps what was written, and prepares for the next transaction. */
  commit(): void {
    this.added.commit();
    this.#prepare('DELETE FROM future_calls').run();
    for (const { name } of TRACKED) this.#prepare(`DELETE FROM changed_${name}`).run();
    for (const name of EMPTIED) this.#prepare(`DELETE FROM ${name}`).run();
    this.#prepare('UPDATE paths_v1 SET count = 0, last_us = 0 WHERE count > 0').run();
    this.#database.exec('COMMIT');
  }

  /** Takes back everything since `begin`. */
  rollback(): void {
    if (!this.#database.isTransaction) return;
    this.#database.exec('ROLLBACK');
    for (const [table, ids] of this.#ids) {
      for (const local of ids.rollback()) this.#times.get(table)!.delete(local);
    }
    this.#writer.forget();
  }

  /** Returns the rows of a table that were changed. */
  changes({ name, keys, others }: WorkingTable): ChangedRows {
    const on = keys.map(([column]) => `t.${column} = c.${column}`).join(' AND ');
    const keyColumns = keys.map(([column]) => `c.${column}`);
    const rows = this.#rows(
      `SELECT ${[...keyColumns, ...others.map(([column]) => `t.${column}`)].join(', ')}, t.${keys[0]![0]} IS NULL
       FROM changed_${name} c LEFT JOIN ${name} t ON ${on} ORDER BY ${keyColumns.join(', ')}`,
    );
    const changed: ChangedRows = { rows: [], deleted: [] };
    for (const row of rows) {
      if (row.pop() === 1) changed.deleted.push(row.slice(0, keys.length));
      else changed.rows.push(row);
    }
    return changed;
  }

  /** Returns rows by SQL of the embedded database. */
  rows(sql: string, ...values: (string | number)[]): Value[][] {
    return this.#rows(sql, ...values);
  }

  #rows(sql: string, ...values: (string | number)[]): Value[][] {
    const statement = this.#prepare(sql);
    statement.setReturnArrays(true);
    const rows = statement.all(...values) as unknown as Value[][];
    // Bytes come as a plain array.
    for (const row of rows) {
      for (let at = 0; at < row.length; at += 1) {
        const value: unknown = row[at];
        if (value instanceof Uint8Array) row[at] = Buffer.from(value.buffer, value.byteOffset, value.length);
      }
    }
    return rows;
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
