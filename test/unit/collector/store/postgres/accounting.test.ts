/** Tests that the rows in PostgreSQL are those of the embedded store, for random batches of some hosts. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import * as fc from 'fast-check';
import { DatabasePool } from '../../../../../collector/store/postgres/database_pool.ts';
import { parseDatabaseUrl } from '../../../../../collector/store/postgres/database_url.ts';
import { FINDINGS_SCHEMA } from '../../../../../collector/store/postgres/findings_schema.ts';
import { Partitions } from '../../../../../collector/store/postgres/partitions.ts';
import { PostgresWriter } from '../../../../../collector/store/postgres/postgres_writer.ts';
import { migrate } from '../../../../../collector/store/postgres/schema_steps.ts';
import { openForWriting } from '../../../../../collector/store/sqlite/database.ts';
import { FINDINGS } from '../../../../../collector/store/sqlite/findings_schema.ts';
import { FindingsWriter } from '../../../../../collector/store/sqlite/findings_writer.ts';
import { pack } from '../../../../../collector/store/sqlite/packed_batch.ts';
import { NOW_US, randomBatches } from '../../../../support/collector/store/random_batches.ts';
import { call, host, program, stream } from '../../../../support/collector/store/records.ts';
import { NO_POSTGRES, PostgresServer } from '../../../../support/postgres.ts';

/** Rows of each table, with names in place of numbers. PostgreSQL adds up what writers have in slots of their own. */
const ROWS: Record<string, string> = {
  hosts: 'SELECT host_id, name, facts, first_us, last_us FROM hosts',
  streams: 'SELECT stream, host_id, last_seq FROM streams JOIN hosts ON hosts.id = streams.host',
  ...Object.fromEntries(
    [
      ['hourly', 'hour'],
      ['daily', 'day'],
    ].map(([table, unit]) => [
      table,
      `SELECT t.class, ${unit}, i.key, host_id, ${kind('t.kind')} AS kind, count, t.first_us, t.last_us FROM ${table} t
       JOIN hosts ON hosts.id = t.host LEFT JOIN identities i ON i.id = t.identity`,
    ]),
  ),
  ...Object.fromEntries(
    [
      ['fleet_hourly', 'hour'],
      ['fleet_daily', 'day'],
    ].map(([table, unit]) => [
      table,
      `SELECT t.class, ${unit}, i.key, ${kind('t.kind')} AS kind, cast(sum(count) AS bigint) AS count,
         min(t.first_us) AS first_us, max(t.last_us) AS last_us FROM ${table} t
       LEFT JOIN identities i ON i.id = t.identity GROUP BY 1, 2, 3, 4`,
    ]),
  ),
  identities: 'SELECT key, facts FROM identities',
  identity_hosts: `SELECT key, host_id, t.first_us, t.last_us, last_v1_us FROM identity_hosts t
    JOIN hosts ON hosts.id = t.host JOIN identities i ON i.id = t.identity`,
  paths: `SELECT key, listed, path, cast(sum(count) AS bigint) AS count, max(last_us) AS last_us FROM paths_v1
    JOIN identities i ON i.id = identity GROUP BY 1, 2, 3`,
  callers: `SELECT f.facts, i.key, host_id, c.last_us FROM callers c JOIN caller_facts f ON f.caller = c.id
    JOIN identities i ON i.id = c.identity JOIN hosts ON hosts.id = c.host`,
  calls: `SELECT time_us, host_id, i.key, path, query, duration_ms, source_address, source_port, s.key AS shape,
      f.facts, ${kind('c.kind')} AS kind FROM calls c JOIN hosts ON hosts.id = c.host
    JOIN identities i ON i.id = c.identity JOIN shapes s ON s.id = c.shape JOIN caller_facts f ON f.caller = c.caller`,
  user_agents: 'SELECT text FROM user_agents',
  hops: `SELECT key, host_id, hops, token_hop_limit, t.last_us FROM measured_hops t
    JOIN hosts ON hosts.id = t.host JOIN identities i ON i.id = t.identity`,
  watched: 'SELECT host_id, w.first_us, w.last_us, boot_id FROM watched w JOIN hosts ON hosts.id = w.host',
  runs: 'SELECT host_id, state FROM runs JOIN hosts ON hosts.id = runs.host',
  boots: 'SELECT host_id, boot_id, b.first_us, b.last_us FROM boots b JOIN hosts ON hosts.id = b.host',
  gaps: 'SELECT host_id, reason, start_us, end_us, amounts FROM gaps JOIN hosts ON hosts.id = gaps.host',
  coverage_days: `SELECT host_id, day, live_ms, kernel_connections, seen_connections, losses FROM coverage_days c
    JOIN hosts ON hosts.id = c.host`,
  profiles: `SELECT host_id, p.facts, until_us, p.first_us FROM host_profiles JOIN hosts ON hosts.id = host
    JOIN profiles p ON p.id = profile`,
};

function kind(column: string): string {
  const fields = ['version', 'endpoint', 'category', 'status', 'outcome', 'fallback', 'role', 'text'];
  const texts = fields.map((field) => `coalesce(cast(${field} AS text), '-')`).join(` || ' ' || `);
  return `(SELECT ${texts} FROM kinds LEFT JOIN user_agents ON user_agents.id = user_agent WHERE kinds.id = ${column})`;
}

/** No text in PostgreSQL has U+0000. */
function sorted(rows: readonly Record<string, unknown>[]): string[] {
  return rows.map((row) => JSON.stringify(row).replaceAll('\\u0000', '\ufffd')).sort();
}

describe('the same accounting', { skip: NO_POSTGRES }, () => {
  let server: PostgresServer;
  let directory: string;
  before(async () => {
    server = await PostgresServer.start();
    directory = mkdtempSync(join(tmpdir(), 'imdswatch-accounting-'));
  });
  after(async () => {
    await server?.close();
    if (directory !== undefined) rmSync(directory, { recursive: true });
  });

  async function openBoth(writers: number) {
    const url = await server.createDatabase();
    const pool = new DatabasePool(parseDatabaseUrl(url));
    const dictionaries = new DatabasePool(parseDatabaseUrl(url), { max: 2 });
    await migrate(pool, FINDINGS_SCHEMA);
    const nowUs = () => NOW_US;
    const options = { pool, dictionaries, nowUs, helperPrograms: [], lanes: 2 };
    const postgres = Array.from(
      { length: writers },
      () => new PostgresWriter({ ...options, partitions: new Partitions(dictionaries, nowUs) }),
    );
    const database: DatabaseSync = openForWriting(mkdtempSync(join(directory, 'store-')), FINDINGS);
    const sqlite = new FindingsWriter(database, nowUs);
    const close = async () => {
      database.close();
      await Promise.all(postgres.map((writer) => writer.close()));
      await Promise.all([pool.close(), dictionaries.close()]);
    };
    return { pool, postgres, database, sqlite, close };
  }

  test('random batches make equal rows, also by two writers that take turns', async () => {
    await fc.assert(
      fc.asyncProperty(randomBatches(), fc.array(fc.nat(1)), async (groups, turns) => {
        const { pool, postgres, database, sqlite, close } = await openBoth(2);
        try {
          for (const [at, batches] of groups.entries()) {
            const expected = sqlite.write(pack(batches));
            assert.deepEqual(await postgres[turns[at % (turns.length || 1)] ?? 0]!.write(batches), expected);
          }
          for (const [table, sql] of Object.entries(ROWS)) {
            assert.deepEqual(sorted(await pool.query(sql)), sorted(database.prepare(sql).all()), table);
          }
        } finally {
          await close();
        }
      }),
      // Each attempt to shrink makes two stores.
      { numRuns: 3, endOnFailure: true },
    );
  });

  test('sums that were deleted after they were written are added again', async () => {
    const { pool, postgres, close } = await openBoth(1);
    const next = stream(host('web'));
    const write = (at: number) => postgres[0]!.write([next(call(at), call(at + 1))]);
    const counts = async (table: string) =>
      (await pool.query<{ count: number }>(`SELECT count FROM ${table} WHERE class <> 0`)).map(
        ({ count }) => count,
      );
    try {
      for (const at of [1000, 2000]) await write(at);
      assert.deepEqual(await counts('hourly'), [4]);
      await pool.query('DELETE FROM hourly');
      const [result] = await write(3000);
      assert.deepEqual(result, { result: 'stored', lastSeq: 3, records: 2, duplicates: 0 });
      assert.deepEqual(await counts('hourly'), [2]);
      assert.deepEqual(await counts('daily'), [6]);
      await write(4000);
      assert.deepEqual(await counts('hourly'), [4]);
      assert.deepEqual(
        await counts('fleet_hourly').then((all) => all.reduce((sum, each) => sum + each, 0)),
        8,
      );
    } finally {
      await close();
    }
  });

  test('a host that takes turns between collectors has the bounds of one that does not', async () => {
    const { pool, postgres, database, sqlite, close } = await openBoth(2);
    try {
      const next = stream(
        host('busy'),
        Array.from({ length: 45 }, (_, at) => program(`p-${at}`)),
      );
      // Each batch adds fewer workloads than one collector would store by itself.
      for (let at = 0; at < 50; at += 1) {
        const callers = Array.from({ length: 45 }, (_, n) => program(`p-${at}-${n}`));
        const calls = callers.map((_, n) => call(NOW_US - 1_000_000 + at * 100 + n, {}, n));
        const batch = { ...next(...calls), callers };
        const expected = sqlite.write(pack([batch]));
        assert.deepEqual(await postgres[at % 2]!.write([batch]), expected);
      }
      for (const table of ['identity_hosts', 'gaps', 'hourly', 'fleet_daily', 'callers']) {
        const sql = ROWS[table]!;
        assert.deepEqual(sorted(await pool.query(sql)), sorted(database.prepare(sql).all()), table);
      }
      assert.deepEqual(await pool.query('SELECT count(*) AS workloads FROM identity_hosts'), [
        { workloads: 2_001 },
      ]);
    } finally {
      await close();
    }
  });
});
