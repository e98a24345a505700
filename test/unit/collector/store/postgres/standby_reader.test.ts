/** Tests that questions go to a real standby, and to the primary where it cannot answer, and that each answer says so. */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { StandbyProblem } from '../../../../../collector/contract/storage.ts';
import { DatabasePool } from '../../../../../collector/store/postgres/database_pool.ts';
import { parseDatabaseUrl } from '../../../../../collector/store/postgres/database_url.ts';
import { PostgresStore } from '../../../../../collector/store/postgres/postgres_store.ts';
import { migrate } from '../../../../../collector/store/postgres/schema_steps.ts';
import { StandbyReader } from '../../../../../collector/store/postgres/standby_reader.ts';
import { READER_SCHEMA } from '../../../../../collector/store/postgres/timeline_marks.ts';
import { currentReading, noteView, readingOf } from '../../../../../collector/store/reading.ts';
import { call, program, stream } from '../../../../support/collector/store/records.ts';
import { databaseOf, ServerPair } from '../../../../support/collector/store/standbys.ts';
import { eventually } from '../../../../support/collector/stored.ts';
import { NO_POSTGRES } from '../../../../support/postgres.ts';

describe('questions for a standby', { skip: NO_POSTGRES }, () => {
  const ending: (() => Promise<void>)[] = [];
  let servers: ServerPair;
  let url: string;
  let store: PostgresStore;
  let write: () => Promise<unknown>;
  let stored = 0;
  before(async () => {
    servers = await ServerPair.start();
    url = await servers.primary.createDatabase();
    store = await PostgresStore.open(parseDatabaseUrl(url));
    const pool = new DatabasePool(parseDatabaseUrl(url));
    await migrate(pool, READER_SCHEMA);
    await pool.close();
    const next = stream({ id: 'i-1', name: 'web' }, [program('curl')]);
    write = async () => {
      stored += 1;
      await store.write([next(call(Date.now() * 1000))]);
    };
    await write();
  });
  afterEach(async () => {
    for (const end of ending.splice(0).reverse()) await end();
  });
  after(async () => {
    await store?.close();
    await servers?.close();
  });

  async function open(standbys: string, maxLagSeconds = 600) {
    const logged: { reason?: string }[] = [];
    const note = (fields: { reason?: string }) => logged.push(fields);
    const reader = await StandbyReader.open(store.views, {
      primary: parseDatabaseUrl(url),
      standbys: parseDatabaseUrl(standbys),
      maxLagSeconds,
      readers: 2,
      applicationName: 'imdswatch standby reader',
      makesMarks: true,
      log: { warn: note, info: note, debug: () => {} } as never,
    });
    ending.push(() => reader.close());
    return { reader, logged };
  }

  /** Opens the standby, and waits until it can answer. */
  async function opened({ maxLagSeconds = 600 } = {}) {
    const { reader, logged } = await open(servers.standby.url(databaseOf(url)), maxLagSeconds);
    const standbyAnswers = () =>
      eventually('the standby can answer', () => reader.state().standbys[0]!.problem === null);
    await standbyAnswers();
    return {
      reader,
      logged,
      /** Returns the number of stored calls, and where it was read. */
      async count() {
        const { value, reading } = await readingOf(() => reader.statistics());
        const [problem = null] = reading.problems;
        return { calls: value.calls, ...reading, problem };
      },
      standbyAnswers,
      byPrimary: (reason: StandbyProblem) => reader.state().byPrimary[reason],
    };
  }

  it('the standby answers with the data of now while the primary is idle', async () => {
    const { count, reader } = await opened();
    await write();
    await servers.caughtUp();
    await reader.look();
    const first = await count();
    assert.deepEqual([first.calls, first.usedStandby, first.problem], [stored, true, null]);
    await sleep(1_500);
    const beforeUs = Date.now() * 1000;
    await reader.look();
    const later = await count();
    assert.ok(later.asOfUs! >= beforeUs, `${beforeUs - later.asOfUs!} µs old`);
    assert.equal(reader.state().standbys[0]!.place, servers.standby.directory);
    assert.equal(reader.state().answered, 2);
  });

  it('a standby that does not replay shows its lag, and beyond the limit the primary answers until it has caught up', async () => {
    const { count, reader, standbyAnswers, byPrimary, logged } = await opened({ maxLagSeconds: 6 });
    await servers.pause();
    try {
      await write();
      const writtenUs = Date.now() * 1000;
      await sleep(1_200);
      const old = await count();
      assert.deepEqual([old.calls, old.usedStandby], [stored - 1, true]);
      assert.ok(old.asOfUs! < writtenUs && old.lagUs >= 1_000_000, `as of ${old.asOfUs}, lag ${old.lagUs}`);
      const impatient = await open(servers.standby.url(databaseOf(url)), 1);
      const { value, reading } = await readingOf(() => impatient.reader.statistics());
      assert.deepEqual([value.calls, reading.usedStandby, ...reading.problems], [stored, false, 'behind']);
      await eventually('the limit is passed', () => reader.state().standbys[0]!.problem?.reason === 'behind');
      const fresh = await count();
      assert.deepEqual([fresh.calls, fresh.usedStandby, fresh.problem], [stored, false, 'behind']);
      assert.equal(byPrimary('behind'), 1);
      assert.ok(logged.some(({ reason }) => reason === 'behind'));
      assert.match(reader.state().standbys[0]!.problem!.text, /\d s behind/);
    } finally {
      await servers.resume();
    }
    await standbyAnswers();
    const again = await count();
    assert.deepEqual([again.calls, again.usedStandby], [stored, true]);
  });

  it('after a change here, an answer has it: from the primary until the standby has it too', async () => {
    const { count, reader } = await opened();
    await servers.pause();
    try {
      await write();
      reader.requireNews();
      const own = await count();
      assert.deepEqual([own.calls, own.problem], [stored, 'changed']);
    } finally {
      await servers.resume();
    }
    await servers.caughtUp();
    await reader.look();
    const again = await count();
    assert.deepEqual([again.calls, again.usedStandby], [stored, true]);
  });

  it('within one answer time never goes back', async () => {
    const { count, reader } = await opened();
    await servers.pause();
    try {
      await write();
      const before = await count();
      assert.deepEqual([before.calls, before.usedStandby], [stored - 1, true]);
      const { value, reading } = await readingOf(async () => {
        // A part of the answer is from the primary.
        noteView(currentReading()!, { asOfUs: Date.now() * 1000, lagUs: 0, problem: 'conflict' });
        return reader.statistics();
      });
      assert.deepEqual([value.calls, reading.usedStandby, ...reading.problems], [stored, false, 'conflict']);
    } finally {
      await servers.resume();
    }
  });

  it('a question that the recovery cancels is answered by the primary', async () => {
    const { reader, standbyAnswers, byPrimary } = await opened();
    const database = databaseOf(url);
    // On the standby the question takes a minute, and on the primary no time.
    await servers.primary.query(
      database,
      `ALTER TABLE hosts RENAME TO stored_hosts;
       CREATE VIEW hosts AS SELECT h.* FROM stored_hosts h,
         (SELECT pg_sleep(CASE WHEN pg_is_in_recovery() THEN 20 ELSE 0 END)) slow`,
    );
    await servers.standby.query('postgres', `ALTER SYSTEM SET max_standby_streaming_delay = 0`);
    await servers.standby.query('postgres', 'SELECT pg_reload_conf()');
    await servers.caughtUp();
    await standbyAnswers();
    const asked = readingOf(() => reader.reportedSpan());
    await eventually('the standby works on the question', async () => {
      const rows = await servers.standby.query(
        'postgres',
        `SELECT 1 FROM pg_stat_activity WHERE datname = $1 AND wait_event = 'PgSleep'`,
        [database],
      );
      return rows.length === 1;
    });
    await servers.primary.query(database, 'ALTER TABLE stored_hosts ADD COLUMN another integer');
    const { value, reading } = await asked;
    assert.ok(value !== null);
    assert.deepEqual([reading.usedStandby, ...reading.problems], [false, 'conflict']);
    assert.equal(byPrimary('conflict'), 1);
    assert.equal(reader.state().standbys[0]!.problem, null);
    await servers.primary.query(
      database,
      `DROP VIEW hosts; ALTER TABLE stored_hosts DROP COLUMN another; ALTER TABLE stored_hosts RENAME TO hosts`,
    );
  });

  it('while the standby is away the primary answers, and afterwards the standby again', async () => {
    const { count, reader, standbyAnswers, byPrimary } = await opened();
    await count();
    await servers.standby.kill();
    const away = await count();
    assert.deepEqual([away.usedStandby, away.problem], [false, 'away']);
    await eventually('it is known to be away', () => reader.state().standbys[0]!.problem?.reason === 'away');
    await count();
    assert.equal(byPrimary('away'), 2);
    await servers.standby.start();
    await standbyAnswers();
    assert.equal((await count()).usedStandby, true);
  });

  it('an address of another database, or of a server that takes changes, is not used', async () => {
    const other = await servers.primary.createDatabase();
    await servers.caughtUp();
    await assert.rejects(
      open(servers.standby.url(databaseOf(other))),
      /store_reader cannot be used: .* is no standby of the database in store, .*another database/,
    );
    const { reader } = await open(url);
    assert.equal(reader.state().standbys[0]!.problem?.reason, 'not_a_standby');
    const { reading } = await readingOf(() => reader.statistics());
    assert.deepEqual([...reading.problems], ['not_a_standby']);
  });

  it('a question outside a reading goes to the primary, because it could not keep to one server', async () => {
    const { reader } = await opened();
    await reader.statistics();
    assert.equal(reader.state().answered, 0);
  });
});
