/** Tests that any value reaches the database as it is, in the columns of one statement. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import * as fc from 'fast-check';
import {
  type Column,
  changeRows,
  transposed,
  unnested,
  type Value,
} from '../../../../../collector/store/postgres/bulk.ts';
import { DatabasePool } from '../../../../../collector/store/postgres/database_pool.ts';
import { parseDatabaseUrl } from '../../../../../collector/store/postgres/database_url.ts';
import { RetryError } from '../../../../../collector/store/postgres/retries.ts';
import { NO_POSTGRES, PostgresServer } from '../../../../support/postgres.ts';

const COLUMNS: readonly Column[] = [
  ['number', 'bigint'],
  ['ratio', 'double precision'],
  ['words', 'text'],
  ['bytes', 'bytea'],
  ['id', 'uuid'],
  ['yes', 'boolean'],
];
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: null });
const text = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.string({ unit: fc.constantFrom('"', '\\', ',', '{', '}', ' ', '\n', "'", '$', 'NULL') }),
  fc.constantFrom('', 'NULL', 'null', '{}', '"', '\\', '\\x00', '\t'),
);
const row = fc.tuple(
  maybe(fc.maxSafeInteger()),
  maybe(fc.double({ noNaN: true, noDefaultInfinity: true })),
  maybe(text),
  maybe(fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes))),
  maybe(fc.uuid()),
  maybe(fc.boolean()),
);

describe('columns of a statement', { skip: NO_POSTGRES }, () => {
  let server: PostgresServer;
  let pool: DatabasePool;
  before(async () => {
    server = await PostgresServer.start();
    pool = new DatabasePool(parseDatabaseUrl(await server.createDatabase()), { max: 1, prepares: true });
  });
  after(async () => {
    await pool?.close();
    await server?.close();
  });

  test('keep all values', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(row, { maxLength: 20 }), async (rows: Value[][]) => {
        const read = await pool.session((session) =>
          session.arrays<Value[]>(
            `SELECT * FROM ${unnested(COLUMNS).replace('AS v (', 'WITH ORDINALITY AS v (').replace(/\)$/, ', at)')} ORDER BY at`,
            transposed(COLUMNS, rows),
          ),
        );
        const plain = (value: Value) => (Object.is(value, -0) ? 0 : value);
        assert.deepEqual(
          read.map((each) => each.slice(0, -1).map(plain)),
          rows.map((each) => each.map(plain)),
        );
      }),
      { numRuns: 60, examples: [[[[1, -0, 'a\u{1F600}"b\\', Buffer.from([0, 255]), null, false]]]] },
    );
  });

  test('replace U+0000, which no text of PostgreSQL can hold', async () => {
    const [read] = await pool.query<{ words: string }>(
      `SELECT words FROM ${unnested([['words', 'text']])}`,
      transposed([['words', 'text']], [['a\0"b']]),
    );
    assert.equal(read!.words, 'a\ufffd"b');
  });

  test('change the rows with their keys and no others, found by the primary key alone', async () => {
    const columns: readonly Column[] = [
      ['host', 'bigint'],
      ['hour', 'integer'],
      ['count', 'bigint'],
    ];
    await pool.session((session) =>
      session.query('CREATE TABLE counts (host bigint, hour integer, count bigint)'),
    );
    await pool.query('ALTER TABLE counts ADD PRIMARY KEY (host, hour)');
    await pool.query('CREATE INDEX counts_by_hour ON counts (hour, host)');
    await pool.query('INSERT INTO counts SELECT h, 1, 0 FROM generate_series(1, 1000) h');
    const expected = new Map<number, number>();
    const change = (hosts: readonly number[]) =>
      pool.transaction((session) =>
        changeRows(
          session,
          'counts',
          columns,
          ['host', 'hour'],
          hosts.map((host) => [host, 1, 2]),
          'count = counts.count + v.count',
        ),
      );
    const hosts = fc.uniqueArray(fc.integer({ min: 1, max: 1000 }), { maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(hosts, async (chosen) => {
        await change(chosen);
        for (const host of chosen) expected.set(host, (expected.get(host) ?? 0) + 2);
      }),
      { numRuns: 20 },
    );
    await assert.rejects(change([1, 1001, 2]), RetryError);
    const rows = await pool.query<{ host: number; count: number }>(
      'SELECT host, count FROM counts WHERE count > 0',
    );
    assert.deepEqual(new Map(rows.map(({ host, count }) => [host, count])), expected);
    await pool.query('SELECT pg_stat_force_next_flush()');
    const [{ scans } = { scans: -1 }] = await pool.query<{ scans: number }>(
      `SELECT idx_scan AS scans FROM pg_stat_user_indexes WHERE indexrelname = 'counts_by_hour'`,
    );
    assert.equal(scans, 0);
  });
});
