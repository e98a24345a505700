/** Tests that the sockets of a sender's namespace are reported once each, and their end when they are listed no more. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RecordedConnection } from '../../../../agent/attribution/attributor.ts';
import type { SocketOwner } from '../../../../agent/attribution/owner.ts';
import { RedirectedSockets } from '../../../../agent/coverage/redirected_sockets.ts';
import type { FlowTuple } from '../../../../agent/flow.ts';

const OURS = 1;
const POD = 2;

function socket(localPort: number): FlowTuple {
  return { localAddress: '10.0.0.1', localPort, remoteAddress: '169.254.169.254', remotePort: 80 };
}

function setUp(recorded: RecordedConnection[] = []) {
  const listed = new Map<number, FlowTuple[]>();
  const events: string[] = [];
  const owner = { pid: 7 } as SocketOwner;
  const sockets = new RedirectedSockets({
    netns: OURS,
    attributor: {
      ownerOf: ({ localPort }) => (localPort === 100 ? owner : null),
      ...(recorded.length > 0 && { connectionsIn: (netns: number) => (netns === POD ? recorded : []) }),
    },
    socketsAt: (netns, path) => {
      events.push(`list ${netns} ${path}`);
      const tuples = listed.get(netns);
      if (tuples === undefined) throw new Error('gone');
      return tuples;
    },
    onSocket: (connection, path) => {
      const { tuple, netns } = connection;
      events.push(`socket ${netns} ${tuple.localPort} of ${connection.owner()?.pid ?? 'nobody'} by ${path}`);
      if (recorded.length === 0) assert.equal(connection.isOpen(), true);
      else events.push(connection.isOpen() ? 'open' : 'ended');
    },
    onClosed: (netns, { localPort }) => events.push(`closed ${netns} ${localPort}`),
  });
  return { listed, sockets, taken: () => events.splice(0) };
}

test('each socket in the namespace of the sender is reported once, and its end before the next', () => {
  const { listed, sockets, taken } = setUp();
  listed.set(POD, [socket(100), socket(101)]);
  sockets.find({ pid: 9, netns: POD }, socket(200));
  const path = '/proc/9/ns/net';
  assert.deepEqual(taken(), [
    `list 2 ${path}`,
    `socket 2 100 of 7 by ${path}`,
    `socket 2 101 of nobody by ${path}`,
  ]);
  listed.set(POD, [socket(101), socket(102)]);
  sockets.find({ pid: 9, netns: POD }, socket(200));
  assert.deepEqual(taken(), [`list 2 ${path}`, 'closed 2 100', `socket 2 102 of nobody by ${path}`]);
  listed.set(POD, []);
  sockets.find({ pid: 9, netns: POD }, socket(200));
  assert.deepEqual(taken(), [`list 2 ${path}`, 'closed 2 101', 'closed 2 102']);
});

test('the connection of the request itself is not reported, and stays reported if it was', () => {
  const { listed, sockets, taken } = setUp();
  listed.set(POD, [socket(200), socket(100)]);
  sockets.find({ pid: 9, netns: POD }, socket(200));
  assert.deepEqual(taken().slice(1), ['socket 2 100 of 7 by /proc/9/ns/net']);
  sockets.find({ pid: 9, netns: POD }, socket(100));
  assert.deepEqual(taken().slice(1), ['socket 2 200 of nobody by /proc/9/ns/net']);
  sockets.find({ pid: 9, netns: POD }, socket(200));
  assert.deepEqual(taken().slice(1), []);
});

test('a namespace that cannot be listed any more closes nothing', () => {
  const { listed, sockets, taken } = setUp();
  listed.set(POD, [socket(100)]);
  sockets.find({ pid: 9, netns: POD }, socket(200));
  taken();
  listed.delete(POD);
  sockets.find({ pid: 9, netns: POD }, socket(200));
  assert.deepEqual(taken(), ['list 2 /proc/9/ns/net']);
});

test('our own namespace, and one that is not known, are not listed', () => {
  const { sockets, taken } = setUp();
  sockets.find({ pid: 9, netns: OURS }, socket(200));
  sockets.find({ pid: 9, netns: null }, socket(200));
  assert.deepEqual(taken(), []);
});

test('recorded connections are reported once each, also those that have ended, and are listed no more', () => {
  const made = (localPort: number, pid: number, isOpen: boolean) => ({
    ...{ tuple: socket(localPort), owner: { pid } as SocketOwner, isOpen },
  });
  const [ended, open, own] = [made(100, 7, false), made(101, 8, true), made(200, 9, true)];
  const { listed, sockets, taken } = setUp([ended, open, own]);
  listed.set(POD, [socket(101), socket(200), socket(102)]);
  const path = '/proc/9/ns/net';
  sockets.find({ pid: 9, netns: POD }, socket(200));
  assert.deepEqual(taken(), [
    ...[`socket 2 100 of 7 by ${path}`, 'ended', `socket 2 101 of 8 by ${path}`, 'open'],
    ...[`list 2 ${path}`, `socket 2 102 of nobody by ${path}`, 'open'],
  ]);
  open.isOpen = false;
  listed.set(POD, [socket(102)]);
  sockets.find({ pid: 9, netns: POD }, socket(200));
  sockets.find({ pid: 9, netns: POD }, socket(200));
  assert.deepEqual(taken(), ['closed 2 101', `list 2 ${path}`, `list 2 ${path}`]);
});
