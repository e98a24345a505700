/** Tests that a standby is not used which has what a former primary had, and lacks what the new one has. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DatabasePool } from '../../../../../collector/store/postgres/database_pool.ts';
import { parseDatabaseUrl } from '../../../../../collector/store/postgres/database_url.ts';
import { PostgresStore } from '../../../../../collector/store/postgres/postgres_store.ts';
import { migrate } from '../../../../../collector/store/postgres/schema_steps.ts';
import { StandbyReader } from '../../../../../collector/store/postgres/standby_reader.ts';
import { READER_SCHEMA } from '../../../../../collector/store/postgres/timeline_marks.ts';
import { readingOf } from '../../../../../collector/store/reading.ts';
import { call, program, stream } from '../../../../support/collector/store/records.ts';
import { databaseOf, ServerPair, untilReplayed } from '../../../../support/collector/store/standbys.ts';
import { eventually } from '../../../../support/collector/stored.ts';
import { NO_POSTGRES, PostgresServer } from '../../../../support/postgres.ts';

test('after a failover, a standby that is ahead on the former timeline does not answer', {
  skip: NO_POSTGRES,
}, async () => {
  const servers = await ServerPair.start();
  const { primary, standby } = servers;
  const ending: (() => Promise<void>)[] = [() => servers.close()];
  try {
    const heir = await PostgresServer.startStandby(primary, 'heir');
    ending.push(() => heir.close());
    const url = await primary.createDatabase();
    const database = databaseOf(url);
    const both = parseDatabaseUrl(
      `postgres://postgres@/${database}?host=${encodeURIComponent(`${primary.place},${heir.place}`)}`,
    );
    const store = await PostgresStore.open(both);
    ending.push(() => store.close());
    const pool = new DatabasePool(both, { max: 1 });
    await migrate(pool, READER_SCHEMA);
    await pool.close();
    const next = stream({ id: 'i-1', name: 'web' }, [program('curl')]);
    await store.write([next(call(Date.now() * 1000))]);
    await servers.caughtUp();
    const reader = await StandbyReader.open(store.views, {
      primary: both,
      standbys: parseDatabaseUrl(standby.url(database)),
      maxLagSeconds: 3600,
      readers: 1,
      applicationName: 'imdswatch standby reader',
      makesMarks: true,
      log: null,
    });
    ending.push(() => reader.close());
    const problem = () => reader.state().standbys[0]!.problem?.reason ?? null;
    await eventually('the standby can answer', () => problem() === null);

    // The standby gets what the heir never gets, and so its position is ahead of everything that the heir stores.
    await untilReplayed(primary, heir);
    await heir.stop();
    await primary.query(
      database,
      `CREATE TABLE lost AS SELECT repeat(md5(n::text), 30) AS text FROM generate_series(1, 20000) n`,
    );
    await servers.caughtUp();
    await primary.kill();
    await heir.start();
    await heir.query('postgres', 'SELECT pg_promote()');
    await eventually('the store writes to the heir', () =>
      store.write([next(call(Date.now() * 1000))]).then(
        () => true,
        () => false,
      ),
    );
    await eventually('it is seen that the standby does not follow', () => problem() === 'diverged');
    const { value, reading } = await readingOf(() => reader.statistics());
    assert.deepEqual([value.calls, reading.usedStandby, ...reading.problems], [2, false, 'diverged']);
  } finally {
    for (const end of ending.reverse()) await end();
  }
});
