/**
 * Tests that a caller which ends before the look-up, on a port that is used again, is not given the port's
 * last owner.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { it } from 'node:test';
import { SockDiagAttributor } from '../../../../agent/attribution/sock_diag.ts';
import { resetConnection } from '../../../../lab/reset_connection.ts';

it('a SYN whose socket is gone deletes the known owner of its addresses', async () => {
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
    const confidenceAt = (begunUs: number) => {
      const fresh = SockDiagAttributor.open({ threadNice: null, searchBoundMs: 1_000 });
      const found = fresh.ownerOf(tuple, true, null, begunUs);
      fresh.close();
      return found?.confidence;
    };
    assert.equal(confidenceAt(Date.now() * 1_000), 'exact');
    // It began after that SYN was sent: another process connected, and the port is used again.
    assert.equal(confidenceAt((Date.now() - process.uptime() * 1_000 - 5_000) * 1_000), 'probable');
    assert.equal(attributor.ownerOf(tuple, true)?.pid, process.pid);
    attributor.connectionClosed(tuple);
    assert.equal(attributor.ownerOf(tuple, false)?.pid, process.pid, 'its last packets may still come');
    // A reset leaves no TIME_WAIT behind, so the kernel no longer knows the tuple.
    const [service] = await accepted;
    const ended = new Promise((resolve) => service.on('error', () => {}).once('close', resolve));
    service.resume();
    resetConnection(client);
    await ended;
    assert.equal(attributor.ownerOf(tuple, true), null);
    assert.equal(attributor.ownerOf(tuple, false), null);
  } finally {
    client.destroy();
    server.close();
    attributor.close();
  }
});
