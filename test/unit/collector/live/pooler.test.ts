/** Tests that a pooler which loses notifications is noticed, and one that keeps them is not blamed. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { LiveFeed } from '../../../../collector/live/live_feed.ts';
import { ALL_CALLS } from '../../../../collector/live/live_filter.ts';
import { hearsNotifications, NOT_HEARD } from '../../../../collector/live/postgres/notifications.ts';
import { PostgresRelay } from '../../../../collector/live/postgres/postgres_relay.ts';
import { DatabasePool } from '../../../../collector/store/postgres/database_pool.ts';
import { parseDatabaseUrl } from '../../../../collector/store/postgres/database_url.ts';
import { Bench } from '../../../support/collector/in_process.ts';
import { eventually } from '../../../support/collector/stored.ts';
import { NO_PGBOUNCER, PgBouncer } from '../../../support/pgbouncer.ts';
import { NO_POSTGRES, PostgresServer } from '../../../support/postgres.ts';

describe('the live feed behind PgBouncer', { skip: NO_POSTGRES || NO_PGBOUNCER }, () => {
  const bench = new Bench();
  let server: PostgresServer;
  let store: string;
  before(async () => {
    server = await PostgresServer.start();
    store = await server.createDatabase();
  });
  after(async () => {
    await bench.end();
    await server?.close();
  });

  async function poolerTo(mode: 'transaction' | 'session'): Promise<string> {
    const pooler = await PgBouncer.start(server, mode);
    bench.atEnd(() => pooler.close());
    return pooler.url(store);
  }

  it('in transaction mode the log and the feed say what is wrong', async () => {
    const relay = await PostgresRelay.open(parseDatabaseUrl(await poolerTo('transaction')), {
      log: bench.log,
    });
    const feed = new LiveFeed({ relay });
    bench.atEnd(async () => {
      feed.close();
      await relay.close();
    });
    const connection = { person: 'somebody', address: '192.0.2.1', mayStay: async () => true, cut: () => {} };
    const reader = feed.watch(ALL_CALLS, connection)!.getReader();
    const decoder = new TextDecoder();
    let text = '';
    while (!text.includes('"state":"lost"')) text += decoder.decode((await reader.read()).value);
    assert.ok(text.includes(JSON.stringify(NOT_HEARD)), text);
    await eventually('the log says so at the start', () => bench.logged.some(({ msg }) => msg === NOT_HEARD));
  });

  it('in session mode, and without a pooler, notifications arrive', async () => {
    for (const url of [await poolerTo('session'), store]) {
      const pool = new DatabasePool(parseDatabaseUrl(url), { max: 2 });
      assert.equal(await hearsNotifications(pool, pool), true);
      await pool.close();
    }
  });
});
