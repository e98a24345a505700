/** A collector that ends hands its agents over to another one, behind a load balancer. */
import assert from 'node:assert/strict';
import { connect, createServer, type Socket } from 'node:net';
import { afterEach, test } from 'node:test';
import { closingTimes, drain } from '../../../collector/ingest/drain.ts';
import { HOST, makeCall } from '../../support/collector/calls.ts';
import { acknowledged, Bench } from '../../support/collector/in_process.ts';
import { MemoryStore } from '../../support/collector/memory_store.ts';
import { eventually, range } from '../../support/collector/stored.ts';

const bench = new Bench();
afterEach(() => bench.end());

/** Passes each connection on to the first of the ports that is up. */
async function balancer(ports: { port: number; isUp: () => boolean }[]): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const target = ports.find(({ isUp }) => isUp());
    if (target === undefined) {
      client.destroy();
      return;
    }
    const upstream = connect(target.port, '127.0.0.1');
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => socket.destroy());
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  bench.atEnd(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  });
  const { port } = server.address() as { port: number };
  return `ws://localhost:${port}`;
}

test('the closes are spread over the time after the load balancer has noticed', () => {
  assert.deepEqual(closingTimes(4, 3_000), [1000, 1500, 2000, 2500]);
  const many = closingTimes(5_000, 60_000);
  assert.equal(many[0], 15_000);
  const perSecond = new Map<number, number>();
  for (const ms of many) {
    const second = Math.floor(ms / 1000);
    perSecond.set(second, (perSecond.get(second) ?? 0) + 1);
  }
  assert.ok(Math.max(...perSecond.values()) <= 112, '5,000 agents in 45 s');
  assert.deepEqual(closingTimes(0, 60_000), []);
});

test('a drain waits for all connections, also for one that is slow to leave', async () => {
  const left: number[] = [];
  const connections = range(0, 20).map((number) => ({
    handOver: async () => {
      await new Promise((resolve) => setTimeout(resolve, number === 3 ? 100 : 0));
      left.push(number);
    },
  }));
  await drain(connections, 30);
  assert.equal(left.length, 20);
  assert.equal(left.at(-1), 3);
});

test('a draining collector: every call is stored once, and acknowledged batches are not sent again', async () => {
  // Both collectors have one store, as collectors with one database do.
  const store = new MemoryStore();
  const first = await bench.ingestServer({ store });
  const second = await bench.ingestServer({ store });
  let isReady = true;
  const url = await balancer([
    { port: first.port, isUp: () => isReady },
    { port: second.port, isUp: () => true },
  ]);
  const outboxes = range(0, 12).map((number) => {
    const host = { ...HOST, id: `i-${number}`, name: `host-${number}` };
    return bench.outbox(url, { host, heartbeatMs: 20_000 });
  });
  const connections = (server: typeof first) => server.ingest.counters()['connections'];
  await eventually('all are at the first', () => connections(first) === 12);
  let made = 0;
  const give = () => {
    for (const [number, outbox] of outboxes.entries()) {
      const host = { ...HOST, id: `i-${number}`, name: `host-${number}` };
      for (let count = 0; count < 5; count += 1) {
        outbox.call(makeCall({ 'url.path': `/${made}`, host }));
        made += 1;
      }
    }
  };
  const giving = setInterval(give, 10);
  try {
    await eventually('calls flow', () => store.calls.length > 200);
    isReady = false;
    await first.ingest.drain(600);
    assert.equal(first.ingest.counters()['handed_over'], 12);
    await eventually('all are at the second', () => connections(second) === 12);
    assert.equal(connections(first), 0);
    const before = store.calls.length;
    await eventually('calls flow again', () => store.calls.length > before + 200);
  } finally {
    clearInterval(giving);
  }
  await eventually('all stored', () => store.calls.length >= made);
  await eventually(
    'all agents know it',
    () => outboxes.reduce((sum, outbox) => sum + acknowledged(outbox), 0) === made,
  );
  // Whatever the first collector had received, it also acknowledged.
  assert.equal(second.writer.counters()['known_batches'], 0);
  for (const outbox of outboxes) {
    assert.equal(outbox.counters()['uplink']!['connections'], 2, 'each agent connected twice');
    assert.equal(outbox.counters()['uplink']!['connection_failures'], 0, 'and at once');
  }
});

test('a draining collector takes no new agents', async () => {
  const server = await bench.ingestServer();
  const outbox = bench.outbox(server.url);
  await eventually('connected', () => outbox.counters()['uplink']!['connected'] === 1);
  await server.ingest.drain(1);
  await eventually('refused', () => server.ingest.counters()['over_limit']! > 0);
  assert.equal(outbox.counters()['uplink']!['connected'], 0);
  assert.ok(bench.logged.some(({ msg }) => msg.includes('connecting to another one')));
});

test('/readyz says that a collector is about to end, while its agents are still connected', async () => {
  const collector = await bench.collector({ drain_seconds: 12 });
  const agents = `ws${collector.pageUrl.slice('http'.length)}`;
  const outbox = bench.outbox(agents, { heartbeatMs: 20_000 });
  const ready = async () => (await fetch(new URL('/readyz', collector.pageUrl))).status;
  await eventually('connected', () => outbox.counters()['uplink']!['connected'] === 1);
  assert.equal(await ready(), 200);
  let hasStopped = false;
  const stopped = collector.stop().then(() => {
    hasStopped = true;
  });
  const status = await ready().catch(() => null);
  // A machine that stands still for seconds may ask too late.
  assert.ok(status === 503 || (status === null && hasStopped), `the answer is ${status}`);
  await stopped;
  assert.equal(collector.counters()['ingest']!['handed_over'], 1);
});
