/**
 * Bounds on connections without authentication: which one is closed for a new one, and how long each may
 * take.
 */
import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { afterEach, describe, it } from 'node:test';
import { type Logger, pino } from 'pino';
import {
  type ConnectionBounds,
  Connections,
  MAX_KNOWN,
  MAX_KNOWN_OF_PERSON,
  SLACK,
} from '../../../../collector/api/connections.ts';

const PROXY = '10.9.9.9';

class FakeSocket extends EventEmitter {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress = '192.0.2.1';
  readonly localPort = 8787;
  bytesRead = 0;
  destroyed = false;
  constructor(address: string, port: number) {
    super();
    this.remoteAddress = address;
    this.remotePort = port;
  }
  destroy(): void {
    this.destroyed = true;
    this.emit('close');
  }
}

class Bench {
  nowMs = 0;
  readonly logged: { reason: string }[] = [];
  readonly connections: Connections;
  #port = 1000;

  constructor(bounds: Partial<ConnectionBounds> = {}) {
    const log: Logger = pino({}, { write: (line: string) => this.logged.push(JSON.parse(line)) });
    const all: ConnectionBounds = {
      total: 8,
      perAddress: 4,
      isTrustedProxy: (address) => address === PROXY,
      clientAddress: (headers) => String(headers['x-forwarded-for'] ?? PROXY),
      ...bounds,
    };
    this.connections = new Connections(all, log, () => this.nowMs);
    open.push(this.connections);
  }

  connect(address: string): FakeSocket {
    this.#port += 1;
    const socket = new FakeSocket(address, this.#port);
    this.connections.registerConnection(socket as unknown as Socket);
    return socket;
  }

  ask(socket: FakeSocket, request: Partial<IncomingMessage> = {}) {
    socket.bytesRead += 100;
    const asked = { socket: socket as unknown as Socket, headers: {}, complete: true, ...request };
    return this.connections.registerRequest(asked as IncomingMessage);
  }

  pass(ms: number): void {
    for (let passed = 0; passed < ms; passed += 100) {
      this.nowMs += 100;
      this.connections.check();
    }
  }

  count(name: string): number {
    return this.connections.counters()[name]!;
  }
}

const open: Connections[] = [];
afterEach(() => {
  for (const one of open.splice(0)) one.close();
});

describe('a new connection', () => {
  it('replaces the connection of its address that has made no progress for the longest', () => {
    const b = new Bench();
    const first = b.connect('198.51.100.1');
    b.pass(100);
    const others = [1, 2, 3].map(() => b.connect('198.51.100.1'));
    b.pass(600);
    b.ask(first).onEnded();
    const elsewhere = b.connect('198.51.100.2');
    const newest = b.connect('198.51.100.1');
    assert.deepEqual(
      others.map(({ destroyed }) => destroyed),
      [true, false, false],
    );
    assert.deepEqual(
      [first, elsewhere, newest].map(({ destroyed }) => destroyed),
      [false, false, false],
    );
    assert.equal(b.count('dropped_per_address'), 1);
  });
  it('replaces none that had no time to send something yet', () => {
    const b = new Bench();
    const sockets = Array.from({ length: 6 }, () => b.connect('198.51.100.1'));
    assert.equal(sockets.filter(({ destroyed }) => destroyed).length, 0);
    b.pass(600);
    assert.deepEqual(
      sockets.map(({ destroyed }) => destroyed),
      [true, true, false, false, false, false],
    );
  });
  it('from another address replaces one of the address with the most connections', () => {
    const b = new Bench({ perAddress: 100 });
    const quiet = b.connect('198.51.100.1');
    b.pass(100);
    const flood = Array.from({ length: 7 }, () => b.connect('198.51.100.2'));
    b.pass(600);
    b.connect('198.51.100.3');
    assert.equal(quiet.destroyed, false);
    assert.deepEqual(flood.map(({ destroyed }) => destroyed).slice(0, 2), [true, false]);
    assert.equal(b.count('dropped_for_newer'), 1);
  });
  it('replaces the one that is silent for the longest if all addresses have one connection', () => {
    const b = new Bench();
    const botnet = Array.from({ length: 8 }, (_, index) => {
      b.pass(100);
      return b.connect(`198.51.100.${index}`);
    });
    b.pass(600);
    const newest = b.connect('203.0.113.1');
    assert.deepEqual(botnet.map(({ destroyed }) => destroyed).slice(0, 2), [true, false]);
    assert.equal(newest.destroyed, false);
    assert.equal(b.count('connections'), 8);
  });
  it('is accepted at any rate, and the slack is bounded too', () => {
    const b = new Bench();
    for (let index = 0; index < 3 * SLACK; index += 1) b.connect(`2001:db8:0:${index.toString(16)}::1`);
    assert.equal(b.count('connections'), 8 + SLACK);
    assert.equal(b.connect('198.51.100.1').destroyed, false);
    b.pass(600);
    assert.equal(b.count('connections'), 8);
    assert.equal(b.logged.length, 1, 'a flood is one line a minute');
  });
  it('of the same IPv6 network counts for that network', () => {
    const b = new Bench();
    for (let index = 1; index <= 6; index += 1) b.connect(`2001:db8:1:2::${index}`);
    b.pass(600);
    assert.equal(b.count('connections'), 4);
  });
});

describe('the time for a request', () => {
  it('is short for a client that sends nothing, and longer for one that has begun', () => {
    const b = new Bench();
    const silent = b.connect('198.51.100.1');
    const slow = b.connect('198.51.100.1');
    slow.bytesRead = 10;
    b.pass(5_200);
    assert.deepEqual([silent.destroyed, slow.destroyed], [true, false]);
    b.pass(5_000);
    assert.equal(slow.destroyed, true);
    assert.deepEqual([b.count('dropped_silent'), b.count('dropped_slow_head')], [1, 1]);
  });
  it('ends for a body that does not arrive, and an answer that is not read', () => {
    const b = new Bench();
    const slow = b.connect('198.51.100.1');
    b.ask(slow, { complete: false });
    const reader = b.connect('198.51.100.2');
    b.ask(reader);
    const trickling = b.connect('198.51.100.3');
    b.ask(trickling).onEnded();
    b.pass(10_200);
    assert.deepEqual(
      [slow, reader, trickling].map(({ destroyed }) => destroyed),
      [true, false, false],
    );
    b.pass(20_000);
    assert.deepEqual(
      [reader, trickling].map(({ destroyed }) => destroyed),
      [true, true],
    );
    const counted = ['dropped_slow_body', 'dropped_slow_reader', 'dropped_slow_head'].map((name) =>
      b.count(name),
    );
    assert.deepEqual(counted, [1, 1, 1]);
  });
  it('is not measured for authenticated people and agents', () => {
    const b = new Bench();
    const person = b.connect('198.51.100.1');
    b.ask(person).onAuthenticated('alice');
    const agent = b.connect('198.51.100.1');
    b.connections.releaseToAgent(agent as unknown as Socket);
    for (let index = 0; index < 20; index += 1) b.connect('198.51.100.1');
    b.pass(60_000);
    assert.deepEqual([person.destroyed, agent.destroyed], [false, false]);
    assert.equal(b.count('connections'), 0);
    person.destroy();
    assert.equal(b.count('known_connections'), 0);
  });
});

describe('authenticated people', () => {
  const person = (b: Bench, name: string, isBusy = false): FakeSocket => {
    const socket = b.connect('198.51.100.1');
    const { onAuthenticated, onEnded } = b.ask(socket);
    onAuthenticated(name);
    if (!isBusy) onEnded();
    return socket;
  };
  it('are bounded as well: the connection that is idle for the longest is closed, none that waits for an answer', () => {
    const b = new Bench();
    const busy = person(b, 'busy', true);
    const idle = Array.from({ length: MAX_KNOWN }, (_, index) => person(b, `person ${index}`));
    assert.equal(b.count('known_connections'), MAX_KNOWN);
    assert.deepEqual(
      [busy, ...idle.slice(0, 2)].map(({ destroyed }) => destroyed),
      [false, true, false],
    );
  });
  it('use up only their own places with answers that they never read', () => {
    const b = new Bench();
    const other = person(b, 'another');
    const own = Array.from({ length: 3 * MAX_KNOWN_OF_PERSON }, () => person(b, 'viewer', true));
    assert.equal(b.count('known_connections'), MAX_KNOWN_OF_PERSON + 1);
    assert.equal(own.filter(({ destroyed }) => destroyed).length, 2 * MAX_KNOWN_OF_PERSON);
    assert.equal(own.at(-1)!.destroyed, false);
    assert.equal(other.destroyed, false);
  });
});

it('behind a trusted proxy, the clients that it names are counted; from other addresses the header is ignored', () => {
  const b = new Bench({ total: 100 });
  const sockets = Array.from({ length: 10 }, () => b.connect(PROXY));
  b.pass(600);
  assert.equal(b.count('connections'), 10, 'the address of the proxy has no bound of its own');
  for (const socket of sockets) b.ask(socket, { headers: { 'x-forwarded-for': '203.0.113.5' } }).onEnded();
  b.pass(600);
  assert.equal(b.count('connections'), 4);
  const liars = Array.from({ length: 6 }, (_, index) => {
    const socket = b.connect('198.51.100.1');
    b.ask(socket, { headers: { 'x-forwarded-for': `203.0.113.${index}` } }).onEnded();
    return socket;
  });
  b.pass(600);
  assert.equal(liars.filter(({ destroyed }) => destroyed).length, 2);
});
