/** Versions of the protocol: agents and collectors of this release, of the one before, and of one to come. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterEach, test } from 'node:test';
import { type WebSocket, WebSocketServer } from 'ws';
import * as z from 'zod';
import { hostFacts } from '../../../protocol/call.ts';
import { record } from '../../../protocol/records.ts';
import { HOST, makeCall, processFacts } from '../../support/collector/calls.ts';
import { acknowledged, Bench } from '../../support/collector/in_process.ts';
import { Peer } from '../../support/collector/peer.ts';
import { eventually, range } from '../../support/collector/stored.ts';

const bench = new Bench();
afterEach(() => bench.end());

/** The frames of the release that spoke protocol 1 only, as its collector checked them. */
const HELLO_OF_1 = z.object({
  type: z.literal('hello'),
  protocol: z.literal(1),
  agent_version: z.string(),
  stream: z.uuid(),
  host: hostFacts,
});
const BATCH_OF_1 = z.object({ type: z.literal('batch'), seq: z.int().min(1), records: z.array(record) });

async function collectorOf1(): Promise<{ url: string; paths: string[] }> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  bench.atEnd(() => {
    for (const client of server.clients) client.terminate();
    server.close();
  });
  const paths: string[] = [];
  server.on('connection', (socket: WebSocket) => {
    socket.on('message', (data) => {
      const frame = JSON.parse(data.toString());
      if (frame.type === 'hello') {
        HELLO_OF_1.parse(frame);
        socket.send(JSON.stringify({ type: 'welcome', protocol: 1, last_seq: 0 }));
      } else if (frame.type === 'batch') {
        const { seq, records } = BATCH_OF_1.parse(frame);
        for (const item of records) if (item.kind === 'call') paths.push(item.call['url.path']!);
        socket.send(JSON.stringify({ type: 'ack', seq, rejected: 0 }));
      }
    });
  });
  return { url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`, paths };
}

test('this agent describes each caller once to this collector', async () => {
  const server = await bench.ingestServer();
  // A machine that is busy with other tests must not look like a dead connection.
  const outbox = bench.outbox(server.url, { heartbeatMs: 60_000 });
  const callers = [processFacts(), processFacts({ pid: 77, name: 'python3' })];
  for (const number of range(0, 3000)) {
    outbox.call(makeCall({ 'url.path': `/${number}`, process: callers[number % 2]! }));
    if (number % 100 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await eventually('all acknowledged', () => acknowledged(outbox) === 3000);
  assert.deepEqual(server.store.numbers, range(0, 3000));
  for (const { call, caller, host } of server.store.calls) {
    assert.equal(caller.process!.pid, callers[Number(call['url.path']!.slice(1)) % 2]!.pid);
    assert.deepEqual(host, HOST);
  }
  assert.equal(new Set(server.store.calls.map(({ caller }) => caller)).size, 2, 'each caller was read once');
  const bytesPerCall = outbox.counters()['uplink']!['bytes_sent']! / 3000;
  assert.ok(bytesPerCall < 700, `${bytesPerCall} bytes a call`);
});

test('a collector of protocol 1 gets records in full, and the agent logs it once', async () => {
  const { url, paths } = await collectorOf1();
  const outbox = bench.outbox(url);
  for (const number of range(0, 100)) outbox.call(makeCall({ 'url.path': `/${number}` }));
  await eventually('all acknowledged', () => acknowledged(outbox) === 100);
  assert.deepEqual(
    paths,
    range(0, 100).map((number) => `/${number}`),
  );
  assert.equal(bench.logged.filter(({ msg }) => msg.includes('older than this agent')).length, 1);
});

test('an agent of protocol 1 works, and gets no credential, which it would not keep', async () => {
  const server = await bench.ingestServer({ enrolment: true });
  const peer = await new Peer(bench, server.url).hello({ protocol: 1 });
  assert.deepEqual(await peer.next('welcome'), { type: 'welcome', protocol: 1, last_seq: 0 });
  const calls = [makeCall({ 'url.path': '/1' }), makeCall({ 'url.path': '/2' })];
  peer.send({ type: 'batch', seq: 1, records: calls.map((call) => ({ kind: 'call', call })) });
  assert.deepEqual(await peer.next('ack'), { type: 'ack', seq: 1, rejected: 0 });
  assert.deepEqual(server.store.numbers, [1, 2]);
  assert.equal(server.credentials.issued, 0);
});

test('a newer agent: the newest common version; unknown records are left out and counted', async () => {
  const server = await bench.ingestServer();
  const peer = await new Peer(bench, server.url).hello({ protocol: 1, protocol_max: 9, mood: 'good' });
  assert.equal((await peer.next('welcome'))['protocol'], 3);
  const { process, container, k8s, systemd, host, ...body } = makeCall({ 'url.path': '/1' });
  assert.ok(host);
  const facts = {
    process,
    container,
    k8s,
    systemd,
    'attribution.method': body['attribution.method'],
    'attribution.confidence': body['attribution.confidence'],
  };
  const call = (path: string) => ({ ...body, id: makeCall().id, 'url.path': path, 'imds.weather': 'fine' });
  peer.send({
    type: 'batch',
    seq: 1,
    priority: 'high',
    callers: [
      { ref: 0, ...facts, colour: 'green' },
      { ref: 1, ...facts, 'attribution.method': 'oracle' },
    ],
    records: [
      { kind: 'call', caller: 0, call: call('/1'), more: true },
      { kind: 'call', caller: 1, call: call('/2') },
      { kind: 'dns', query: {} },
      { kind: 'call', caller: 0, call: { ...call('/3'), 'imds.category': 'dreams' } },
      { kind: 'call', caller: 0, call: call('/4') },
    ],
  });
  assert.deepEqual(await peer.next('ack'), { type: 'ack', seq: 1, rejected: 3 });
  assert.deepEqual(server.store.numbers, [1, 4]);
  assert.equal(server.ingest.counters()['invalid_records'], 3);
  const tooNew = await new Peer(bench, server.url).hello({ protocol: 4, protocol_max: 9 });
  assert.equal((await tooNew.next('refused'))['reason'], 'protocol');
});

test('a record of a caller that was never defined restarts the connection, and nothing is acknowledged', async () => {
  const server = await bench.ingestServer();
  const peer = await new Peer(bench, server.url).hello({ protocol: 1, protocol_max: 2 });
  await peer.next('welcome');
  peer.send({ type: 'batch', seq: 1, records: [{ kind: 'call', caller: 3, call: bodyOf(1) }] });
  assert.equal((await peer.next('refused'))['reason'], 'invalid');
  assert.deepEqual(server.store.numbers, []);
});

function bodyOf(number: number): object {
  const { process: _p, container: _c, k8s: _k, systemd: _s, host: _h, ...body } = makeCall();
  return { ...body, 'url.path': `/${number}` };
}

test('the live feed gets records that are newly durable, and none that are sent again', async () => {
  const told: string[] = [];
  let isListening = true;
  const server = await bench.ingestServer({
    stored: {
      isListening: () => isListening,
      onStored: (batches) => {
        for (const { host, records } of batches)
          told.push(...records.map(({ kind }) => `${host.id} ${kind}`));
        throw new Error('a watcher that fails is not a store that fails');
      },
    },
  });
  const peer = await new Peer(bench, server.url).hello({ protocol: 1 });
  await peer.next('welcome');
  const batch = { type: 'batch', seq: 1, records: [{ kind: 'call', call: makeCall() }] };
  peer.send(batch);
  await peer.next('ack');
  peer.send(batch);
  await peer.next('ack');
  isListening = false;
  peer.send({ ...batch, seq: 2, records: [{ kind: 'call', call: makeCall() }] });
  await peer.next('ack');
  assert.deepEqual(told, [`${HOST.id} call`]);
  const { failed_transactions, feed_failures } = server.writer.counters();
  assert.deepEqual([failed_transactions, feed_failures], [0, 1]);
});
