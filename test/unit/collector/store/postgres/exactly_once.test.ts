/**
 * Tests that every call is stored once by two collectors on one database: batches in any order to either, at both at the
 * same time, with connections and the server killed in the middle, and with a collector that is frozen.
 */
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { DatabasePool } from '../../../../../collector/store/postgres/database_pool.ts';
import { parseDatabaseUrl } from '../../../../../collector/store/postgres/database_url.ts';
import { PostgresStore } from '../../../../../collector/store/postgres/postgres_store.ts';
import type { BatchResult, StoredBatch } from '../../../../../collector/store/store.ts';
import type { HostFacts } from '../../../../../protocol/call.ts';
import { call, program, report, stream } from '../../../../support/collector/store/records.ts';
import { NO_POSTGRES, PostgresServer } from '../../../../support/postgres.ts';

const NOW_US = Date.UTC(2026, 10, 20, 12) * 1000;
const MINUTE_US = 60_000_000;
const GIVE_UP_MS = 120_000;
const CALLERS = ['curl', 'aws', 'python3'].map(program);

/** Returns the batches of one agent: calls of three workloads, and a coverage report. */
function batchesOf(host: HostFacts, count: number, calls: number): StoredBatch[] {
  const next = stream(host, CALLERS);
  return Array.from({ length: count }, (_, batch) => {
    const startUs = NOW_US - (count - batch) * MINUTE_US;
    const records = Array.from({ length: calls }, (_, at) =>
      call(
        startUs + at,
        { 'imds.version': at % 2 === 0 ? 1 : 2, 'http.response.status_code': 200 },
        at % CALLERS.length,
      ),
    );
    return next(...records, report(host.id, startUs, startUs + MINUTE_US));
  });
}

/** Sends a batch until it is acknowledged, to another collector each time. Returns all answers. */
async function deliver(
  stores: readonly PostgresStore[],
  batch: StoredBatch,
  first: number,
  ended?: AbortSignal,
): Promise<BatchResult> {
  const deadline = performance.now() + GIVE_UP_MS;
  for (let attempt = first; ; attempt += 1) {
    try {
      const [result] = await stores[attempt % stores.length]!.write([batch]);
      return result!;
    } catch (error) {
      if (performance.now() > deadline || ended?.aborted) throw error;
      await sleep(20);
    }
  }
}

describe('exactly once', { skip: NO_POSTGRES }, () => {
  let server: PostgresServer;
  before(async () => {
    server = await PostgresServer.start();
  });
  after(() => server?.close());

  const open = (url: string) => PostgresStore.open(parseDatabaseUrl(url), { nowUs: () => NOW_US });

  async function check(url: string, calls: number, positions: Record<string, number>): Promise<void> {
    const pool = new DatabasePool(parseDatabaseUrl(url));
    try {
      const [row] = await pool.query(
        `SELECT (SELECT count(*) FROM calls) AS calls, (SELECT count(DISTINCT id) FROM calls) AS distinct_calls,
           (SELECT sum(calls)::bigint FROM call_counts) AS counted,
           (SELECT sum(count)::bigint FROM hourly WHERE class > 0) AS hourly,
           (SELECT sum(count)::bigint FROM daily WHERE class > 0) AS daily,
           (SELECT sum(count)::bigint FROM fleet_hourly WHERE class > 0) AS fleet_hourly,
           (SELECT sum(count)::bigint FROM fleet_daily WHERE class > 0) AS fleet_daily,
           (SELECT count(*) FROM gaps) AS gaps`,
      );
      const sums = ['calls', 'distinct_calls', 'counted', 'hourly', 'daily', 'fleet_hourly', 'fleet_daily'];
      assert.deepEqual(row, { ...Object.fromEntries(sums.map((name) => [name, calls])), gaps: 0 });
      const streams = await pool.query<{ stream: string; last_seq: number }>(
        'SELECT stream, last_seq FROM streams',
      );
      assert.deepEqual(Object.fromEntries(streams.map((each) => [each.stream, each.last_seq])), positions);
    } finally {
      await pool.close();
    }
  }

  test('a batch that comes to both collectors at once is stored by one', async () => {
    const url = await server.createDatabase();
    const stores = await Promise.all([open(url), open(url)]);
    const agents = Array.from({ length: 8 }, (_, at) => batchesOf({ id: `i-${at}`, name: 'web' }, 4, 6));
    for (let batch = 0; batch < 4; batch += 1) {
      const answers = await Promise.all(
        agents.map((batches) => Promise.all(stores.map((store) => store.write([batches[batch]!])))),
      );
      for (const [one, other] of answers) {
        const results = [one![0]!.result, other![0]!.result];
        assert.deepEqual(results.sort(), ['known', 'stored']);
      }
    }
    await check(url, 8 * 4 * 6, Object.fromEntries(agents.map(([batch]) => [batch!.stream, 4])));
    await Promise.all(stores.map((store) => store.close()));
  });

  test('connections that are killed and a server that crashes lose and repeat nothing', async (t) => {
    const url = await server.createDatabase();
    const stores = await Promise.all([open(url), open(url)]);
    const agents = Array.from({ length: 8 }, (_, at) => batchesOf({ id: `i-${at}`, name: 'web' }, 9, 5));
    const ended = new AbortController();
    t.after(async () => {
      ended.abort();
      await Promise.all(stores.map((store) => store.close()));
    });
    const crash = Promise.withResolvers<void>();
    let delivered = 0;
    const delivery = Promise.all(
      agents.map(async (batches, agent) => {
        for (const [at, batch] of batches.entries()) {
          // On a fast machine everything would be delivered before the server crashes.
          if (at === batches.length - 2) await crash.promise;
          await deliver(stores, batch, agent + at, ended.signal);
          delivered += 1;
          // The acknowledgement was lost, and the agent sends the batch again, elsewhere.
          if (at % 3 === 0) {
            assert.equal((await deliver(stores, batch, agent + at + 1, ended.signal)).result, 'known');
          }
        }
      }),
    );
    let isDone = false;
    const done = delivery.finally(() => {
      isDone = true;
    });
    done.catch(() => {});
    let killed = 0;
    while (!isDone) {
      if (delivered >= 36 && killed > 0) {
        await server.kill();
        await server.start();
        crash.resolve();
        break;
      }
      // Connections that write come first. One that waits for work is a connection too.
      const rows = await server
        .query(
          'postgres',
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'imdswatch%'
           ORDER BY state = 'idle' LIMIT 1`,
        )
        .catch(() => []);
      killed += rows.length;
      await sleep(killed < 20 ? 15 : 500);
    }
    await done;
    await check(url, 8 * 9 * 5, Object.fromEntries(agents.map(([batch]) => [batch!.stream, 9])));
  });

  test('a collector that is frozen in a transaction holds nobody up for ever', async () => {
    const url = await server.createDatabase();
    const store = await open(url);
    const host = { id: 'i-0', name: 'web' };
    const [first, second] = batchesOf(host, 2, 3);
    await store.write([first!]);
    const child = fork(new URL('../../../../support/collector/store/host_lock.ts', import.meta.url), [
      url,
      host.id,
    ]);
    try {
      await new Promise((resolve) => child.once('message', resolve));
      child.kill('SIGSTOP');
      const startMs = performance.now();
      assert.deepEqual((await store.write([second!]))[0]!.result, 'stored');
      // The bound is five seconds; the rest is for a busy machine.
      assert.equal(performance.now() - startMs < 60_000, true);
    } finally {
      child.kill('SIGKILL');
    }
    await check(url, 6, { [first!.stream]: 2 });
    await store.close();
  });
});
