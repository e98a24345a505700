import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { StateRecord } from '../../../../agent/attribution/ebpf_records.ts';
import { SocketTable } from '../../../../agent/attribution/ebpf_sockets.ts';

const LIMITS = { maxSockets: 4, maxBytes: 1000, keepClosedMs: 10_000 };

function state(kind: StateRecord['kind'], socket: number, localPort: number, netns = 1): StateRecord {
  return {
    kind,
    socket,
    netns,
    localAddress: '10.0.0.1',
    localPort,
    remoteAddress: '169.254.169.254',
    remotePort: 80,
    initialSequence: socket,
    monotonicUs: 0,
  };
}

function record(name: string, bytes = 100): Buffer {
  const buffer = Buffer.alloc(bytes);
  buffer.write(name);
  return buffer;
}

function found(table: SocketTable, localPort: number): string[] {
  return table
    .find(state('established', 0, localPort))
    .map(({ record }) => record?.toString('utf8', 0, record.indexOf(0)) ?? 'nobody');
}

describe('the table of sockets', () => {
  it('joins an owner with its ports by the address of the socket', () => {
    const table = new SocketTable(LIMITS);
    table.addSocket(1, 1, record('curl'), 0);
    assert.deepEqual(found(table, 5000), []);
    table.setAddresses(state('established', 1, 5000), 0);
    assert.deepEqual(found(table, 5000), ['curl']);
    assert.equal(table.joinsWithoutOwner, 0);
  });

  it('forgets what it could join with the ports of another socket', () => {
    const table = new SocketTable(LIMITS);
    table.addSocket(1, 1, record('curl'), 0);
    table.addSocket(2, 1, record('wget'), 0);
    table.setAddresses(state('established', 2, 5002), 0);
    table.forgetUnjoined();
    // The kernel has used the address of the first socket again, and its beginning was lost.
    table.setAddresses(state('established', 1, 5001), 0);
    assert.deepEqual([found(table, 5001), found(table, 5002)], [['nobody'], ['wget']]);
    assert.equal(table.retainedBytes, 100);
  });

  it('keeps a closed socket for its last packets, then deletes it', () => {
    const table = new SocketTable(LIMITS);
    table.addSocket(1, 1, record('curl'), 0);
    table.setAddresses(state('established', 1, 5000), 0);
    table.closeSocket(1, 100);
    table.expire(10_099);
    assert.deepEqual(found(table, 5000), ['curl']);
    table.expire(10_100);
    assert.deepEqual(found(table, 5000), []);
    assert.equal(table.size, 0);
  });

  it('lists the sockets of a namespace until they are forgotten, with their senders within the bound on bytes', () => {
    const table = new SocketTable(LIMITS);
    const listed = (netns: number) =>
      [...table.socketsIn(netns)].map(({ tuple, isOpen }) => [tuple?.localPort, isOpen]);
    table.addSocket(1, 1, record('curl'), 0);
    table.addSocket(2, 2, record('pod'), 0);
    assert.deepEqual(listed(2), [], 'no port is known yet');
    table.setAddresses(state('established', 1, 5000), 0);
    table.setAddresses(state('established', 2, 5000, 2), 0);
    assert.ok(table.addSender(2, record('child', 300), 7));
    assert.equal(table.addSender(3, record('nobody'), 7), false);
    assert.equal(table.retainedBytes, 500);
    table.closeSocket(2, 100);
    assert.deepEqual([listed(1), listed(2)], [[[5000, true]], [[5000, false]]]);
    table.expire(10_100);
    assert.deepEqual([listed(1), listed(2), table.retainedBytes], [[[5000, true]], [], 100]);
    // A sender too many lets the oldest socket go.
    assert.ok(table.addSender(1, record('large', 950), 7));
    assert.deepEqual([listed(1), table.retainedBytes, table.evicted], [[], 0, 1]);
  });

  it('finds each of several sockets that had the same ports, by the sequence number of its SYN', () => {
    const table = new SocketTable(LIMITS);
    for (const [socket, name] of [
      [1, 'old'],
      [2, 'new'],
    ] as const) {
      table.addSocket(socket, 1, record(name), 0);
      table.setAddresses(state('established', socket, 5000), 0);
      table.closeSocket(socket, 0);
    }
    const bySequence = (sequence: number) =>
      table
        .findBySequence(state('established', 0, 5000), sequence)
        .map(({ record }) => record!.toString('utf8', 0, 3));
    assert.deepEqual([bySequence(1), bySequence(2), bySequence(3)], [['old'], ['new'], []]);
    assert.deepEqual(found(table, 5000), ['new']);
    table.expire(10_000);
    assert.deepEqual([bySequence(1), bySequence(2)], [[], []]);
  });

  it('says of which sockets a sender may be missing', () => {
    const table = new SocketTable({ ...LIMITS, maxBytes: 100_000 });
    const misses = (port: number) => table.find(state('established', 0, port))[0]?.missesSenders;
    const add = (socket: number) => {
      table.addSocket(socket, 1, record('opener'), 0);
      table.setAddresses(state('established', socket, 5000 + socket), 0);
    };
    add(1);
    for (let turn = 0; turn < 64; turn++) table.addSender(1, record('sender'), turn);
    assert.equal(misses(5001), false);
    table.addSender(1, record('sender'), 64);
    assert.equal(misses(5001), true, 'the oldest is forgotten');
    add(2);
    assert.equal(misses(5002), false);
    table.closeSocket(2, 0);
    table.loseSenders();
    assert.equal(misses(5002), true);
    table.missesSenders = true;
    add(3);
    table.missesSenders = false;
    add(4);
    assert.deepEqual([misses(5003), misses(5004)], [true, false]);
  });

  it('finds the newest socket of a port that is used again, also at the same address', () => {
    const table = new SocketTable(LIMITS);
    table.addSocket(1, 1, record('old'), 0);
    table.setAddresses(state('established', 1, 5000), 0);
    table.closeSocket(1, 0);
    table.addSocket(1, 1, record('new'), 1);
    table.setAddresses(state('established', 1, 5000), 1);
    assert.deepEqual(found(table, 5000), ['new']);
    // The deletion of the old one does not delete the new one.
    table.expire(10_000);
    assert.deepEqual(found(table, 5000), ['new']);
  });

  it('finds the socket behind address translation by the sequence number of its SYN, if only one has it', () => {
    const table = new SocketTable(LIMITS);
    const behind = (sequence: number, remotePort = 80) =>
      table.findTranslated(
        { ...state('established', 0, 61_000), localAddress: '10.9.9.9', remotePort },
        sequence,
      );
    table.addSocket(7, 2, record('inner'), 0);
    assert.equal(behind(7), null, 'its ports are not known yet');
    table.setAddresses(state('established', 7, 5000, 2), 0);
    assert.equal(behind(7)?.netns, 2);
    assert.equal(behind(8), null, 'another connection');
    assert.equal(behind(7, 8080), null, 'another endpoint');
    table.addSocket(9, 3, record('twin'), 0);
    table.setAddresses({ ...state('established', 9, 5001, 3), initialSequence: 7 }, 0);
    assert.equal(behind(7), null, 'two sockets may be meant');
    table.closeSocket(9, 0);
    table.expire(10_000);
    assert.equal(behind(7)?.netns, 2);
    table.closeSocket(7, 10_000);
    table.expire(20_000);
    assert.equal(behind(7), null);
  });

  it('finds the sockets of several namespaces with the same addresses, newest last', () => {
    const table = new SocketTable(LIMITS);
    table.addSocket(1, 1, record('host'), 0);
    table.addSocket(2, 2, record('container'), 0);
    table.setAddresses(state('established', 2, 5000, 2), 0);
    table.setAddresses(state('established', 1, 5000, 1), 0);
    assert.deepEqual(found(table, 5000), ['container', 'host']);
  });

  it('finds a failed attempt by its port, if it had one, for as long as a closed socket', () => {
    const table = new SocketTable(LIMITS);
    table.addSocket(1, 1, record('refused'), 0);
    table.setAddresses(state('failed', 1, 5000), 0);
    table.addSocket(2, 1, record('no port'), 0);
    table.setAddresses(state('failed', 2, 0), 0);
    assert.deepEqual(found(table, 5000), ['refused']);
    assert.deepEqual(found(table, 0), []);
    table.expire(10_000);
    assert.equal(table.size, 0);
  });

  it('counts a connection whose beginning was not reported', () => {
    const table = new SocketTable(LIMITS);
    table.setAddresses(state('established', 1, 5000), 0);
    assert.deepEqual(found(table, 5000), ['nobody']);
    assert.equal(table.joinsWithoutOwner, 1);
    // The records of this socket's end and of its next beginning were both lost.
    table.setAddresses(state('established', 1, 5001), 0);
    assert.deepEqual(found(table, 5001), ['nobody']);
    assert.equal(table.joinsWithoutOwner, 2);
  });

  it('evicts the oldest closed socket, then the oldest one, and counts it', () => {
    const table = new SocketTable(LIMITS);
    for (const socket of [1, 2, 3, 4]) {
      table.addSocket(socket, 1, record(`p${socket}`), 0);
      table.setAddresses(state('established', socket, 5000 + socket), 0);
    }
    table.closeSocket(3, 0);
    table.addSocket(5, 1, record('p5'), 0);
    assert.deepEqual(found(table, 5003), []);
    table.addSocket(6, 1, record('p6'), 0);
    assert.deepEqual(found(table, 5001), []);
    assert.deepEqual(found(table, 5002), ['p2']);
    assert.equal(table.evicted, 2);
    table.addSocket(7, 1, record('big', 950), 0);
    assert.equal(table.size, 1);
  });

  it('never exceeds its bounds, and frees all its bytes', () => {
    const action = fc.record({
      what: fc.constantFrom('begun', 'established', 'failed', 'closed', 'expire'),
      socket: fc.integer({ min: 1, max: 6 }),
      port: fc.integer({ min: 5000, max: 5003 }),
      netns: fc.integer({ min: 1, max: 2 }),
      bytes: fc.integer({ min: 80, max: 600 }),
      waitMs: fc.integer({ min: 0, max: 6000 }),
    });
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
        const table = new SocketTable(LIMITS);
        let nowMs = 0;
        for (const { what, socket, port, netns, bytes, waitMs } of actions) {
          nowMs += waitMs;
          if (what === 'begun') table.addSocket(socket, netns, record('p', bytes), nowMs);
          else if (what === 'closed') table.closeSocket(socket, nowMs);
          else if (what === 'expire') table.expire(nowMs);
          else table.setAddresses(state(what as 'established' | 'failed', socket, port, netns), nowMs);
          assert.ok(table.size <= LIMITS.maxSockets);
          for (const at of [5000, 5001, 5002, 5003]) {
            const held = table.find(state('established', 0, at));
            assert.ok(held.length <= 2);
            assert.equal(new Set(held.map((watched) => watched.netns)).size, held.length);
          }
        }
        for (const socket of [1, 2, 3, 4, 5, 6]) table.closeSocket(socket, nowMs);
        table.expire(nowMs + LIMITS.keepClosedMs);
        assert.equal(table.size, 0);
        assert.equal(table.retainedBytes, 0);
        for (const at of [5000, 5001, 5002, 5003]) assert.deepEqual(found(table, at), []);
      }),
    );
  });
});
