/**
 * Floods of connections without a credential, against a real collector: agents, people and health checks come
 * in all the same.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { get } from 'node:https';
import { connect, type Socket } from 'node:net';
import { afterEach, test } from 'node:test';
import type { Collector } from '../../../collector/main.ts';
import { makeCall } from '../../support/collector/calls.ts';
import { acknowledged, Bench } from '../../support/collector/in_process.ts';
import { Peer } from '../../support/collector/peer.ts';
import { eventually } from '../../support/collector/stored.ts';

const bench = new Bench();
afterEach(() => bench.end());

/** More than the sockets that there are for everybody but agents. */
const FLOOD = 700;

/** Connections that come again as soon as they are closed. */
class Flood {
  readonly #sockets = new Set<Socket>();
  readonly #collector: Collector;
  readonly #text: string;
  #isOver = false;
  opened = 0;

  constructor(collector: Collector, count: number, text: string) {
    this.#collector = collector;
    this.#text = text;
    for (let index = 0; index < count; index += 1) this.#open();
    bench.atEnd(() => this.end());
  }

  end(): void {
    this.#isOver = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  #open(): void {
    if (this.#isOver) return;
    const { host, port } = this.#collector.address;
    const socket = connect({ host, port }).resume();
    this.#sockets.add(socket);
    socket.on('connect', () => {
      this.opened += 1;
      if (this.#text !== '') socket.write(this.#text);
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#sockets.delete(socket);
      setTimeout(() => this.#open(), 50);
    });
  }
}

const FLOODS = {
  'that say nothing': '',
  'with half a head': 'GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: ',
  'with half a body':
    'POST /api/v1/session HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{',
  'that upgrade without a token':
    'GET /v1/agent HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n',
};

for (const [name, text] of Object.entries(FLOODS)) {
  test(`sockets ${name} keep no client out`, { timeout: 240_000 }, async () => {
    const collector = await bench.collector({ max_connections: 8, max_unauthenticated: 64 });
    // A machine that is busy with the flood must not look like a dead connection.
    const before = bench.outbox(collector.address.url, { heartbeatMs: 60_000 });
    await eventually('connected', () => before.counters()['uplink']!['connected'] === 1);
    const flood = new Flood(collector, FLOOD, text);
    await eventually('the flood is there', () => flood.opened > FLOOD);
    for (const path of ['/healthz', '/readyz']) {
      const { status } = await fetch(`${collector.pageUrl}${path}`, { signal: AbortSignal.timeout(60_000) });
      assert.equal(status, 200, path);
    }
    const newcomer = bench.outbox(collector.address.url, {
      host: { id: 'i-0fedcba9876543210', name: 'newcomer' },
      heartbeatMs: 1000,
    });
    await eventually('a new agent is in', () => newcomer.counters()['uplink']!['connected'] === 1);
    before.call(makeCall({ 'url.path': '/1' }));
    await eventually('delivered', () => acknowledged(before) === 1);
    assert.equal(before.counters()['uplink']!['connections'], 1, 'its connection was left alone');
    const { connections, ...dropped } = collector.counters()['http']!;
    assert.ok(connections! <= 64 + 512, `${connections} connections without a credential`);
    assert.ok(Object.values(dropped).some((count) => count > 0));
    const lines = bench.logged.filter(({ msg }) => msg.includes('closed a connection beyond')).length;
    assert.ok(lines <= 2, `${lines} lines for a flood`);
  });
}

test('TLS handshakes that never end keep no client out', { timeout: 240_000 }, async () => {
  const settings = { max_connections: 8, max_unauthenticated: 64, tls_self_signed: true };
  const collector = await bench.collector(settings);
  // The beginning of a TLS record of 512 bytes.
  const flood = new Flood(collector, FLOOD, '\x16\x03\x01\x02\x00\x01');
  await eventually('the flood is there', () => flood.opened > FLOOD);
  const { host, port } = collector.address;
  const answer = get({ host, port, path: '/healthz', rejectUnauthorized: false, agent: false });
  const [response] = (await once(answer, 'response')) as [IncomingMessage];
  assert.equal(response.resume().statusCode, 200);
  assert.ok(collector.counters()['http']!['connections']! <= 64 + 512);
});

test('places are reserved for agents with a credential, and a connection without hello loses its place', async () => {
  const collector = await bench.collector({ max_connections: 16 });
  const owner = await new Peer(bench, collector.address.url).hello({ protocol: 1, protocol_max: 2 });
  const { credential } = await owner.next('welcome');
  const ingest = () => collector.counters()['ingest']!;
  const silent = Array.from({ length: 20 }, () => new Peer(bench, collector.address.url));
  await eventually('each was let in or told to come later', () => ingest()['over_limit'] === 7);
  assert.equal(ingest()['connections'], 14, 'two of sixteen places are kept');
  const headers = { authorization: `Bearer ${credential}` };
  const known = [1, 2, 3].map(() => new Peer(bench, collector.address.url, headers));
  for (const peer of known) await eventually('open', () => peer.socket.readyState === 1);
  await eventually('one that is silent made room', () => ingest()['made_room'] === 1);
  assert.equal(silent.filter(({ closed }) => closed === 1006).length, 8);
});

test("one host's credential takes four places and no more", async () => {
  const collector = await bench.collector();
  const owner = await new Peer(bench, collector.address.url).hello({ protocol: 1, protocol_max: 2 });
  const { credential } = await owner.next('welcome');
  const headers = { authorization: `Bearer ${credential}` };
  const peers: Peer[] = [];
  for (let index = 0; index < 7; index += 1) {
    const peer = new Peer(bench, collector.address.url, headers);
    await eventually('open', () => peer.socket.readyState === 1);
    peers.push(peer);
  }
  await eventually(
    'the oldest three are closed',
    () => peers.filter(({ closed }) => closed !== null).length === 3,
  );
  assert.deepEqual(
    peers.map(({ closed }) => closed === null),
    [false, false, false, true, true, true, true],
  );
  assert.equal(owner.closed, null);
});
