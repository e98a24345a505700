import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AddressList } from '../../../../collector/access/address_list.ts';
import { networkOf } from '../../../../collector/access/client_network.ts';

describe('the network of a client', () => {
  it('is the same for every address of one IPv6 /64, and an IPv4 address mapped into IPv6 is that address', () => {
    const same = (one: string, other: string) => networkOf(one) === networkOf(other);
    assert.ok(same('2001:db8::1', '2001:0DB8:0:0:1:2:3:4'));
    assert.ok(same('fe80::1%eth0', 'fe80::2'));
    assert.ok(same('::ffff:10.0.0.1', '10.0.0.1'));
    assert.ok(!same('::ffff:10.0.0.1', '::ffff:10.0.0.2'));
    assert.ok(!same('2001:db8:0:1::', '2001:db8::'));
    assert.ok(same('::1', '::2'));
  });
});

describe('address list', () => {
  it('holds networks and single addresses, of both families', () => {
    const list = new AddressList(['10.0.0.0/8', '192.0.2.1', 'fd00::/8']);
    for (const inside of ['10.255.0.1', '192.0.2.1', 'fdff::1', '::ffff:10.0.0.1'])
      assert.ok(list.has(inside), inside);
    for (const outside of [
      '11.0.0.1',
      '192.0.2.2',
      'fe00::1',
      '',
      null,
      undefined,
      '10.0.0.1x',
      '10.0.0.1, 1.1.1.1',
    ]) {
      assert.ok(!list.has(outside), String(outside));
    }
  });
});
