/** The lab's own Protocol Buffers, against the documentation's examples and against itself. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { decode, encode } from '../support/lab/protobuf.ts';

describe('protobuf', () => {
  it("writes the documentation's examples (protobuf.dev, Encoding)", () => {
    assert.equal(encode({ 1: 150 }).toString('hex'), '089601');
    assert.equal(encode({ 2: 'testing' }).toString('hex'), '120774657374696e67');
    assert.equal(encode({ 3: { 1: 150 } }).toString('hex'), '1a03089601');
    assert.equal(encode({ 4: ['a', 'b'], 5: undefined, 6: false }).toString('hex'), '22016122016230' + '00');
    assert.equal(encode({ 7: new Map([['k', 'v']]) }).toString('hex'), '3a060a016b120176');
  });

  it('reads what it wrote, and skips numbers of fixed length', () => {
    const number = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
    fc.assert(
      fc.property(number, fc.string(), fc.integer({ min: 2, max: 500 }), (one, other, field) => {
        const fixed = Buffer.from('fd0701020304' + 'f9070102030405060708', 'hex'); // fields 127: 32 and 64 bits
        const fields = decode(Buffer.concat([fixed, encode({ 1: one, [field]: other })]));
        assert.equal(fields.get(1), one);
        assert.equal((fields.get(field) as Buffer).toString(), Buffer.from(other).toString());
      }),
    );
  });

  it('refuses bytes that were cut', () => {
    const whole = encode({ 2: 'testing' });
    for (let length = 1; length < whole.length; length++) {
      assert.throws(() => decode(whole.subarray(0, length)), RangeError);
    }
  });
});
