/** Tests what the store says and leaves behind while the server does not confirm or cannot store what it is sent. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { DatabasePool } from '../../../../../collector/store/postgres/database_pool.ts';
import { parseDatabaseUrl } from '../../../../../collector/store/postgres/database_url.ts';
import { PostgresStore } from '../../../../../collector/store/postgres/postgres_store.ts';
import { OperatorError } from '../../../../../common/operator_error.ts';
import { call, program, stream } from '../../../../support/collector/store/records.ts';
import { eventually } from '../../../../support/collector/stored.ts';
import { NO_POSTGRES, PostgresServer } from '../../../../support/postgres.ts';

const NOW_US = Date.UTC(2026, 10, 20, 12) * 1000;

describe('a server that does not answer', { skip: NO_POSTGRES }, () => {
  let server: PostgresServer;
  before(async () => {
    server = await PostgresServer.start();
  });
  after(() => server?.close());

  const waiting = () =>
    server.query('postgres', `SELECT application_name FROM pg_stat_activity WHERE wait_event = 'SyncRep'`);
  /** Nobody with this name follows the server, so commits wait for ever. */
  async function demandStandby(name: string): Promise<void> {
    await server.query('postgres', `ALTER SYSTEM SET synchronous_standby_names = '${name}'`);
    await server.query('postgres', 'SELECT pg_reload_conf()');
  }
  const nameOf = (url: string) => parseDatabaseUrl(url).database;
  const openStore = (url: string) =>
    PostgresStore.open(parseDatabaseUrl(url), { nowUs: () => NOW_US, lanes: 1 });

  test('an empty write waits for the standbys, as a batch does', async () => {
    const store = await openStore(await server.createDatabase());
    await store.write([]);
    await demandStandby('nobody');
    try {
      let isOver = true;
      let probe: Promise<unknown> = Promise.resolve();
      // The setting reaches the processes of the server one after the other.
      await eventually('an empty write that waits', async () => {
        if (isOver) {
          isOver = false;
          probe = store.write([]).finally(() => {
            isOver = true;
          });
        }
        return (await waiting()).length === 1;
      });
      await demandStandby('');
      await probe;
    } finally {
      await demandStandby('');
      await store.close();
    }
  });

  test('a commit that nobody waits for any more is given up by the server too', async () => {
    const url = await server.createDatabase();
    const pool = new DatabasePool(parseDatabaseUrl(url), { statementMs: 1 });
    await server.query(nameOf(url), 'CREATE TABLE t (a integer)');
    await demandStandby('nobody');
    try {
      await eventually('a commit that waits', async () => {
        const commit = pool.transaction((session) => session.query('INSERT INTO t VALUES (1)'));
        return await commit.then(
          () => false,
          (error) => /did not confirm a commit.*Query read timeout/.test(error.message),
        );
      });
      await eventually('no process waits', async () => (await waiting()).length === 0);
    } finally {
      await demandStandby('');
      await pool.close();
    }
  });

  test('an operator is told what to look at', async () => {
    const url = await server.createDatabase();
    const pool = new DatabasePool(parseDatabaseUrl(url), { statementMs: 1 });
    await server.query(nameOf(url), 'CREATE TABLE t (a integer)');
    await demandStandby('nobody');
    try {
      await eventually('a statement that waits', async () => {
        return await pool.query('INSERT INTO t VALUES (1)').then(
          () => false,
          (error) =>
            error instanceof OperatorError &&
            /^The database at .* did not answer in time \(Query read timeout\)\. Check that its standbys run/.test(
              error.message,
            ),
        );
      });
    } finally {
      await demandStandby('');
      await pool.close();
    }
  });

  test('a position that no standby has is not told to an agent', async () => {
    const store = await openStore(await server.createDatabase());
    const host = { id: 'i-1', name: 'web' };
    const next = stream(host, [program('curl')]);
    try {
      await demandStandby('nobody');
      let seq = 0;
      let name = '';
      await eventually('a batch that waits', async () => {
        const batch = next(call(NOW_US - 1_000_000 + seq, {}, 0));
        [seq, name] = [batch.seq, batch.stream];
        let isOver = false;
        const write = store.write([batch]).finally(() => {
          isOver = true;
        });
        write.catch(() => {});
        let isWaiting = false;
        while (!isOver && !isWaiting) isWaiting = (await waiting()).length === 1;
        if (!isWaiting) return false;
        // It is stored, and nobody is told.
        await server.query(
          'postgres',
          `SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'`,
        );
        await assert.rejects(write, /did not confirm a commit/);
        return true;
      });
      let told: number | null = null;
      const asked = store.lastSeq(name, host.id).then((last) => {
        told = last;
      });
      await eventually('a question that waits', async () => (await waiting()).length === 1);
      assert.equal(told, null);
      await demandStandby('');
      await asked;
      assert.equal(told, seq);
    } finally {
      await demandStandby('');
      await store.close();
    }
  });

  test('a server without room is no place for records until a batch is stored', async () => {
    const url = await server.createDatabase();
    const store = await openStore(url);
    try {
      const next = stream({ id: 'i-1', name: 'web' }, [program('curl')]);
      const batch = next(call(NOW_US - 1_000_000, {}, 0));
      await server.query(
        nameOf(url),
        `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$`,
      );
      await server.query(
        nameOf(url),
        'CREATE TRIGGER full_disk BEFORE INSERT ON hourly EXECUTE FUNCTION refuse()',
      );
      await assert.rejects(store.write([batch]), /No space left/);
      await assert.rejects(store.write([]), /No space left/);
      await server.query(nameOf(url), 'DROP TRIGGER full_disk ON hourly');
      assert.equal((await store.write([batch]))[0]!.result, 'stored');
      await store.write([]);
    } finally {
      await store.close();
    }
  });

  test('what was read from a server is not trusted after that was started again, also by an idle pool', async () => {
    const pool = new DatabasePool(parseDatabaseUrl(await server.createDatabase()));
    try {
      const generation = () => pool.session(async (session) => session.generation);
      const before = await generation();
      assert.equal(await generation(), before);
      await server.kill();
      await server.start();
      // The pool notices the end of its connection.
      await eventually('a connection to the new server', async () => {
        const rows = await pool.query('SELECT 1').catch(() => []);
        return rows.length === 1;
      });
      assert.notEqual(await generation(), before);
    } finally {
      await pool.close();
    }
  });
});
