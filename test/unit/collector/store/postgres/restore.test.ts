/**
 * Tests a restore of the database to a moment before the last records: agents deliver what they still have, each call is
 * stored once, and what the database has forgotten counts as a loss, so that it makes no host ready.
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { makeCall } from '../../../../support/collector/calls.ts';
import { Bench } from '../../../../support/collector/in_process.ts';
import { watched } from '../../../../support/collector/insight/findings.ts';
import { eventually, range } from '../../../../support/collector/stored.ts';
import { NO_POSTGRES, PostgresServer } from '../../../../support/postgres.ts';

const EARLY = { id: 'i-early', name: 'early' };
/** It enrols after the moment to which the database is restored. */
const LATE = { id: 'i-late', name: 'late' };
const MINUTE_MS = 60_000;

describe('a database that is restored to an earlier moment', { skip: NO_POSTGRES }, () => {
  const bench = new Bench();
  let server: PostgresServer;
  let backup: PostgresServer;
  before(async () => {
    server = await PostgresServer.start({
      settings: ['archive_mode = on', `archive_command = 'mkdir -p ../archive && cp %p ../archive/%f'`],
    });
  });
  afterEach(() => bench.end());
  after(async () => {
    await backup?.close();
    await server?.close();
  });

  it('agents go on, each call is stored once, and what was forgotten is a loss', async () => {
    const store = await server.createDatabase();
    const database = /\/(test_\d+)\?/.exec(store)![1]!;
    const before = await bench.collector({ store });
    const { url } = before.address;
    const early = bench.outbox(url, { host: EARLY });
    let made = 0;
    const call = (outbox: typeof early, host: typeof EARLY, count: number) => {
      for (const _ of range(0, count)) {
        outbox.call(makeCall({ host, 'url.path': `/${made}` }));
        made += 1;
      }
    };
    const delivered = (...outboxes: (typeof early)[]) =>
      eventually('everything is acknowledged', () => outboxes.every((each) => each.delivery().kept === 0));
    call(early, EARLY, 100);
    await delivered(early);

    backup = await PostgresServer.backup(server);
    call(early, EARLY, 100);
    await delivered(early);
    const [now] = await server.query('postgres', 'SELECT clock_timestamp()::text AS now');
    const kept = made;

    // All that follows is acknowledged, and is not in what is restored.
    const late = bench.outbox(url, { host: LATE });
    call(early, EARLY, 50);
    call(late, LATE, 50);
    await delivered(early, late);
    const forgotten = made;
    const [end] = await server.query('postgres', 'SELECT pg_walfile_name(pg_switch_wal()) AS file');
    await eventually('the log is archived', async () => {
      const [row] = await server.query(
        'postgres',
        'SELECT last_archived_wal >= $1 AS done FROM pg_stat_archiver',
        [end!['file']],
      );
      return row!['done'] === true;
    });
    await before.stop();
    await server.kill();
    call(early, EARLY, 50);
    call(late, LATE, 50);

    await backup.restore([
      `restore_command = 'cp ${server.directory}/archive/%f %p'`,
      `recovery_target_time = '${now!['now']}'`,
      `recovery_target_action = 'promote'`,
    ]);
    const restored = backup.url(database);
    await bench.collector({ store: restored, listen: `127.0.0.1:${before.address.port}` });
    await delivered(early, late);

    const rows = await backup.query(database, 'SELECT path FROM calls');
    const numbers = rows.map(({ path }) => Number(String(path).slice(1)));
    assert.deepEqual(
      numbers.sort((a, b) => a - b),
      [...range(0, kept), ...range(forgotten, made)],
    );
    const [sums] = await backup.query(database, 'SELECT sum(count)::int AS n FROM hourly WHERE class > 0');
    assert.equal(sums!['n'], numbers.length);

    // The next coverage report of each agent says what was forgotten.
    const at = (ms: number) => new Date(Date.now() + ms).toISOString();
    for (const [outbox, host] of [
      [early, EARLY],
      [late, LATE],
    ] as const) {
      assert.ok(outbox.counters()['spool']!['batches_forgotten_by_collector']! > 0, host.id);
      const record = watched(host.id, at(-MINUTE_MS), at(0));
      assert.ok(record.kind === 'coverage');
      outbox.coverage(record.coverage);
      await delivered(outbox);
      const gaps = await backup.query(
        database,
        `SELECT reason, amounts FROM gaps g JOIN hosts h ON h.id = g.host WHERE h.host_id = '${host.id}'`,
      );
      assert.match(JSON.stringify(gaps), /losses.*batches_forgotten_by_collector/, host.id);
    }
  });
});
