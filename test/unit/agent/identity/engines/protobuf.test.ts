import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { field, Message, mapField } from '../../../../../agent/identity/engines/protobuf.ts';

const bytes = (hex: string) => Buffer.from(hex.replaceAll(' ', ''), 'hex');

describe('protobuf', () => {
  it('reads the examples of the format’s own description', () => {
    // protobuf.dev, "Encoding": Test2 {b: "testing"}, Test3 {c: Test1 {a: 150}}, Test1 {a: 150}.
    assert.equal(new Message(bytes('12 07 74 65 73 74 69 6e 67')).string(2), 'testing');
    assert.equal(new Message(bytes('1a 03 08 96 01')).messages(3).length, 1);
    assert.equal(new Message(bytes('08 96 01')).string(2), '');
  });

  it('writes them', () => {
    assert.deepEqual(field(2, 'testing'), bytes('12 07 74 65 73 74 69 6e 67'));
    assert.deepEqual(field(18, 'x'), bytes('92 01 01 78'));
    assert.deepEqual(field(1, ''), Buffer.alloc(0));
    assert.deepEqual(mapField(3, { a: 'b' }), bytes('1a 06 0a 01 61 12 01 62'));
    assert.equal(field(1, 'x'.repeat(300)).subarray(0, 3).toString('hex'), '0aac02');
  });

  it('passes over kinds that it does not keep, and takes the last of a repeated field', () => {
    const message = new Message(bytes('09 0102030405060708 15 01020304 0a 01 61 0a 01 62'));
    assert.equal(message.string(1), 'b');
    assert.deepEqual(
      new Message(Buffer.concat([field(1, field(1, 'x')), field(1, field(1, 'y'))]))
        .messages(1)
        .map((m) => m.string(1)),
      ['x', 'y'],
    );
  });

  it('returns every map, with any keys', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' })), (map) => {
        assert.deepEqual({ ...new Message(mapField(12, map)).strings(12) }, { ...map });
      }),
    );
  });

  it('reports bytes that are no message, and ends', () => {
    for (const hex of [
      '0a',
      '0a 05 61',
      '0b',
      'ff ff ff ff ff ff ff ff ff ff ff',
      '09 01',
      '15 00',
      '08 80',
    ]) {
      assert.throws(() => new Message(bytes(hex)), Error, hex);
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (content) => {
        try {
          new Message(content).strings(1);
        } catch (error) {
          assert.ok(
            error instanceof Error && !(error instanceof RangeError) && !(error instanceof TypeError),
          );
        }
      }),
    );
  });
});
