/**
 * Our own connections, without eBPF: told by the socket, by its SYN's sequence number, and for as long as it
 * lives.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { SockDiagAttributor } from '../../../../agent/attribution/sock_diag.ts';
import { OwnCalls } from '../../../../agent/host/own_calls.ts';

const server = createServer();
let port = 0;

async function followed(address = '127.0.0.1') {
  const own = new OwnCalls();
  const socket = connect({ host: address, port });
  own.followSocket(socket, address, port);
  // Runs like the handling of a packet: in a later turn of the loop, before the connection is reported as open.
  await new Promise((resolve) => setImmediate(resolve));
  return { own, socket, tuple: tupleOf(socket, address) };
}

function tupleOf(socket: Socket, remoteAddress: string) {
  return {
    localAddress: socket.localAddress!,
    localPort: socket.localPort!,
    remoteAddress,
    remotePort: port,
  };
}

describe("the agent's own sockets", () => {
  const attributor = SockDiagAttributor.open({ threadNice: null });
  before(async () => {
    server.listen(0, '::');
    await once(server, 'listening');
    port = (server.address() as { port: number }).port;
  });
  after(() => {
    attributor.close();
    server.close();
  });

  for (const address of ['127.0.0.1', '::1']) {
    it(`are known by the kernel's word at their SYN (${address})`, async () => {
      const { own, socket, tuple } = await followed(address);
      const inodeNow = () => attributor.inodeOf(tuple);
      assert.equal(own.matchConnection({ ...tuple, localPort: tuple.localPort + 1 }, 7, inodeNow), false);
      assert.equal(own.matchConnection({ ...tuple, remoteAddress: '127.0.0.2' }, 7, inodeNow), false);
      assert.equal(own.matchConnection(tuple, 7, inodeNow), true);
      assert.equal(own.matchConnection(tuple, 7, inodeNow), true, 'the SYN is seen once more');
      socket.destroy();
    });
  }

  it('do not lend their addresses to a SYN with another sequence number', async () => {
    const { own, socket, tuple } = await followed();
    assert.equal(
      own.matchConnection(tuple, 7, () => attributor.inodeOf(tuple)),
      true,
    );
    assert.equal(
      own.matchConnection(tuple, 8, () => attributor.inodeOf(tuple)),
      false,
    );
    socket.destroy();
  });

  it('are not known if the kernel says that the tuple belongs to another socket, or to none', async () => {
    const { own, socket, tuple } = await followed();
    const inode = attributor.inodeOf(tuple);
    assert.ok(inode !== null);
    assert.equal(
      own.matchConnection(tuple, 7, () => inode + 1),
      false,
    );
    assert.equal(
      own.matchConnection(tuple, 7, () => null),
      false,
    );
    assert.equal(
      own.matchConnection(tuple, 7, () => inode),
      true,
    );
    socket.destroy();
  });

  it('end with the socket: the next process that binds the port is another caller', async () => {
    const { own, socket, tuple } = await followed();
    const inode = attributor.inodeOf(tuple);
    socket.destroy();
    await once(socket, 'close');
    assert.equal(
      own.matchConnection(tuple, 7, () => inode),
      false,
    );
  });
});
