/** Tests that nothing that was acknowledged is lost when the primary dies and its standby takes over. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseDatabaseUrl } from '../../../../../collector/store/postgres/database_url.ts';
import { PostgresStore } from '../../../../../collector/store/postgres/postgres_store.ts';
import { call, program, stream } from '../../../../support/collector/store/records.ts';
import { NO_POSTGRES, PostgresServer } from '../../../../support/postgres.ts';

const NOW_US = Date.UTC(2026, 10, 20, 12) * 1000;
const GIVE_UP_MS = 120_000;
const AGENTS = 6;
const BATCHES = 12;
const CALLS = 4;

test('a failover loses and repeats no acknowledged call', { skip: NO_POSTGRES }, async () => {
  const first = await PostgresServer.start({ tcp: true });
  const second = await PostgresServer.startStandby(first, 'second');
  await first.query('postgres', `ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (second)'`);
  await first.query('postgres', 'SELECT pg_reload_conf()');
  await first.createDatabase();
  const address = parseDatabaseUrl(`postgres://postgres@${first.place},${second.place}/test_1`);
  const stores = await Promise.all([0, 1].map(() => PostgresStore.open(address, { nowUs: () => NOW_US })));
  const deadline = performance.now() + GIVE_UP_MS;
  let acknowledged = 0;
  try {
    const agents = Array.from({ length: AGENTS }, async (_, agent) => {
      const next = stream({ id: `i-${agent}`, name: 'web' }, [program('curl'), program(`own-${agent}`)]);
      for (let at = 0; at < BATCHES; at += 1) {
        const batch = next(
          ...Array.from({ length: CALLS }, (_, n) => call(NOW_US - 1_000_000 + at * 1_000 + n, {}, n % 2)),
        );
        for (let attempt = agent; ; attempt += 1) {
          try {
            await stores[attempt % stores.length]!.write([batch]);
            break;
          } catch (error) {
            if (performance.now() > deadline) throw error;
            await sleep(20);
          }
        }
        acknowledged += 1;
      }
    });
    const all = Promise.all(agents);
    all.catch(() => {});
    while (acknowledged < (AGENTS * BATCHES) / 3 && performance.now() < deadline) await sleep(5);
    await first.kill();
    await second.query('postgres', 'SELECT pg_promote()');
    // The setting came with the copy, and nobody follows the new primary.
    await second.query('postgres', 'ALTER SYSTEM RESET synchronous_standby_names');
    await second.query('postgres', 'SELECT pg_reload_conf()');
    await all;
    const calls = AGENTS * BATCHES * CALLS;
    const [row] = await second.query(
      'test_1',
      `SELECT (SELECT count(*)::integer FROM calls) AS calls, (SELECT count(DISTINCT id)::integer FROM calls) AS ids,
         (SELECT sum(count)::integer FROM hourly WHERE class > 0) AS hourly,
         (SELECT sum(count)::integer FROM fleet_daily WHERE class > 0) AS fleet,
         (SELECT sum(calls)::integer FROM call_counts) AS counted,
         (SELECT sum(last_seq)::integer FROM streams) AS batches,
         (SELECT count(*)::integer FROM identities) AS identities`,
    );
    const sums = { calls, ids: calls, hourly: calls, fleet: calls, counted: calls };
    assert.deepEqual(row, { ...sums, batches: AGENTS * BATCHES, identities: AGENTS + 1 });
    assert.equal((await stores[0]!.statistics()).calls, calls);
  } finally {
    await Promise.all(stores.map((store) => store.close()));
    await second.close();
    await first.close();
  }
});
