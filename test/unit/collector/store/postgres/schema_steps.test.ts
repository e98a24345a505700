/** Tests that schemas are made once by many collectors, and that two releases can share a database. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { DatabasePool } from '../../../../../collector/store/postgres/database_pool.ts';
import { parseDatabaseUrl } from '../../../../../collector/store/postgres/database_url.ts';
import { FINDINGS_SCHEMA } from '../../../../../collector/store/postgres/findings_schema.ts';
import { PostgresStore } from '../../../../../collector/store/postgres/postgres_store.ts';
import { migrate, readState, type SchemaStep } from '../../../../../collector/store/postgres/schema_steps.ts';
import type { SchemaChange } from '../../../../../collector/store/schema_change.ts';
import { eventually } from '../../../../support/collector/stored.ts';
import { NO_POSTGRES, PostgresServer } from '../../../../support/postgres.ts';

describe('schemas', { skip: NO_POSTGRES }, () => {
  let server: PostgresServer;
  before(async () => {
    server = await PostgresServer.start();
  });
  after(() => server?.close());

  const steps: SchemaStep[] = [
    {
      release: '0.1.0',
      summary: 'makes one',
      apply: 'CREATE TABLE one (a int); INSERT INTO one VALUES (1)',
    },
    {
      release: '0.1.0',
      summary: 'makes two',
      apply: async (session) => void (await session.query('CREATE TABLE two AS SELECT a + 1 AS a FROM one')),
    },
  ];

  test('of many collectors that start at once, one makes the schema', async () => {
    const url = await server.createDatabase();
    const pools = Array.from({ length: 8 }, () => new DatabasePool(parseDatabaseUrl(url)));
    await Promise.all(pools.map((pool) => migrate(pool, { name: 'numbers', steps })));
    assert.deepEqual(await pools[0]!.query('SELECT a FROM two'), [{ a: 2 }]);
    assert.deepEqual(await readState(pools[0]!, 'numbers'), {
      applied: 2,
      needed: 0,
      oldestRelease: '0.1.0',
    });
    await Promise.all(pools.map((pool) => pool.close()));
  });

  test('a step takes as long as it takes, and other statements do not', async () => {
    const pool = new DatabasePool(parseDatabaseUrl(await server.createDatabase()), { statementMs: 1 });
    // The client gives up five seconds after the server would have.
    const long = { release: '0.1.0', summary: 'takes six seconds', apply: 'SELECT pg_sleep(6)' };
    await migrate(pool, { name: 'numbers', steps: [...steps, long] });
    await assert.rejects(pool.query('SELECT pg_sleep(1)'), /statement timeout/);
    await pool.close();
  });

  test('heartbeats of the first schema are kept, compressed, with their times apart', async () => {
    const url = await server.createDatabase();
    const pool = new DatabasePool(parseDatabaseUrl(url));
    await migrate(pool, { ...FINDINGS_SCHEMA, steps: FINDINGS_SCHEMA.steps.slice(0, 1) });
    // More than are packed at a time.
    await pool.query(`
      INSERT INTO hosts (host_id, name, facts, first_us, last_us)
        SELECT 'i-' || n, 'h', json_build_object('id', 'i-' || n, 'name', 'h')::text, 1, 2 FROM generate_series(1, 2500) AS n;
      INSERT INTO heartbeats
        SELECT 'i-' || n, n, json_build_object('agent_version', '0.' || n)::text, n + 1 FROM generate_series(1, 2500) AS n;`);
    await pool.close();
    const store = await PostgresStore.open(parseDatabaseUrl(url));
    const hosts = await store.hosts(['i-1', 'i-999', 'i-2500']);
    assert.deepEqual(
      hosts.map(({ facts, heardUs, heartbeat }) => [
        facts.id,
        heardUs,
        heartbeat!.heartbeat.agent_version,
        heartbeat!.receivedUs,
      ]),
      [
        ['i-1', 2, '0.1', 2],
        ['i-2500', 2501, '0.2500', 2501],
        ['i-999', 1000, '0.999', 1000],
      ],
    );
    assert.equal(await store.heardHosts(2501), 1);
    await store.close();
  });

  test('a step that fails leaves nothing behind', async () => {
    const pool = new DatabasePool(parseDatabaseUrl(await server.createDatabase()));
    const broken = [...steps, { release: '0.2.0', summary: 'fails', apply: 'SELECT 1/0' }];
    await assert.rejects(migrate(pool, { name: 'numbers', steps: broken }), /division by zero/);
    assert.equal(await readState(pool, 'numbers'), null);
    await migrate(pool, { name: 'numbers', steps });
    assert.deepEqual(await pool.query('SELECT a FROM two'), [{ a: 2 }]);
    await pool.close();
  });

  test('a user who may create no tables is told so', async () => {
    const url = await server.createDatabase();
    await server.query('postgres', 'CREATE ROLE collector LOGIN');
    const pool = new DatabasePool(parseDatabaseUrl(url.replace('postgres@', 'collector@')));
    await assert.rejects(
      migrate(pool, { name: 'numbers', steps }),
      /may not create its tables: .*GRANT CREATE/,
    );
    await pool.close();
  });

  test('the release before goes on beside steps that only add, and refuses those that break it', async () => {
    const pool = new DatabasePool(parseDatabaseUrl(await server.createDatabase()));
    const adds: SchemaStep[] = [
      ...steps,
      { release: '0.2.0', summary: 'adds b', apply: 'ALTER TABLE one ADD COLUMN b int' },
    ];
    const breaks: SchemaStep[] = [
      ...adds,
      { release: '0.3.0', summary: 'drops two', apply: 'DROP TABLE two', breaks: true },
    ];
    await migrate(pool, { name: 'numbers', steps: adds });
    await migrate(pool, { name: 'numbers', steps });
    assert.deepEqual(await readState(pool, 'numbers'), { applied: 3, needed: 0, oldestRelease: '0.1.0' });
    await migrate(pool, { name: 'numbers', steps: breaks });
    await assert.rejects(
      migrate(pool, { name: 'numbers', steps: adds }),
      /newer imdswatch: its schema numbers has version 4, and may be used by release 0\.3\.0 or later\. .*knows version 3/,
    );
    await pool.close();
  });

  test('a question that reads the tables in another order is not in the way of a step', async () => {
    const pool = new DatabasePool(parseDatabaseUrl(await server.createDatabase()));
    await migrate(pool, { name: 'numbers', steps });
    const later: SchemaStep[] = [
      ...steps,
      {
        release: '0.2.0',
        summary: 'adds b',
        apply: 'ALTER TABLE one ADD COLUMN b int; ALTER TABLE two ADD COLUMN b int',
      },
    ];
    const changes: SchemaChange[] = [];
    let migrated: Promise<void> | null = null;
    await pool.transaction(async (session) => {
      // The step is the one that gives way.
      await session.query(`SET LOCAL deadlock_timeout = '1h'`);
      await session.query('SELECT 1 FROM two');
      migrated = migrate(pool, { name: 'numbers', steps: later }, (change) => changes.push(change));
      await eventually('the step waits', async () => {
        const waiting = await pool.query(
          `SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'two'::regclass`,
        );
        return waiting.length > 0;
      });
      await session.query('SELECT 1 FROM one');
    });
    await migrated;
    assert.deepEqual(changes, [
      { schema: 'numbers', from: 2, to: 3, steps: ['adds b'], oldestRelease: '0.1.0' },
    ]);
    assert.deepEqual(await pool.query('SELECT a, b FROM two'), [{ a: 2, b: null }]);
    await pool.close();
  });
});
