/** Kills the collector that sends a stream, beside another one on the same database: each call arrives, in order. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AdminStore } from '../../../../../collector/admin/admin_store.ts';
import { PostgresAdminStore } from '../../../../../collector/admin/postgres/postgres_admin_store.ts';
import { Destinations } from '../../../../../collector/alert/destinations.ts';
import { newDestination } from '../../../../../collector/contract/destination.ts';
import { DatabasePool } from '../../../../../collector/store/postgres/database_pool.ts';
import { parseDatabaseUrl } from '../../../../../collector/store/postgres/database_url.ts';
import { PATIENT } from '../../../../support/collector/admin/admin_stores.ts';
import { httpReceiver, type Received, status } from '../../../../support/collector/alert/http_receiver.ts';
import { makeCall } from '../../../../support/collector/calls.ts';
import { acknowledged, Bench } from '../../../../support/collector/in_process.ts';
import { kill, startCollectorProcess } from '../../../../support/collector/processes.ts';
import { eventually, range } from '../../../../support/collector/stored.ts';
import { NO_POSTGRES, PostgresServer } from '../../../../support/postgres.ts';

const HOSTS = ['i-of-the-killed', 'i-of-the-other'] as const;
const CALLS_OF_A_HOST = 500;
const BATCH = { form: 'lines', key: '', max_items: 40, max_bytes: 1e6, max_seconds: 0 } as const;
/** The request during which the collector is killed: the receiver has it, and its answer is never read. */
const KILLED_AT = 8;

interface SentCall {
  id: string;
  host: { id: string };
  'url.path': string;
}

function callsIn({ body }: Received): SentCall[] {
  return body
    .toString()
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as SentCall);
}

describe('a stream of two collectors on PostgreSQL', { skip: NO_POSTGRES }, () => {
  const bench = new Bench();
  let server: PostgresServer;
  before(async () => {
    server = await PostgresServer.start();
  });
  after(async () => {
    await bench.end();
    await server?.close();
  });

  async function collectorOn(store: string, port = 0) {
    const started = await startCollectorProcess(bench.directory(), port, { env: { IMDSWATCH_STORE: store } });
    bench.atEnd(() => kill(started.child));
    return started;
  }

  async function adminOf(store: string): Promise<AdminStore> {
    const pool = new DatabasePool(parseDatabaseUrl(store), { ...PATIENT, max: 2 });
    bench.atEnd(() => pool.close());
    return PostgresAdminStore.open(pool);
  }

  it('loses nothing and sends nothing twice but the request in flight, when the sender is killed', async () => {
    const store = await server.createDatabase();
    const database = /\/(test_\d+)\?/.exec(store)![1]!;
    const query = (sql: string) => server.query(database, sql);
    const epoch = async () =>
      Number((await query(`SELECT epoch FROM leases WHERE name = 'streams'`))[0]?.['epoch']);

    const killed = await collectorOn(store);
    const admin = await adminOf(store);
    let ending: Promise<void> | null = null;
    const receiver = await httpReceiver((response, number) => {
      if (number === KILLED_AT) ending = kill(killed.child);
      else status(200)(response);
    });
    bench.atEnd(() => receiver.close());
    const config = {
      ...{ kind: 'http', preset: 'webhook', values: { url: receiver.url } },
      request: { gzip: false, batch: BATCH },
    };
    await new Destinations(admin).add(newDestination.parse({ name: 'siem', stream: 'calls', config }));
    const cursor = async () => (await admin.cursors.all())[0]!;
    await eventually('the first collector has begun', async () => (await cursor()).position !== null);
    assert.equal(await epoch(), 1);
    const other = await collectorOn(store);

    const outboxes = [killed, other].map(({ port }, at) =>
      bench.outbox(`ws://127.0.0.1:${port}`, { host: { id: HOSTS[at]!, name: `web-${at}` } }),
    );
    const made = outboxes.map(async (outbox, at) => {
      for (let number = 0; number < CALLS_OF_A_HOST; number += 1) {
        const host = { id: HOSTS[at]!, name: `web-${at}` };
        outbox.call(makeCall({ host, 'url.path': `/${number}` }));
        if (number % 10 === 0) await sleep(10);
      }
    });
    await eventually('the sender is killed', () => ending !== null);
    await ending;
    assert.equal(receiver.received.length, KILLED_AT, 'nobody else sends');
    // A lease lasts for some seconds, which the test does not wait for.
    await query(`UPDATE leases SET until_ms = 0 WHERE name = 'streams'`);
    await eventually('the other collector sends', async () => (await epoch()) === 2);
    await collectorOn(store, killed.port);
    await Promise.all(made);
    await eventually('the calls of both hosts are stored', () =>
      outboxes.every((outbox) => acknowledged(outbox) === CALLS_OF_A_HOST),
    );
    const total = HOSTS.length * CALLS_OF_A_HOST;
    await eventually('everything is sent', async () => (await cursor()).sent >= total);

    const { sent, deleted, unfit } = await cursor();
    assert.deepEqual([sent, deleted, unfit], [total, 0, 0]);
    const requests = receiver.received.map(callsIn);
    const unanswered = requests[KILLED_AT - 1]!.map(({ id }) => id);
    assert.ok(
      requests.slice(0, KILLED_AT).flat().length < total,
      'it was killed while there was more to send',
    );
    const [again, ...following] = [requests[KILLED_AT]!, ...requests.slice(KILLED_AT + 1)];
    assert.deepEqual(
      again.map(({ id }) => id).slice(0, unanswered.length),
      unanswered,
      'the request without an answer is made again, with the same ids',
    );
    const answered = [...requests.slice(0, KILLED_AT - 1), again, ...following].flat();
    assert.equal(new Set(answered.map(({ id }) => id)).size, answered.length, 'nothing else is sent twice');
    for (const host of HOSTS) {
      const numbers = answered.filter((call) => call.host.id === host).map((call) => call['url.path']);
      assert.deepEqual(
        numbers,
        range(0, CALLS_OF_A_HOST).map((number) => `/${number}`),
        host,
      );
    }
    const [lost] = await query('SELECT coalesce(sum(given_up), 0)::integer AS count FROM alert_destinations');
    assert.equal(lost!['count'], 0);
  });
});
