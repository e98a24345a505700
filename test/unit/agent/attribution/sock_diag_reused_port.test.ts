/** A port that is used again by a caller who is gone before we ask: nobody, and not who had it before. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { it } from 'node:test';
import { SockDiagAttributor } from '../../../../agent/attribution/sock_diag.ts';

it('a SYN whose socket is gone ends what was known of its addresses', async () => {
  const attributor = SockDiagAttributor.open({ threadNice: null, searchBoundMs: 1_000 });
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  server.on('connection', (socket) => socket.on('error', () => {})); // a reset is what it gets
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  try {
    await once(client, 'connect');
    const tuple = {
      localAddress: client.localAddress!,
      localPort: client.localPort!,
      remoteAddress: client.remoteAddress!,
      remotePort: client.remotePort!,
    };
    assert.equal(attributor.ownerOf(tuple, true)?.pid, process.pid);
    attributor.connectionClosed(tuple);
    assert.equal(attributor.ownerOf(tuple, false)?.pid, process.pid, 'its last packets may still come');
    // A reset leaves no TIME_WAIT behind: the kernel knows the tuple no more.
    const [service] = await accepted;
    const ended = new Promise((resolve) => service.on('error', () => {}).once('close', resolve));
    service.resume();
    client.resetAndDestroy();
    await ended;
    assert.equal(attributor.ownerOf(tuple, true), null);
    assert.equal(attributor.ownerOf(tuple, false), null);
  } finally {
    client.destroy();
    server.close();
    attributor.close();
  }
});
