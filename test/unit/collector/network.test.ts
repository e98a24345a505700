/** Delivery over a bad network: cuts, silence, answers that never arrive, a collector that is too slow. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterEach, test } from 'node:test';
import { WebSocketServer } from 'ws';
import { makeCall } from '../../support/collector/calls.ts';
import { acknowledged, Bench } from '../../support/collector/in_process.ts';
import { Network } from '../../support/collector/network.ts';
import { eventually, range, readStored } from '../../support/collector/stored.ts';

const bench = new Bench();
afterEach(() => bench.end());

async function networkTo(port: number): Promise<Network> {
  const network = await Network.to(port);
  bench.atEnd(() => network.close());
  return network;
}

test('connections that are cut again and again: nothing lost, nothing twice', async () => {
  const dataDir = bench.directory();
  const collector = await bench.collector({ data_dir: dataDir });
  const network = await networkTo(collector.address.port);
  const outbox = bench.outbox(network.url);
  for (const number of range(0, 3000)) {
    outbox.call(makeCall({ 'url.path': `/${number}` }));
    if (number % 20 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    if (number % 500 === 499) network.cut();
  }
  await eventually('all acknowledged', () => acknowledged(outbox) === 3000);
  assert.deepEqual(readStored(dataDir).numbers, range(0, 3000));
  assert.ok(network.connections >= 2);
});

test('answers that never arrive: batches are sent again and stored once', async () => {
  const dataDir = bench.directory();
  const collector = await bench.collector({ data_dir: dataDir });
  const network = await networkTo(collector.address.port);
  const outbox = bench.outbox(network.url, { heartbeatMs: 60_000 });
  await eventually('connected', () => outbox.counters()['uplink']!['connected'] === 1);
  network.mode = 'swallow answers';
  for (const number of range(0, 500)) outbox.call(makeCall({ 'url.path': `/${number}` }));
  await eventually('stored, and nobody told the agent', () => readStored(dataDir).numbers.length === 500);
  assert.equal(acknowledged(outbox), 0);
  network.mode = 'pass';
  network.cut();
  for (const number of range(500, 700)) outbox.call(makeCall({ 'url.path': `/${number}` }));
  await eventually('all acknowledged', () => acknowledged(outbox) === 700);
  assert.deepEqual(readStored(dataDir).numbers, range(0, 700));
  const { writer } = collector.counters();
  assert.equal(writer!['records'], 700);
});

test('records that were sent into a dead network are sent again', async () => {
  const dataDir = bench.directory();
  const collector = await bench.collector({ data_dir: dataDir });
  const network = await networkTo(collector.address.port);
  const outbox = bench.outbox(network.url, { heartbeatMs: 60_000 });
  await eventually('connected', () => outbox.counters()['uplink']!['connected'] === 1);
  network.mode = 'hang';
  for (const number of range(0, 100)) outbox.call(makeCall({ 'url.path': `/${number}` }));
  await eventually('sent', () => outbox.counters()['uplink']!['batches_sent']! > 0);
  network.mode = 'pass';
  network.cut();
  await eventually('all acknowledged', () => acknowledged(outbox) === 100);
  assert.ok(outbox.counters()['uplink']!['batches_resent']! > 0);
  assert.deepEqual(readStored(dataDir).numbers, range(0, 100));
});

test('a connection that falls silent without an end is noticed by both sides', async () => {
  const dataDir = bench.directory();
  const collector = await bench.collector({ data_dir: dataDir, idle_seconds: 5 });
  const network = await networkTo(collector.address.port);
  const outbox = bench.outbox(network.url, { heartbeatMs: 150 });
  await eventually('connected', () => outbox.counters()['uplink']!['connected'] === 1);
  network.mode = 'hang';
  for (const number of range(0, 200)) outbox.call(makeCall({ 'url.path': `/${number}` }));
  await eventually('the agent noticed', () => outbox.counters()['uplink']!['half_open']! > 0);
  await eventually('the collector noticed', () => collector.counters()['ingest']!['idle']! > 0);
  network.mode = 'pass';
  network.cut();
  await eventually('all acknowledged', () => acknowledged(outbox) === 200);
  assert.deepEqual(readStored(dataDir).numbers, range(0, 200));
});

test('a collector that never acknowledges fills the spool, not the memory', async () => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  bench.atEnd(() => {
    for (const client of server.clients) client.terminate();
    server.close();
  });
  let received = 0;
  server.on('connection', (socket) => {
    socket.on('message', (data) => {
      const frame = JSON.parse(data.toString()) as { type: string };
      if (frame.type === 'hello') socket.send(JSON.stringify({ type: 'welcome', protocol: 1, last_seq: 0 }));
      if (frame.type === 'batch') received += 1;
    });
  });
  const url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const spoolMaxBytes = 4 * 1024 * 1024;
  const outbox = bench.outbox(url, { spoolMaxBytes });
  await eventually('connected', () => outbox.counters()['uplink']!['connected'] === 1);
  const before = process.memoryUsage();
  for (const number of range(0, 10_000)) {
    outbox.call(makeCall({ 'url.path': `/${number}` }));
    if (number % 200 === 0) await new Promise((resolve) => setTimeout(resolve, 2));
  }
  const after = process.memoryUsage();
  const { spool, uplink } = outbox.counters();
  assert.ok(received <= 8, `${received} batches on their way`);
  assert.ok(uplink!['bytes_sent']! < 5 * 1024 * 1024);
  assert.ok(spool!['overflowed']! > 0 && spool!['lost'] === 0);
  const grownMb = (after.external + after.arrayBuffers - before.external - before.arrayBuffers) / 1e6;
  assert.ok(grownMb < 24, `${grownMb} MB more outside the heap`);
});

test('with the wrong token records stay in the spool, the operator is informed once, and the right token delivers them', async () => {
  const dataDir = bench.directory();
  const collector = await bench.collector({ data_dir: dataDir });
  const spoolDir = bench.directory();
  const wrong = bench.outbox(collector.address.url, { spoolDir, token: 'not-the-token-of-this-collector' });
  for (const number of range(0, 50)) wrong.call(makeCall({ 'url.path': `/${number}` }));
  await eventually('refused', () => wrong.counters()['uplink']!['refused'] === 1);
  assert.equal(collector.counters()['ingest']!['unauthorized'], 1);
  assert.equal(collector.counters()['ingest']!['accepted'], 0);
  const told = bench.logged.filter(({ msg }) => msg.includes('agent_token'));
  assert.equal(told.length, 1);
  assert.ok(!JSON.stringify(bench.logged).includes('not-the-token-of-this-collector'));
  await wrong.stop(0);
  const right = bench.outbox(collector.address.url, { spoolDir });
  await eventually('delivered', () => acknowledged(right) === 50);
  assert.deepEqual(readStored(dataDir).numbers, range(0, 50));
});

test('after the store of the collector is replaced, the agent sends the records that it still has', async () => {
  const first = await bench.collector();
  const { port } = first.address;
  const outbox = bench.outbox(first.address.url);
  for (const number of range(0, 20)) outbox.call(makeCall({ 'url.path': `/${number}` }));
  await eventually('delivered', () => acknowledged(outbox) === 20);
  await first.stop();
  for (const number of range(20, 40)) outbox.call(makeCall({ 'url.path': `/${number}` }));
  const dataDir = bench.directory();
  await bench.collector({ data_dir: dataDir, listen: `127.0.0.1:${port}` });
  await eventually('the rest delivered', () => acknowledged(outbox) === 40);
  assert.deepEqual(readStored(dataDir).numbers, range(20, 40));
  assert.ok(outbox.counters()['spool']!['batches_forgotten_by_collector']! > 0);
});
