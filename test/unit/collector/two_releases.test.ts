/**
 * Tests that collectors of two releases share one PostgreSQL database while a fleet is updated: with a step that only adds
 * both go on, and each call is stored once; with one that the earlier release cannot live with, that one stops writing.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { DatabasePool } from '../../../collector/store/postgres/database_pool.ts';
import { parseDatabaseUrl } from '../../../collector/store/postgres/database_url.ts';
import { FINDINGS_SCHEMA } from '../../../collector/store/postgres/findings_schema.ts';
import { migrate } from '../../../collector/store/postgres/schema_steps.ts';
import { makeCall } from '../../support/collector/calls.ts';
import { acknowledged, Bench } from '../../support/collector/in_process.ts';
import { kill, startCollectorProcess } from '../../support/collector/processes.ts';
import { LATER_RELEASE } from '../../support/collector/releases.ts';
import { eventually, range } from '../../support/collector/stored.ts';
import { NO_POSTGRES, PostgresServer } from '../../support/postgres.ts';

const run = promisify(execFile);
const MAIN = join(import.meta.dirname, '../../../cli/main.ts');
const CALLS = 300;
/** Version of the schema that this release makes. */
const VERSION = FINDINGS_SCHEMA.steps.length;

describe('two releases on one database', { skip: NO_POSTGRES }, () => {
  const bench = new Bench();
  let server: PostgresServer;
  before(async () => {
    server = await PostgresServer.start();
  });
  afterEach(() => bench.end());
  after(() => server?.close());

  async function laterCollector(store: string, port = 0) {
    const started = await startCollectorProcess(bench.directory(), port, {
      env: { IMDSWATCH_STORE: store, ...LATER_RELEASE },
    });
    bench.atEnd(() => kill(started.child));
    return started;
  }

  const query = (store: string, sql: string) => server.query(/\/(test_\d+)\?/.exec(store)![1]!, sql);
  const count = async (store: string, sql: string) => Number((await query(store, sql))[0]!['n']);

  it('with a step that only adds both write, each call is stored once, and all sums are equal', async () => {
    const store = await server.createDatabase();
    const earlier = await bench.collector({ store });
    const agents = ['i-one', 'i-two'].map((id) => ({ host: { id, name: id }, made: 0 }));
    const outboxes: ReturnType<Bench['outbox']>[] = [];
    const join = (url: string) => {
      const { host } = agents[outboxes.length]!;
      outboxes.push(bench.outbox(url, { host }));
    };
    let number = 0;
    /** Each agent makes some calls, and not all of them are acknowledged yet. */
    const call = (many: number) => {
      for (const [index, outbox] of outboxes.entries()) {
        for (const _ of range(0, many)) {
          outbox.call(makeCall({ host: agents[index]!.host, 'url.path': `/${number}` }));
          number += 1;
        }
        agents[index]!.made += many;
      }
    };
    join(earlier.address.url);
    call(CALLS);
    await eventually('the first calls', () => acknowledged(outboxes[0]!) > 0);
    call(CALLS);
    const { stdout } = await run(process.execPath, ['--no-warnings', MAIN, 'store', 'migrate'], {
      env: { ...process.env, IMDSWATCH_STORE: store, ...LATER_RELEASE },
    });
    assert.match(
      stdout,
      new RegExp(
        `^findings: version ${VERSION} to ${VERSION + 1} \\(counts calls by host\\)\\. Release \\S+ or later .*\nadmin: version \\d+, up to date\nlive: version \\d+, up to date\nreader: version \\d+.*\n$`,
      ),
    );
    const newer = await laterCollector(store);
    join(`ws://127.0.0.1:${newer.port}`);
    call(CALLS);
    await eventually('the newer one stores', () => acknowledged(outboxes[1]!) > 0);
    call(CALLS);
    // Each agent comes to a collector of the other release.
    await Promise.all([earlier.stop(), kill(newer.child)]);
    call(CALLS);
    await laterCollector(store, earlier.address.port);
    await bench.collector({ store, listen: `127.0.0.1:${newer.port}` });
    call(CALLS);
    await eventually('all calls', () =>
      outboxes.every((each, index) => acknowledged(each) === agents[index]!.made),
    );
    const rows = await query(store, 'SELECT path FROM calls');
    const numbers = rows.map(({ path }) => Number(String(path).slice(1)));
    assert.deepEqual(
      numbers.sort((a, b) => a - b),
      range(0, number),
    );
    for (const table of ['hourly', 'daily', 'fleet_hourly', 'fleet_daily']) {
      assert.equal(await count(store, `SELECT sum(count) AS n FROM ${table} WHERE class > 0`), number, table);
    }
    for (const table of ['call_counts', 'later_counts']) {
      assert.equal(await count(store, `SELECT sum(calls) AS n FROM ${table}`), number, table);
    }
  });

  it('a step that breaks the earlier release ends its writes at once, and it does not start again', async () => {
    const store = await server.createDatabase();
    const earlier = await bench.collector({ store });
    const outbox = bench.outbox(earlier.address.url);
    outbox.call(makeCall());
    await eventually('the first call', () => acknowledged(outbox) === 1);
    const pool = new DatabasePool(parseDatabaseUrl(store));
    bench.atEnd(() => pool.close());
    const breaks = {
      release: '9.0.0',
      summary: 'renames',
      apply: 'ALTER TABLE calls ADD COLUMN x int',
      breaks: true,
    } as const;
    await migrate(pool, { ...FINDINGS_SCHEMA, steps: [...FINDINGS_SCHEMA.steps, breaks] });
    const refusal = new RegExp(
      `changed for a newer imdswatch: its schema findings has version ${VERSION + 1}, and may be used by release 9\\.0\\.0 or later\\. This is release \\S+, which knows version ${VERSION}\\. Update imdswatch`,
    );
    outbox.call(makeCall());
    const ready = await fetch(new URL('/readyz', earlier.pageUrl));
    assert.equal(ready.status, 503);
    assert.match(await ready.text(), refusal);
    await eventually('it says so', () => bench.logged.some((line) => refusal.test(JSON.stringify(line))));
    assert.equal(acknowledged(outbox), 1);
    assert.equal(await count(store, 'SELECT count(*) AS n FROM calls'), 1);
    await assert.rejects(bench.collector({ store }), refusal);
  });

  it('what a start does to the schema is logged', async () => {
    const store = await server.createDatabase();
    await (await bench.collector({ store })).stop();
    const changes = () => bench.logged.filter(({ msg }) => msg.startsWith('made the tables'));
    assert.deepEqual(
      changes().map((line) => line['schema']),
      ['findings', 'admin', 'live'],
    );
    await (await bench.collector({ store })).stop();
    assert.equal(changes().length, 3);
    await (await bench.collector()).stop();
    assert.equal(changes().length, 5);
  });
});
