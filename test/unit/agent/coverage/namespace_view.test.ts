/** Tests how the tables of another namespace in /proc are read. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { countInterfaces, socketsIn } from '../../../../agent/coverage/namespace_view.ts';
import { vethPeerNamespaceId } from '../../../../agent/linux/netlink_route.ts';

const TCP_HEAD =
  '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n';
const REST = '00000000:00000000 00:00000000 00000000     0        0 4711 1 0000000000000000 20 4 30 10 -1\n';

describe('sockets of a namespace', () => {
  it('are read with their addresses, IPv4, IPv6 and mapped', () => {
    const table = `${TCP_HEAD}   0: 0200630A:AFC9 FEA9FEA9:0050 01 ${REST}`;
    assert.deepEqual(socketsIn(table), [
      { localAddress: '10.99.0.2', localPort: 45_001, remoteAddress: '169.254.169.254', remotePort: 80 },
    ]);
    const mapped = '0000000000000000FFFF00000200630A:AFC9 0000000000000000FFFF0000FEA9FEA9:0050';
    assert.deepEqual(socketsIn(`${TCP_HEAD}   0: ${mapped} 08 ${REST}`)[0]?.remoteAddress, '169.254.169.254');
    const real = `990000FD000000000000000002000000:AFC9 C20E00FD000000000000000054020000:0050`;
    assert.deepEqual(socketsIn(`${TCP_HEAD}   0: ${real} 02 ${REST}`)[0]?.remoteAddress, 'fd00:ec2::254');
  });

  it('are left out if they only listen or can send no more', () => {
    for (const state of ['06', '07', '0A', '0C']) {
      assert.deepEqual(socketsIn(`${TCP_HEAD}   0: 0200630A:AFC9 FEA9FEA9:0050 ${state} ${REST}`), []);
    }
    assert.deepEqual(socketsIn(''), []);
    assert.deepEqual(socketsIn(`${TCP_HEAD}   0: 0200630A\n`), []);
  });
});

describe('interfaces of a namespace', () => {
  const HEAD = 'Inter-|   Receive |  Transmit\n face |bytes packets|bytes packets\n';
  const line = (name: string, sent: number) => `${name}: 1 2 0 0 0 0 0 0 ${sent * 60} ${sent} 0 0 0 0 0 0\n`;

  it('are counted without the loopback and tunnel devices that were never used', () => {
    assert.equal(countInterfaces(HEAD + line('    lo', 9)), 0);
    assert.equal(countInterfaces(HEAD + line('    lo', 0) + line('  eth0', 0) + line('  eth1', 3)), 2);
    assert.equal(countInterfaces(HEAD + line('  sit0', 0)), 0);
    assert.equal(countInterfaces(HEAD + line('  sit0', 1)), 1, 'one that sent something may be anything');
  });

  it('are veth pairs only if the kernel lists them as such', () => {
    const attribute = (type: number, value: Buffer) => {
      const head = Buffer.alloc(4);
      head.writeUInt16LE(4 + value.length, 0);
      head.writeUInt16LE(type, 2);
      return Buffer.concat([head, value, Buffer.alloc((4 - (value.length % 4)) % 4)]);
    };
    const link = (kind: string | null, id: number | null) =>
      Buffer.concat([
        Buffer.alloc(16),
        ...(kind === null ? [] : [attribute(18, attribute(1, Buffer.from(`${kind}\0`)))]),
        ...(id === null ? [] : [attribute(37, Buffer.from([id, 0, 0, 0]))]),
      ]);
    assert.equal(vethPeerNamespaceId(link('veth', 3)), 3);
    assert.equal(vethPeerNamespaceId(link('macvlan', 3)), null);
    assert.equal(vethPeerNamespaceId(link('veth', null)), null, 'both ends are in one namespace');
    assert.equal(vethPeerNamespaceId(link(null, 3)), null);
    assert.equal(vethPeerNamespaceId(Buffer.alloc(3)), null);
  });
});
