import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { oneSecond, TokenBucket, TokenBuckets } from '../../../common/token_bucket.ts';

describe('one token bucket', () => {
  it('lets a sender that obeys its delays send its rate and one burst, and no more', () => {
    const counts = fc.array(fc.integer({ min: 1, max: 500 }), { minLength: 1, maxLength: 50 });
    fc.assert(
      fc.property(counts, fc.integer({ min: 1, max: 1000 }), (takes, perSecond) => {
        let now = 0;
        let passed = 0;
        const bucket = new TokenBucket(oneSecond(perSecond), now);
        for (const count of takes) {
          assert.ok(passed <= perSecond * (1 + now / 1000) + 1e-6);
          passed += count;
          now += bucket.takeOnCredit(count, now);
        }
      }),
    );
  });
});

describe('token buckets by key', () => {
  it('never give more than the burst and what has flowed in since', () => {
    const step = fc.record({ key: fc.constantFrom('a', 'b', 'c'), ms: fc.nat(30_000) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        let now = 0;
        const buckets = new TokenBuckets({ perSecond: 5 / 60, burst: 5 }, 4096, () => now);
        const passed = new Map<string, number>();
        for (const { key, ms } of steps) {
          now += ms;
          if (buckets.tryTake(key) > 0) continue;
          passed.set(key, (passed.get(key) ?? 0) + 1);
          assert.ok(passed.get(key)! <= 5 + (now * 5) / 60_000 + 1e-6);
        }
      }),
    );
  });
  it('give a token after the seconds that they name', () => {
    let now = 0;
    const buckets = new TokenBuckets({ perSecond: 3 / 60, burst: 3 }, 4096, () => now);
    for (let index = 0; index < 3; index += 1) assert.equal(buckets.tryTake('a'), 0);
    const wait = buckets.tryTake('a');
    assert.equal(wait, 20);
    now += wait * 1000;
    assert.equal(buckets.tryTake('a'), 0);
    now -= 3_600_000;
    assert.ok(buckets.tryTake('a') > 0, 'a clock that was set back gives nothing');
  });
  it('return whole seconds that suffice, at any rate', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 600 }), fc.nat(120_000), (perMinute, laterMs) => {
        let now = 0;
        const buckets = new TokenBuckets({ perSecond: perMinute / 60, burst: perMinute }, 4096, () => now);
        for (let index = 0; index < perMinute; index += 1) buckets.tryTake('a');
        now += laterMs;
        const wait = buckets.tryTake('a');
        now += wait * 1000 + 0.01;
        assert.equal(wait === 0 ? 0 : buckets.tryTake('a'), 0);
      }),
    );
  });
  it('give a burst and then a steady rate, and remember a bounded number of keys', () => {
    let now = 0;
    const buckets = new TokenBuckets({ perSecond: 2, burst: 3 }, 10_000, () => now);
    const takes = (count: number) => Array.from({ length: count }, () => buckets.tryTake('a'));
    assert.deepEqual(takes(3), [0, 0, 0]);
    assert.equal(buckets.tryTake('a'), 1);
    assert.equal(buckets.tryTake('b'), 0);
    now = 500;
    assert.equal(buckets.tryTake('a'), 0);
    assert.equal(buckets.tryTake('a'), 1);
    now = 1_000_000;
    assert.deepEqual(takes(4), [0, 0, 0, 1]);
    assert.equal(buckets.refused, 3);
    for (let key = 0; key < 20_000; key += 1) buckets.tryTake(String(key));
    assert.equal(buckets.size, 10_000);
    assert.equal(buckets.tryTake('a'), 0, 'forgotten by then');
  });
  it('take a token back', () => {
    const buckets = new TokenBuckets({ perSecond: 1, burst: 1 }, 10, () => 0);
    assert.equal(buckets.tryTake('a'), 0);
    buckets.giveBackOne('a');
    assert.equal(buckets.tryTake('a'), 0);
    assert.equal(buckets.tryTake('a'), 1);
  });
});
