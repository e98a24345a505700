/** Tests the pool on real servers: finding the primary, failover, TLS, bounds and what a commit means. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  DatabaseUnavailableError,
  sqlState,
  UnknownOutcomeError,
} from '../../../../../collector/store/postgres/database_errors.ts';
import {
  DatabasePool,
  type PoolOptions,
  type Session,
} from '../../../../../collector/store/postgres/database_pool.ts';
import { parseDatabaseUrl } from '../../../../../collector/store/postgres/database_url.ts';
import { Authority, NO_OPENSSL } from '../../../../support/collector/access/certificates.ts';
import { NO_POSTGRES, PostgresServer } from '../../../../support/postgres.ts';

const WAIT_MS = 60_000;

function open(url: string, options: Partial<PoolOptions> = {}): DatabasePool {
  return new DatabasePool(parseDatabaseUrl(url), options);
}

/** Asks again and again until an answer comes. */
async function eventually<T>(ask: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + WAIT_MS;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await sleep(50);
    }
  }
}

describe('one server', { skip: NO_POSTGRES }, () => {
  let server: PostgresServer;
  before(async () => {
    server = await PostgresServer.start();
  });
  after(() => server?.close());

  test('a transaction is stored whole or not at all', async () => {
    const pool = open(await server.createDatabase());
    await pool.query('CREATE TABLE t (a bigint)');
    await pool.transaction((session) => session.query('INSERT INTO t VALUES (9007199254740991)'));
    const failed = pool.transaction(async (session) => {
      await session.query('INSERT INTO t VALUES (2)');
      throw new Error('not this one');
    });
    await assert.rejects(failed, /not this one/);
    assert.deepEqual(await pool.query('SELECT a FROM t'), [{ a: 9_007_199_254_740_991 }]);
    await pool.close();
  });

  test('statements that are sent together run in order, and fail with the reason of the first', async () => {
    const pool = open(await server.createDatabase(), { prepares: true });
    await pool.query('CREATE TABLE t (a bigint PRIMARY KEY)');
    const insert = (session: Session, ...values: number[]) =>
      values.map((value) => session.execute('INSERT INTO t VALUES ($1)', [value]));
    await pool.transaction(async (session) => {
      await Promise.all(insert(session, 1, 2, 3));
      assert.deepEqual(await session.arrays('SELECT a FROM t ORDER BY a'), [[1], [2], [3]]);
    });
    const failed = pool.transaction(async (session) => {
      const sent = insert(session, 4, 2, 5);
      // Whoever looks at the last one first is told the same.
      await Promise.allSettled(sent);
      await sent[2];
    });
    await assert.rejects(failed, { code: '23505', message: /duplicate key/ });
    await assert.rejects(
      pool.transaction((session) => Promise.all(insert(session, 6, 1, 7))),
      { code: '23505' },
    );
    assert.deepEqual(await pool.query('SELECT count(*) AS rows FROM t'), [{ rows: 3 }]);
    await pool.close();
  });

  test('a transaction whose failed statement was swallowed is no success', async () => {
    const pool = open(await server.createDatabase());
    const swallowed = pool.transaction(async (session) => {
      await session.query('SELECT 1/0').catch(() => {});
    });
    await assert.rejects(swallowed, /answered a COMMIT with ROLLBACK/);
    await pool.close();
  });

  test('more work than connections waits for its turn, also while connections die', async () => {
    const pool = open(await server.createDatabase(), { max: 2 });
    const work = Array.from({ length: 30 }, (_, at) =>
      pool
        .transaction(async (session) => {
          if (at % 10 === 3) await session.query('SELECT pg_terminate_backend(pg_backend_pid())');
          return session.query('SELECT 1 AS one');
        })
        .then(
          () => 'done',
          (error) => sqlState(error) ?? 'lost',
        ),
    );
    const results = await Promise.all(work);
    assert.equal(results.filter((result) => result === 'done').length >= 20, true, results.join());
    assert.deepEqual(await eventually(() => pool.query('SELECT 1 AS one')), [{ one: 1 }]);
    await pool.close();
  });

  test('a transaction that goes silent loses its locks', async () => {
    const url = await server.createDatabase();
    const silent = open(url, { idleInTransactionMs: 200 });
    const other = open(url);
    await other.query('CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t VALUES (1)');
    const locked = Promise.withResolvers<void>();
    const resumed = Promise.withResolvers<void>();
    const frozen = silent.transaction(async (session) => {
      await session.query('UPDATE t SET a = 2');
      locked.resolve();
      await resumed.promise;
    });
    frozen.catch(() => {});
    await locked.promise;
    await eventually(async () =>
      assert.equal(await other.transaction((s) => s.execute('UPDATE t SET a = 3')), 1),
    );
    resumed.resolve();
    await assert.rejects(frozen);
    assert.deepEqual(await other.query('SELECT a FROM t'), [{ a: 3 }]);
    await Promise.all([silent.close(), other.close()]);
  });

  test('a commit whose wait for a standby is cancelled is not confirmed', async () => {
    const pool = open(await server.createDatabase());
    await pool.query('CREATE TABLE t (a int)');
    // Nobody with this name follows the server, so a commit waits for ever, once the server has told all its processes.
    await server.query('postgres', `ALTER SYSTEM SET synchronous_standby_names = 'nobody'`);
    await server.query('postgres', 'SELECT pg_reload_conf()');
    const cancel = `SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'`;
    let committing: Promise<unknown> = Promise.resolve();
    let isWaiting = false;
    while (!isWaiting) {
      let isOver = false;
      committing = pool
        .transaction((session) => session.query('INSERT INTO t VALUES (1)'))
        .finally(() => {
          isOver = true;
        });
      committing.catch(() => {});
      while (!isWaiting && !isOver) isWaiting = (await server.query('postgres', cancel)).length === 1;
    }
    await assert.rejects(committing, UnknownOutcomeError);
    await server.query('postgres', 'ALTER SYSTEM RESET synchronous_standby_names');
    await server.query('postgres', 'SELECT pg_reload_conf()');
    await pool.close();
  });

  test('an unknown user or database is named with its server', async () => {
    const pool = open(server.url('missing'));
    await assert.rejects(pool.query('SELECT 1'), (error: Error) => {
      assert.equal(error instanceof DatabaseUnavailableError, true);
      assert.match(error.message, /database "missing" does not exist/);
      return true;
    });
    await pool.close();
  });
});

test('the primary is found among hosts, and the new one after a failover', {
  skip: NO_POSTGRES,
}, async () => {
  const first = await PostgresServer.start({ tcp: true });
  const second = await PostgresServer.startStandby(first, 'second');
  // The port of the third has been given back, so nobody answers there.
  const url = `postgres://postgres@127.0.0.1:1,${second.place},${first.place}/postgres`;
  const pool = open(url);
  try {
    assert.deepEqual(await pool.query('SELECT pg_is_in_recovery() AS standby'), [{ standby: false }]);
    assert.equal(pool.place, first.place);
    await first.kill();
    // The connection that it had may be the first to notice it, and then fails with an error of its own.
    await assert.rejects(pool.query('SELECT 1'));
    await assert.rejects(pool.query('SELECT 1'), DatabaseUnavailableError);
    await second.query('postgres', 'SELECT pg_promote()');
    await eventually(() => pool.query('SELECT 1'));
    assert.equal(pool.place, second.place);
  } finally {
    await pool.close();
    await second.close();
    await first.close();
  }
});

test('TLS is verified, by name and by authority', { skip: NO_POSTGRES || NO_OPENSSL }, async () => {
  const directory = mkdtempSync(join(tmpdir(), 'imdswatch-tls-'));
  const authority = new Authority(directory);
  const other = new Authority(directory, 'other');
  const own = authority.issue('server', {
    subject: '/CN=db',
    alternatives: 'IP:127.0.0.1',
    usage: 'serverAuth',
  });
  const client = authority.issue('client', { subject: '/CN=postgres', usage: 'clientAuth' });
  const server = await PostgresServer.start({
    tls: {
      certificate: readFileSync(own.certFile, 'utf8'),
      key: readFileSync(own.keyFile, 'utf8'),
      clientAuthority: readFileSync(authority.certFile, 'utf8'),
    },
    access: ['hostssl all postgres 127.0.0.1/32 cert', 'hostssl all reader 127.0.0.1/32 scram-sha-256'],
  });
  await server.query('postgres', `CREATE ROLE reader LOGIN PASSWORD 'correct horse'`);
  const passwordFile = join(directory, 'password');
  const ask = async (user: string, host: string, parameters: Record<string, string>) => {
    const pool = open(
      `postgres://${user}@${host}:${server.port}/postgres?${new URLSearchParams(parameters)}`,
    );
    try {
      return await pool.query('SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()');
    } finally {
      await pool.close();
    }
  };
  const root = { sslrootcert: authority.certFile };
  try {
    const byCertificate = {
      ...root,
      sslmode: 'verify-full',
      sslcert: client.certFile,
      sslkey: client.keyFile,
    };
    assert.deepEqual(await ask('postgres', '127.0.0.1', byCertificate), [{ ssl: true }]);
    const byPassword = { ...root, sslmode: 'verify-full', password_file: passwordFile };
    writeFileSync(passwordFile, 'wrong\n');
    await assert.rejects(ask('reader', '127.0.0.1', byPassword), /password authentication failed/);
    writeFileSync(passwordFile, 'correct horse\n');
    assert.deepEqual(await ask('reader', '127.0.0.1', byPassword), [{ ssl: true }]);
    // The certificate is for an address, and not for this name of it.
    await assert.rejects(ask('reader', 'localhost', byPassword), /localhost.*(altnames|cert)/i);
    assert.deepEqual(await ask('reader', 'localhost', { ...byPassword, sslmode: 'verify-ca' }), [
      { ssl: true },
    ]);
    await assert.rejects(
      ask('reader', '127.0.0.1', { ...byPassword, sslrootcert: other.certFile }),
      /certificate|verify/,
    );
    // The server has no entry for plain text.
    await assert.rejects(ask('reader', '127.0.0.1', { sslmode: 'disable' }), /no pg_hba.conf entry/);
  } finally {
    await server.close();
    rmSync(directory, { recursive: true });
  }
});
