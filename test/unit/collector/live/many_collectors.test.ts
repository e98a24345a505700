/** Tests that a live feed has the calls of all collectors of a PostgreSQL database, and what happens where it cannot. */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import pg from 'pg';
import { LiveFeed } from '../../../../collector/live/live_feed.ts';
import { ALL_KEY } from '../../../../collector/live/live_filter.ts';
import { CHANNEL } from '../../../../collector/live/postgres/feed_sender.ts';
import { PostgresRelay } from '../../../../collector/live/postgres/postgres_relay.ts';
import type { Collector } from '../../../../collector/main.ts';
import { parseDatabaseUrl } from '../../../../collector/store/postgres/database_url.ts';
import { makeCall } from '../../../support/collector/calls.ts';
import { Bench } from '../../../support/collector/in_process.ts';
import { batchOf, FeedReader } from '../../../support/collector/live.ts';
import { HELLO, Peer } from '../../../support/collector/peer.ts';
import { Person } from '../../../support/collector/person.ts';
import { eventually } from '../../../support/collector/stored.ts';
import { NO_POSTGRES, PostgresServer } from '../../../support/postgres.ts';

/** The row of a collector that nobody has started. */
const STRANGER = `INSERT INTO live_watchers VALUES ('stranger', ARRAY[$1], clock_timestamp() + $2 * interval '1 second')
  ON CONFLICT (collector) DO UPDATE SET until = excluded.until`;

describe('live feeds of many collectors', { skip: NO_POSTGRES }, () => {
  const bench = new Bench();
  let server: PostgresServer;
  before(async () => {
    server = await PostgresServer.start();
  });
  afterEach(() => bench.end());
  after(() => server?.close());

  const nameOf = (store: string) => /\/(test_\d+)\?/.exec(store)![1]!;

  /** Opens a feed at a collector, and closes it with the bench. */
  async function watch(collector: Collector, query = ''): Promise<FeedReader> {
    const person = await Person.signIn(collector);
    const reader = await FeedReader.open((signal) => person.ask(`/live${query}`, { signal }));
    bench.atEnd(() => reader.close());
    return reader;
  }

  /** Connects as the agent of a host. The function that it returns sends calls with these paths, and waits until they are stored. */
  async function agentAt(collector: Collector, id: string) {
    const host = { id, name: id };
    const peer = await new Peer(bench, collector.address.url).hello({ ...HELLO, host });
    await peer.next('welcome');
    let seq = 0;
    return async (...paths: string[]) => {
      seq += 1;
      const records = paths.map((path) => ({ kind: 'call', call: makeCall({ host, 'url.path': path }) }));
      peer.send({ type: 'batch', seq, records });
      assert.equal((await peer.next('ack'))['seq'], seq);
    };
  }

  /** Counts the notifications of a database, as any other client can. */
  async function countNotifications(store: string): Promise<() => number> {
    let count = 0;
    const client = new pg.Client({
      host: server.directory,
      user: 'postgres',
      database: nameOf(store),
    });
    await client.connect();
    client.on('notification', () => {
      count += 1;
    });
    await client.query(`LISTEN ${CHANNEL}`);
    bench.atEnd(() => client.end());
    return () => count;
  }

  /** Returns a text that changes when the relay has asked who watches. */
  async function pollsOf(store: string): Promise<string> {
    const rows = await server.query(
      nameOf(store),
      `SELECT state_change::text AS changed FROM pg_stat_activity
       WHERE datname = current_database() AND application_name = 'imdswatch live feed' AND query LIKE '%live_watchers%'`,
    );
    return JSON.stringify(rows);
  }

  async function relayTo(store: string): Promise<{ feed: LiveFeed; relay: PostgresRelay }> {
    const relay = await PostgresRelay.open(parseDatabaseUrl(store), { log: bench.log });
    const feed = new LiveFeed({ relay });
    bench.atEnd(async () => {
      feed.close();
      await relay.close();
    });
    return { feed, relay };
  }

  it('a feed has the calls of three collectors by its filter, and nobody is notified while nobody watches', async () => {
    const store = await server.createDatabase();
    const collectors = await Promise.all([1, 2, 3].map(() => bench.collector({ store })));
    const [first, second, third] = collectors as [Collector, Collector, Collector];
    const agents = await Promise.all(collectors.map((collector, at) => agentAt(collector, `i-${at + 1}`)));
    const notifications = await countNotifications(store);
    for (const send of agents) await send('/before');
    assert.equal(notifications(), 0);

    const all = await watch(first);
    const some = await watch(first, '?host=i-2&path=wanted');
    const elsewhere = await watch(third, '?host=i-1');
    for (const reader of [all, some, elsewhere]) await reader.untilOthers('joined');
    assert.deepEqual(
      all.others.map(({ state }) => state),
      ['joining', 'joined'],
    );
    for (const [at, send] of agents.entries()) await send(`/wanted/${at + 1}`, `/other/${at + 1}`);
    await eventually('all calls', () => all.calls.length >= 6);
    const paths = (reader: FeedReader) => reader.calls.map((call) => call['url.path']).sort();
    assert.deepEqual(paths(all), ['/other/1', '/other/2', '/other/3', '/wanted/1', '/wanted/2', '/wanted/3']);
    await eventually('those of the filters', () => elsewhere.calls.length >= 2 && some.calls.length >= 1);
    assert.deepEqual(paths(some), ['/wanted/2']);
    assert.deepEqual(paths(elsewhere), ['/other/1', '/wanted/1']);
    assert.match(all.calls[0]!.offender, /^[0-9a-f]{16}$/);
    const live = () => second.counters()['live']!;
    assert.equal(live()['relay_watching'], 2);
    assert.equal(live()['relay_calls'], 2);

    for (const reader of [all, some, elsewhere]) reader.close();
    await eventually('nobody is known to watch', async () => {
      const rows = await server.query(nameOf(store), 'SELECT 1 FROM live_watchers');
      return (
        rows.length === 0 && collectors.every((each) => each.counters()['live']!['relay_watching'] === 0)
      );
    });
    const before = notifications();
    assert.ok(before > 0);
    for (const send of agents) await send('/after');
    assert.equal(notifications(), before);
  });

  it('a lost connection is told on the feed, and opened again', async () => {
    const store = await server.createDatabase();
    const collectors = await Promise.all([1, 2].map(() => bench.collector({ store })));
    const [first, second] = collectors as [Collector, Collector];
    const send = await agentAt(second, 'i-2');
    const reader = await watch(first);
    await reader.untilOthers('joined');
    await send('/before');
    await eventually('the call before', () => reader.calls.length === 1);
    await server.query(
      nameOf(store),
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE datname = current_database() AND application_name LIKE '%listening'`,
    );
    await eventually('the feed says so', () => reader.others.some(({ state }) => state === 'lost'));
    assert.match(
      reader.others.find(({ state }) => state === 'lost')!.reason!,
      /^The connection .* was lost\./,
    );
    await reader.untilOthers('joined');
    await send('/after');
    await eventually('the call after', () => reader.calls.some((call) => call['url.path'] === '/after'));
    assert.equal(first.counters()['live']!['relay_connections_lost'], 1);
    assert.ok(bench.logged.some(({ msg }) => /cannot show the calls of other collectors/.test(msg)));
    assert.ok(bench.logged.some(({ msg }) => /listens to other collectors again/.test(msg)));
  });

  it('the wish of a collector that has died ends by itself, and one of the future counts for nothing', async () => {
    const store = await server.createDatabase();
    const { feed, relay } = await relayTo(store);
    const notifications = await countNotifications(store);
    const publish = () => feed.publish([batchOf([makeCall()])]);
    await server.query(nameOf(store), STRANGER, [ALL_KEY, 3600]);
    const polls = await pollsOf(store);
    await eventually('it has asked since', async () => (await pollsOf(store)) !== polls);
    assert.equal(relay.isWanted, false);
    await server.query(nameOf(store), STRANGER, [ALL_KEY, 9]);
    await eventually('it is wanted', () => relay.isWanted);
    publish();
    await eventually('it is notified', () => notifications() === 1);
    await server.query(nameOf(store), 'UPDATE live_watchers SET until = clock_timestamp()');
    await eventually('it is not wanted any more', () => !relay.isWanted);
    publish();
    const rows = await server.query(nameOf(store), 'SELECT 1 FROM live_watchers');
    assert.equal(rows.length, 1, 'it has ended by its time alone');
    assert.deepEqual([notifications(), feed.counters()['relay_messages']], [1, 1]);
  });

  it('no more than 500 calls a second are sent, the rest is counted by filter, and a narrow filter has its share', async () => {
    const store = await server.createDatabase();
    const collector = await bench.collector({ store });
    const { feed, relay } = await relayTo(store);
    const wide = await watch(collector);
    const narrow = await watch(collector, '?path=wanted');
    for (const reader of [wide, narrow]) await reader.untilOthers('joined');
    assert.equal(relay.isWanted, true);
    // It has the longest texts that a record may have, so that its message has several parts.
    const codes = Array.from({ length: 4096 }, (_, at) => 0x100 + ((at * 7919) % 20_000));
    const path = String.fromCharCode(...codes);
    feed.publish([batchOf([makeCall({ 'url.path': path, 'user_agent.original': path.slice(0, 1024) })])]);
    await eventually('the long call', () => wide.calls.length === 1);
    assert.equal(wide.calls[0]!['url.path'], path);
    const calls = Array.from({ length: 3000 }, (_, number) =>
      makeCall({ 'url.path': number >= 2900 ? `/wanted/${number}` : `/${number}` }),
    );
    feed.publish([batchOf(calls)]);
    await eventually('all are accounted for', () => wide.calls.length + wide.leftOut === 3001);
    await eventually('the narrow one too', () => narrow.calls.length + narrow.leftOut === 100);
    assert.equal(narrow.leftOut, 0);
    const { relay_calls: sent, relay_calls_left_out: leftOut } = feed.counters() as Record<string, number>;
    assert.equal(sent! + leftOut!, 3001);
    assert.ok(sent! >= 375 && sent! < 1500, `${sent}`);
  });

  it('while the database is away calls are left out and counted, and the feed goes on afterwards', async () => {
    const store = await server.createDatabase();
    const collector = await bench.collector({ store });
    const { feed } = await relayTo(store);
    const reader = await watch(collector);
    await reader.untilOthers('joined');
    await server.kill();
    try {
      feed.publish([batchOf([makeCall(), makeCall()])]);
      await eventually('the failure is counted', () => feed.counters()['relay_failures']! > 0);
      await reader.untilOthers('lost');
    } finally {
      await server.start();
    }
    await reader.untilOthers('joined');
    feed.publish([batchOf([makeCall({ 'url.path': '/later' })])]);
    await eventually('the later call', () => reader.calls.some((call) => call['url.path'] === '/later'));
    assert.equal(feed.counters()['relay_calls_left_out'], 2);
  });
});
