/** The embedded store: one SQLite file in WAL mode, written by one collector and readable by any process beside it. */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { Call, HostFacts } from '../../../protocol/call.ts';
import type { Coverage, Heartbeat, Rollup, WireRecord } from '../../../protocol/records.ts';
import type { BatchResult, CallerTotals, Store, StoredBatch } from '../store.ts';
import { toMicroseconds } from '../time.ts';
import { readCallerTotals } from './caller_totals.ts';
import { Callers } from './callers.ts';
import { openForReading, openForWriting } from './database.ts';
import { FINDINGS } from './findings_schema.ts';
import { toBytes } from './uuid_bytes.ts';

/** Opens the store of a collector. Throws `OperatorError`. */
export function openStore(dataDir: string): Store {
  return new SqliteStore(openForWriting(dataDir, FINDINGS));
}

/** Opens the store beside a collector, to ask it. Throws `OperatorError`. */
export function openStoreForReading(dataDir: string): Pick<Store, 'callerTotals' | 'close'> {
  const database = openForReading(dataDir, FINDINGS);
  return {
    callerTotals: async (sinceUs) => readCallerTotals(database, sinceUs),
    close: async () => database.close(),
  };
}

class SqliteStore implements Store {
  readonly #database: DatabaseSync;
  readonly #callers: Callers;
  readonly #statements: ReturnType<typeof prepareAll>;

  constructor(database: DatabaseSync) {
    this.#database = database;
    this.#callers = new Callers(database);
    this.#statements = prepareAll(database);
  }

  async lastSeq(stream: string, hostId: string): Promise<number | null> {
    const row = this.#statements.streamOf.get(stream);
    if (row === undefined) return 0;
    return row['host_id'] === hostId ? Number(row['last_seq']) : null;
  }

  async write(batches: StoredBatch[]): Promise<BatchResult[]> {
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      const results = batches.map((batch) => this.#writeBatch(batch));
      this.#database.exec('COMMIT');
      return results;
    } catch (error) {
      this.#callers.forget();
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      throw error;
    }
  }

  #writeBatch({ stream, seq, host, records }: StoredBatch): BatchResult {
    const { streamOf, setStream } = this.#statements;
    // Read inside the transaction: another connection of the same stream may have been here since it said hello.
    const lastSeq = Number(streamOf.get(stream)?.['last_seq'] ?? 0);
    if (seq <= lastSeq) return { result: 'known', lastSeq, records: 0, duplicates: 0 };
    if (seq > lastSeq + 1) return { result: 'ahead', lastSeq, records: 0, duplicates: 0 };
    const hostRow = this.#hostRow(host);
    let added = 0;
    for (const record of records) if (this.#writeRecord(record, hostRow)) added += 1;
    setStream.run(stream, hostRow, seq);
    return { result: 'stored', lastSeq: seq, records: added, duplicates: records.length - added };
  }

  #hostRow(host: HostFacts): number {
    return Number(this.#statements.setHost.get(host.id, host.name, JSON.stringify(host))!['id']);
  }

  /** False when its id is there already. */
  #writeRecord(record: WireRecord, host: number): boolean {
    switch (record.kind) {
      case 'call':
        return this.#writeCall(record.call, host);
      case 'rollup':
        return this.#writeRollup(record.rollup, host);
      case 'coverage':
        return this.#writeCoverage(record.coverage, host);
    }
  }

  #writeCall(call: Call, host: number): boolean {
    const { caller, identity } = this.#callers.rowsOf(call);
    const { changes } = this.#statements.addCall.run(
      toBytes(call.id),
      toMicroseconds(call.time),
      host,
      identity,
      caller,
      call['imds.version'],
      call['imds.kind'],
      call['imds.category'],
      call['imds.role'],
      call['imds.endpoint'],
      call['imds.server_version'],
      call['imds.fallback'],
      call['http.request.method'],
      call['url.path'],
      call['url.query'],
      this.#callers.userAgent(call['user_agent.original']),
      call['http.response.status_code'],
      call.outcome,
      call.duration_ms,
      call['source.address'],
      call['source.port'],
      call['destination.address'],
      call['destination.port'],
    );
    return changes === 1;
  }

  #writeRollup(rollup: Rollup, host: number): boolean {
    const { caller, identity } = this.#callers.rowsOf(rollup);
    const row = this.#statements.addRollup.get(
      toBytes(rollup.id),
      toMicroseconds(rollup.first_time),
      toMicroseconds(rollup.last_time),
      host,
      identity,
      caller,
      this.#callers.userAgent(rollup['user_agent.original']),
      rollup['source.address'],
      rollup.count,
    );
    if (row === undefined) return false;
    for (const line of rollup.lines) {
      this.#statements.addRollupLine.run(
        Number(row['id']),
        line['imds.kind'],
        line['imds.category'],
        line['http.request.method'],
        line['url.path'],
        line['http.response.status_code'],
        line.outcome,
        line.count,
      );
    }
    return true;
  }

  #writeCoverage(coverage: Coverage, host: number): boolean {
    const { changes } = this.#statements.addCoverage.run(
      toBytes(coverage.id),
      host,
      coverage.boot_id,
      toMicroseconds(coverage.start),
      toMicroseconds(coverage.end),
      coverage.live_ms,
      coverage.kernel_connections,
      coverage.seen_connections,
      JSON.stringify(coverage.losses),
    );
    return changes === 1;
  }

  async heartbeat(heartbeat: Heartbeat): Promise<void> {
    this.#statements.setHeartbeat.run(
      heartbeat.host_id,
      toMicroseconds(heartbeat.time),
      JSON.stringify(heartbeat),
    );
  }

  async callerTotals(sinceUs: number): Promise<CallerTotals> {
    return readCallerTotals(this.#database, sinceUs);
  }

  async close(): Promise<void> {
    if (this.#database.isOpen) this.#database.close();
  }
}

function prepareAll(
  database: DatabaseSync,
): Record<
  | 'streamOf'
  | 'setStream'
  | 'setHost'
  | 'addCall'
  | 'addRollup'
  | 'addRollupLine'
  | 'addCoverage'
  | 'setHeartbeat',
  StatementSync
> {
  return {
    streamOf: database.prepare(
      'SELECT last_seq, host_id FROM streams JOIN hosts ON hosts.id = streams.host WHERE stream = ?',
    ),
    setStream: database.prepare(
      `INSERT INTO streams (stream, host, last_seq) VALUES (?, ?, ?)
       ON CONFLICT (stream) DO UPDATE SET last_seq = excluded.last_seq`,
    ),
    setHost: database.prepare(
      `INSERT INTO hosts (host_id, name, facts) VALUES (?, ?, ?)
       ON CONFLICT (host_id) DO UPDATE SET name = excluded.name, facts = excluded.facts RETURNING id`,
    ),
    addCall: database.prepare(
      `INSERT INTO calls (id, time_us, host, identity, caller, version, kind, category, role, endpoint, server_version,
         fallback, method, path, query, user_agent, status, outcome, duration_ms, source_address, source_port,
         destination_address, destination_port)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
    ),
    addRollup: database.prepare(
      `INSERT INTO rollups (rollup_id, first_us, last_us, host, identity, caller, user_agent, source_address, count)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (rollup_id) DO NOTHING RETURNING id`,
    ),
    addRollupLine: database.prepare(
      `INSERT INTO rollup_lines (rollup, kind, category, method, path, status, outcome, count)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
    addCoverage: database.prepare(
      `INSERT INTO coverage (id, host, boot_id, start_us, end_us, live_ms, kernel_connections, seen_connections, losses)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
    ),
    setHeartbeat: database.prepare(
      `INSERT INTO heartbeats (host_id, time_us, heartbeat) VALUES (?, ?, ?)
       ON CONFLICT (host_id) DO UPDATE SET time_us = excluded.time_us, heartbeat = excluded.heartbeat`,
    ),
  };
}
