/** Tests that work does not grow with what is stored: rows are looked up, and no table is scanned. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { DAY_US, HOUR_US } from '../../../../../collector/contract/window.ts';
import { parseDatabaseUrl } from '../../../../../collector/store/postgres/database_url.ts';
import { PostgresStore } from '../../../../../collector/store/postgres/postgres_store.ts';
import { ALL, call, host, report, rollup, stream } from '../../../../support/collector/store/records.ts';
import { NO_POSTGRES, PostgresServer } from '../../../../support/postgres.ts';

/** They take some hundred pages in every table, and in every index. */
const ROWS = 10_000;
/** Pages that may be read in a table and its indexes: a look-up reads some three, an insert a few more. */
const MAX_PAGES = 90;
const STATISTICS_MS = 60_000;

describe('a PostgreSQL store with many rows', { skip: NO_POSTGRES }, () => {
  let server: PostgresServer;
  before(async () => {
    server = await PostgresServer.start();
  });
  after(() => server?.close());

  test('reads few of them for a batch, and for a page of hosts', async () => {
    const url = await server.createDatabase();
    const ask = (sql: string) => server.query('test_1', sql);
    const nowUs = Date.now() * 1000;
    const batchOf = stream(host('a'));
    const records = (at: number) => [
      report('i-a', nowUs + at * 60e6, nowUs + (at + 1) * 60e6),
      rollup(nowUs + at * 60e6, nowUs + at * 60e6 + 5, [{ count: 3 }]),
      call(nowUs + at * 60e6, { 'url.path': `/latest/meta-data/${at}` }),
    ];
    const first = await PostgresStore.open(parseDatabaseUrl(url), { nowUs: () => nowUs });
    await first.write([batchOf(...records(0))]);
    await first.close();
    const day = Math.floor(nowUs / DAY_US);
    const hour = Math.floor(nowUs / HOUR_US);
    // Rows of other hosts and workloads, which have larger numbers.
    const many = (select: string) => `SELECT ${select} FROM generate_series(1000, ${1000 + ROWS}) AS n`;
    await ask(`
      INSERT INTO record_ids ${many(`${day}, n, gen_random_uuid()`)};
      INSERT INTO calls ${many(`${nowUs} - n, gen_random_uuid(), n, n, n, 1, 1, NULL, '/x', NULL, 1, '10.0.0.1', 80`)};
      INSERT INTO hosts (host_id, name, facts, first_us, last_us) ${many(`'h' || n, 'h', '{}', 1, 1`)};
      INSERT INTO streams ${many(`'s' || n, n, 1`)};
      INSERT INTO callers (hash, identity, host, last_us) ${many(`sha256(n::text::bytea), n, n, 1`)};
      INSERT INTO caller_facts ${many(`n, '{}'`)};
      INSERT INTO hourly ${many(`n, 1, ${hour}, n, 1, 1, 1, 1`)};
      INSERT INTO daily ${many(`n, 1, ${day}, n, 1, 1, 1, 1`)};
      INSERT INTO fleet_hourly ${many(`1, ${hour}, n, 1, 1, 1, 1, 1`)};
      INSERT INTO fleet_daily ${many(`1, ${day}, n, 1, 1, 1, 1, 1`)};
      INSERT INTO identity_hosts ${many(`n, n, 1, 1, 1`)};
      INSERT INTO measured_hops ${many(`n, n, 1, 1, 1`)};
      INSERT INTO paths_v1 ${many(`n, 1, '/x', 1, 1, 1`)};
      INSERT INTO host_usage ${many(`n, ${day}, '{}'`)};
      INSERT INTO watched ${many(`n, 1, 1, 'b'`)};
      INSERT INTO runs ${many(`n, '{}'`)};
      INSERT INTO boots ${many(`n, 'b', 1, 1`)};
      INSERT INTO gaps ${many(`n, 'losses', 1, 2, NULL`)};
      INSERT INTO coverage_days ${many(`n, ${day}, 1, 1, 1, NULL`)};
      INSERT INTO heartbeats (host_id, time_us, body, received_us) ${many(`'h' || n, 1, '', 1`)};
      INSERT INTO last_heard ${many(`'h' || n, 1`)};
      INSERT INTO host_profiles ${many(`n, n, NULL`)};
      INSERT INTO cloud_briefs (host, state, tokens) ${many(`n, 1, 1`)};
      INSERT INTO agentless ${many(`'c' || n`)};
      INSERT INTO future_calls ${many(`gen_random_uuid(), 1`)};
    `);
    await ask('VACUUM ANALYZE');
    const store = await PostgresStore.open(parseDatabaseUrl(url), { nowUs: () => nowUs });
    // The first batch of a writer reads the dictionaries.
    await store.write([batchOf(...records(1))]);
    const before = await pagesOf(ask, 2);
    for (let at = 2; at < 4; at += 1) await store.write([batchOf(...records(at))]);
    const written = await pagesOf(ask, 4);
    assertFew(before, written);
    const window = { sinceUs: nowUs - 14 * DAY_US, untilUs: Number.MAX_SAFE_INTEGER };
    const { hostIds } = await store.hostBriefs(null, window, 0, 5);
    assert.equal(hostIds.length, 5);
    // A call shows that the statistics are those of after this question.
    await store.write([batchOf(...records(4))]);
    assertFew(written, await pagesOf(ask, 5));
    await store.close();
  });

  test('reads the sums of a workload host by host, also with statistics of another time', async () => {
    const HOSTS = 1_500;
    const url = await server.createDatabase();
    const ask = (sql: string) => server.query(/test_\d+/.exec(url)![0], sql);
    const nowUs = 20_777 * DAY_US + DAY_US / 2;
    const store = await PostgresStore.open(parseDatabaseUrl(url), { nowUs: () => nowUs });
    for (const table of ['hourly', 'daily', 'identity_hosts', 'hosts']) {
      await ask(`ALTER TABLE ${table} SET (autovacuum_enabled = off)`);
    }
    await store.write([stream(host('a'))(call(nowUs, { 'url.path': '/latest/meta-data/' }))]);
    const [{ identity }] = (await ask('SELECT id AS identity FROM identities')) as [{ identity: number }];
    const hour = Math.floor(nowUs / HOUR_US) - 1;
    const day = Math.floor(nowUs / DAY_US);
    const many = (from: number, select: string) =>
      `SELECT ${select} FROM generate_series(${from}, ${from + HOSTS - 1}) AS n`;
    await ask(`
      -- With these the server expects many workloads on a host, and few hosts with a workload.
      INSERT INTO hourly ${many(10_000, `1, 1, ${hour}, n, 1, 1, 1, 1`)};
      INSERT INTO daily ${many(10_000, `1, 1, ${day}, n, 1, 1, 1, 1`)};
      ANALYZE hourly, daily;
      INSERT INTO hosts (id, host_id, name, facts, first_us, last_us) OVERRIDING SYSTEM VALUE ${many(1000, `n, 'h' || n, 'h', '{}', 1, 1`)};
      INSERT INTO hourly ${many(1000, `n, 1, ${hour}, ${identity}, 1, 1, 1, 1`)};
      INSERT INTO daily ${many(1000, `n, 1, ${day}, ${identity}, 1, 1, 1, 1`)};
      INSERT INTO identity_hosts ${many(1000, `${identity}, n, ${nowUs - DAY_US}, ${nowUs}, ${nowUs}`)};
    `);
    const before = await rowsReadOf(ask);
    // All hosts called after the window too, so that only their sums tell whether they called within it.
    const window = { sinceUs: nowUs - 3 * DAY_US, untilUs: (hour + 1) * HOUR_US };
    const [workload] = await store.workloadHosts({ ...ALL, window }, { latest: 1, tagKeys: [] });
    assert.equal(workload?.freed, HOSTS);
    await store.close();
    const read = (await rowsReadOf(ask)) - before;
    assert.ok(read <= 20 * HOSTS, `${read} rows of sums were read for ${HOSTS} hosts`);
  });
});

/** Returns the entries of indexes of sums that were read so far. Sessions report them when they end. */
async function rowsReadOf(ask: (sql: string) => Promise<Record<string, unknown>[]>): Promise<number> {
  const [row] = await ask(
    `SELECT sum(idx_tup_read)::float8 AS read FROM pg_stat_user_indexes WHERE relname IN ('hourly', 'daily')`,
  );
  return row!['read'] as number;
}

function assertFew(before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): void {
  const read = [...after].map(([table, pages]) => [table, pages - before.get(table)!] as const);
  assert.ok(read.length > 20);
  assert.deepEqual(
    read.filter(([, pages]) => pages > MAX_PAGES),
    [],
  );
}

/** Returns the pages that were read in each table and its indexes, once the statistics know so many calls of ours. */
async function pagesOf(
  ask: (sql: string) => Promise<Record<string, unknown>[]>,
  calls: number,
): Promise<Map<string, number>> {
  for (const deadline = performance.now() + STATISTICS_MS; ; ) {
    const rows = await ask(
      `SELECT relname AS name, (heap_blks_read + heap_blks_hit + coalesce(idx_blks_read + idx_blks_hit, 0))::float8 AS pages,
         pg_stat_get_tuples_inserted(relid)::float8 AS inserted FROM pg_statio_user_tables`,
    );
    const ofCalls = rows.filter(({ name }) => /^calls_\d+$/.test(String(name)));
    const inserted = ofCalls.reduce((sum, row) => sum + (row['inserted'] as number), 0);
    if (inserted >= ROWS + calls)
      return new Map(rows.map(({ name, pages }) => [String(name), pages as number]));
    if (performance.now() > deadline) throw new Error('The server does not update its statistics.');
    await sleep(200);
  }
}
