/** The limiter lets through what it may, and no more, whoever asks in whatever order; and stays small. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { AddressList } from '../../../../collector/access/address_list.ts';
import { networkOf, RateLimiter } from '../../../../collector/access/rate_limiter.ts';

describe('rate limiter', () => {
  it('never lets through more than the bucket and what has flowed in since', () => {
    const step = fc.record({ key: fc.constantFrom('a', 'b', 'c'), ms: fc.nat(30_000) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        let now = 0;
        const limiter = new RateLimiter(5, () => now);
        const passed = new Map<string, number>();
        for (const { key, ms } of steps) {
          now += ms;
          if (limiter.take(key) > 0) continue;
          passed.set(key, (passed.get(key) ?? 0) + 1);
          assert.ok(passed.get(key)! <= 5 + (now * 5) / 60_000 + 1e-6);
        }
      }),
    );
  });
  it('lets through after the seconds that it says', () => {
    let now = 0;
    const limiter = new RateLimiter(3, () => now);
    for (let index = 0; index < 3; index += 1) assert.equal(limiter.take('a'), 0);
    const wait = limiter.take('a');
    assert.equal(wait, 20);
    now += wait * 1000;
    assert.equal(limiter.take('a'), 0);
    now -= 3_600_000;
    assert.ok(limiter.take('a') > 0, 'a clock that was set back gives nothing');
  });
  it('remembers a bounded number', () => {
    const limiter = new RateLimiter(1, () => 0);
    for (let index = 0; index < 10_000; index += 1) limiter.take(`${index}`);
    assert.equal(limiter.size, 4096);
  });
  it('takes every form of one IPv6 network for one, and an IPv4 address in IPv6 for itself', () => {
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
