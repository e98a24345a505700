/** The collector's ingest, tested frame by frame. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { request } from 'node:http';
import { connect } from 'node:net';
import { afterEach, test } from 'node:test';
import fc from 'fast-check';
import { openAdmin } from '../../../collector/admin/admin_schema.ts';
import type { Collector } from '../../../collector/main.ts';
import { AGENT_PATH, MAX_FRAME_BYTES } from '../../../protocol/frames.ts';
import { HOST, makeCall } from '../../support/collector/calls.ts';
import { Bench } from '../../support/collector/in_process.ts';
import { heartbeatOf } from '../../support/collector/insight/findings.ts';
import { HELLO, Peer } from '../../support/collector/peer.ts';
import { TOKEN } from '../../support/collector/processes.ts';
import { eventually, readStored } from '../../support/collector/stored.ts';

const bench = new Bench();
afterEach(() => bench.end());

const callRecord = (path: string, changes = {}) => ({
  kind: 'call',
  call: makeCall({ 'url.path': path, ...changes }),
});

function upgradeStatus(
  { address }: Collector,
  path: string,
  headers: Record<string, string>,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const asked = request({
      host: address.host,
      port: address.port,
      path,
      headers: {
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': 'MDEyMzQ1Njc4OWFiY2RlZg==',
        ...headers,
      },
    });
    asked.on('response', (response) => {
      response.resume();
      resolve(response.statusCode!);
    });
    asked.on('upgrade', (response, socket) => {
      socket.destroy();
      resolve(response.statusCode!);
    });
    asked.on('error', reject);
    asked.end();
  });
}

test('an agent is told to come again while its credential cannot be looked up, and not that it is wrong', async () => {
  const dataDir = bench.directory();
  const collector = await bench.collector({ data_dir: dataDir });
  const status = () =>
    upgradeStatus(collector, AGENT_PATH, { authorization: `Bearer imdsw_a${'A'.repeat(43)}` });
  assert.equal(await status(), 401);
  const admin = openAdmin(dataDir);
  admin.exec('ALTER TABLE tokens RENAME TO gone');
  assert.equal(await status(), 503);
  admin.exec('ALTER TABLE gone RENAME TO tokens');
  assert.equal(await status(), 401);
  admin.close();
});

test('only the right token is accepted', async () => {
  const collector = await bench.collector();
  const status = (headers: Record<string, string>) => upgradeStatus(collector, AGENT_PATH, headers);
  for (const authorization of [
    '',
    'Bearer',
    'Bearer ',
    `Bearer ${TOKEN}x`,
    `Bearer ${TOKEN.slice(1)}`,
    TOKEN,
    `Basic ${TOKEN}`,
  ]) {
    assert.equal(await status({ authorization }), 401, authorization);
  }
  assert.equal(await status({}), 401);
  assert.equal(await upgradeStatus(collector, '/elsewhere', { authorization: `Bearer ${TOKEN}` }), 404);
  assert.equal(await status({ authorization: `Bearer ${TOKEN}` }), 101);
  assert.equal(collector.counters()['ingest']!['unauthorized'], 8);
  assert.ok(
    bench.logged.filter(({ msg }) => msg.includes('token')).length === 1,
    'one line for many refusals',
  );
});

test('the collector does not start with a token that cannot be sent in a header', async () => {
  await assert.rejects(bench.collector({ agent_token: 'short' }));
  await assert.rejects(bench.collector({ agent_token: 'long enough, with spaces in it' }));
});

test('a refused client that never closes its side holds no socket', async () => {
  const { address } = await bench.collector();
  const upgrade = (path: string) =>
    `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n`;
  const cutOff = [upgrade(AGENT_PATH), upgrade('/nowhere'), 'rubbish\r\n\r\n'].map(async (text) => {
    const socket = connect({ host: address.host, port: address.port, allowHalfOpen: true });
    bench.atEnd(() => socket.destroy());
    let isCutOff = false;
    socket.on('error', () => {
      isCutOff = true;
    });
    socket.resume().write(text);
    await once(socket, 'end');
    await eventually(`cut off: ${text.slice(0, 30)}`, () => {
      // Only who sends learns that nobody is there any more.
      if (!isCutOff) socket.write('x');
      return isCutOff;
    });
  });
  await Promise.all(cutOff);
});

test('a batch is stored, acknowledged, and known when it is sent again, also on a new connection', async () => {
  const dataDir = bench.directory();
  const collector = await bench.collector({ data_dir: dataDir });
  const stream = randomUUID();
  const peer = await new Peer(bench, collector.address.url).hello({ stream });
  assert.deepEqual(await peer.next('welcome'), { type: 'welcome', protocol: 1, last_seq: 0 });
  const batch = { type: 'batch', seq: 1, records: [callRecord('/1'), callRecord('/2')] };
  for (let time = 0; time < 3; time += 1) {
    peer.send(batch);
    assert.deepEqual(await peer.next('ack'), { type: 'ack', seq: 1, rejected: 0 });
  }
  peer.send({ type: 'batch', seq: 2, records: [batch.records[0], callRecord('/3')] });
  await peer.next('ack');
  const again = await new Peer(bench, collector.address.url).hello({ stream });
  assert.equal((await again.next('welcome'))['last_seq'], 2);
  assert.equal((await peer.next('refused'))['reason'], 'superseded');
  assert.deepEqual(readStored(dataDir).numbers, [1, 2, 3]);
  const { writer } = collector.counters();
  assert.deepEqual([writer!['records'], writer!['duplicates'], writer!['known_batches']], [3, 1, 2]);
});

test('a gap in the sequence is refused and nothing of it is stored', async () => {
  const dataDir = bench.directory();
  const peer = await new Peer(bench, (await bench.collector({ data_dir: dataDir })).address.url).hello();
  peer.send({ type: 'batch', seq: 2, records: [callRecord('/1')] });
  assert.equal((await peer.next('refused'))['reason'], 'out_of_order');
  await eventually('closed', () => peer.closed === 1008);
  assert.deepEqual(readStored(dataDir).numbers, []);
});

test('a bad record is left out and counted; the rest of its batch is stored', async () => {
  const dataDir = bench.directory();
  const collector = await bench.collector({ data_dir: dataDir });
  const peer = await new Peer(bench, collector.address.url).hello();
  const foreign = callRecord('/9', { host: { id: 'i-0ther', name: 'other' } });
  const records = [
    callRecord('/1'),
    { kind: 'call', call: { id: 'x' } },
    null,
    foreign,
    { kind: 'new' },
    callRecord('/2'),
  ];
  peer.send({ type: 'batch', seq: 1, records });
  assert.deepEqual(await peer.next('ack'), { type: 'ack', seq: 1, rejected: 4 });
  peer.send({ type: 'batch', seq: 2, records: [] });
  assert.deepEqual(await peer.next('ack'), { type: 'ack', seq: 2, rejected: 0 });
  assert.deepEqual(readStored(dataDir).numbers, [1, 2]);
  const { ingest } = collector.counters();
  assert.deepEqual([ingest!['invalid_records'], ingest!['foreign_records']], [3, 1]);
});

test('fields of a newer agent are accepted', async () => {
  const dataDir = bench.directory();
  const peer = await new Peer(bench, (await bench.collector({ data_dir: dataDir })).address.url).hello({
    colour: 'green',
  });
  const newer = { kind: 'call', call: { ...makeCall({ 'url.path': '/1' }), 'imds.mood': 'good' }, more: 1 };
  peer.send({ type: 'batch', seq: 1, records: [newer], hint: 'x' });
  assert.deepEqual(await peer.next('ack'), { type: 'ack', seq: 1, rejected: 0 });
  assert.deepEqual(readStored(dataDir).numbers, [1]);
});

test("another protocol, another host's stream and a second hello are refused with a reason", async () => {
  const collector = await bench.collector();
  const newer = await new Peer(bench, collector.address.url).hello({ protocol: 99 });
  assert.equal((await newer.next('refused'))['reason'], 'protocol');
  const stream = randomUUID();
  const owner = await new Peer(bench, collector.address.url).hello({ stream });
  owner.send({ type: 'batch', seq: 1, records: [callRecord('/1')] });
  await owner.next('ack');
  const thief = await new Peer(bench, collector.address.url).hello({
    stream,
    host: { id: 'i-2', name: 'two' },
  });
  assert.equal((await thief.next('refused'))['reason'], 'stream');
  const unused = randomUUID();
  const first = await new Peer(bench, collector.address.url).hello({ stream: unused });
  const second = await new Peer(bench, collector.address.url).hello({
    stream: unused,
    host: { id: 'i-2', name: 'two' },
  });
  assert.equal((await second.next('refused'))['reason'], 'stream');
  for (const undisturbed of [owner, first]) {
    assert.equal(undisturbed.closed, null);
    assert.ok(!undisturbed.frames.some(({ type }) => type === 'refused'));
  }
  const twice = await new Peer(bench, collector.address.url).hello();
  twice.send({ ...HELLO, stream: randomUUID() });
  assert.equal((await twice.next('refused'))['reason'], 'invalid');
});

test('garbage, oversize and unexpected frames end only their own connection, and are counted', async () => {
  const dataDir = bench.directory();
  const collector = await bench.collector({ data_dir: dataDir });
  const good = await new Peer(bench, collector.address.url).hello();
  const invalid: ((peer: Peer) => void)[] = [
    (peer) => peer.socket.send('not json'),
    (peer) => peer.socket.send('"json, but no frame"'),
    (peer) => peer.socket.send(Buffer.from('{"type":"batch","seq":1,"records":[]}'), { binary: true }),
    (peer) => peer.socket.send('x'.repeat(MAX_FRAME_BYTES + 1)),
    (peer) => peer.send({ type: 'batch', seq: 0, records: [] }),
    (peer) => peer.send({ type: 'batch', seq: 1.5, records: [] }),
    (peer) => peer.send({ type: 'heartbeat', heartbeat: {} }),
    (peer) =>
      peer.send({
        type: 'heartbeat',
        heartbeat: { ...heartbeatOf(HOST.id, 1e15), agent_version: 'x'.repeat(64 * 1024) },
      }),
    (peer) => peer.socket.send(`${'['.repeat(100_000)}`),
    // biome-ignore lint/suspicious/noExplicitAny: a raw write below the WebSocket layer
    (peer) => (peer.socket as any)._socket.write(Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff])),
  ];
  for (const spoil of invalid) {
    const peer = await new Peer(bench, collector.address.url).hello();
    spoil(peer);
    await eventually(`closed after ${spoil}`, () => peer.closed !== null);
  }
  const early = new Peer(bench, collector.address.url);
  await once(early.socket, 'open');
  early.send({ type: 'batch', seq: 1, records: [callRecord('/7')] });
  await eventually('closed', () => early.closed !== null);
  assert.equal(collector.counters()['ingest']!['invalid_frames'], invalid.length + 1);
  good.send({ type: 'batch', seq: 1, records: [callRecord('/1')] });
  await good.next('ack');
  assert.deepEqual(readStored(dataDir).numbers, [1]);
});

test('arbitrary frames never end the collector', async () => {
  const collector = await bench.collector();
  const shape = fc.record(
    {
      type: fc.constantFrom('hello', 'batch', 'heartbeat', 'ack', 'x'),
      seq: fc.oneof(fc.integer(), fc.string()),
      records: fc.oneof(fc.array(fc.anything(), { maxLength: 3 }), fc.string()),
      stream: fc.oneof(fc.uuid(), fc.string()),
      host: fc.oneof(fc.constant(HOST), fc.anything()),
      protocol: fc.oneof(fc.constant(1), fc.integer()),
      agent_version: fc.string(),
      heartbeat: fc.anything(),
    },
    { requiredKeys: ['type'] },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(shape, { minLength: 1, maxLength: 4 }), async (frames) => {
      const peer = new Peer(bench, collector.address.url);
      await once(peer.socket, 'open');
      for (const frame of frames) peer.send(frame);
      peer.socket.close();
      await eventually('closed', () => peer.closed !== null);
    }),
    { numRuns: 100 },
  );
  await (await new Peer(bench, collector.address.url).hello()).next('welcome');
});

test('a connection that floods frames without records is closed', async () => {
  const collector = await bench.collector();
  const peer = await new Peer(bench, collector.address.url).hello();
  for (let count = 0; count < 200 && peer.closed === null; count += 1) {
    peer.socket.ping();
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await eventually('closed', () => peer.closed !== null);
  assert.equal((await peer.next('refused'))['reason'], 'invalid');
  assert.equal(collector.counters()['ingest']!['flooding'], 1);
});

test('more agents than allowed are refused with status 503', async () => {
  const collector = await bench.collector({ max_connections: 2 });
  await new Peer(bench, collector.address.url).hello();
  await new Peer(bench, collector.address.url).hello();
  assert.equal(await upgradeStatus(collector, AGENT_PATH, { authorization: `Bearer ${TOKEN}` }), 503);
  assert.equal(collector.counters()['ingest']!['over_limit'], 1);
  bench.outbox(collector.address.url);
  await eventually('logged', () =>
    bench.logged.some(
      (line) =>
        line.msg.startsWith('no connection to the collector') &&
        (line as { reason?: string }).reason ===
          'the collector takes no more connections now (HTTP status 503)',
    ),
  );
});
