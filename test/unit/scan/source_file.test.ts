/** Tests that positions lie inside the file and that text and bytes correspond. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { SourceFile } from '../../../scan/source_file.ts';

describe('source file', () => {
  it('gives the same bytes back for any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const file = new SourceFile('any', bytes);
        assert.deepEqual([...file.bytesOf(file.text)], [...bytes]);
      }),
    );
  });

  it('states line, column and byte of every index as a plain count does', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 80 }), fc.nat(100), (raw, index) => {
        const text = raw.replaceAll(/[a-c]/g, '\n');
        const file = SourceFile.fromText('any', text);
        const at = file.position(index);
        const before = file.text.slice(0, Math.min(index, file.text.length));
        assert.equal(at.index, before.length);
        assert.equal(at.line, before.split('\n').length);
        assert.equal(at.column, before.length - before.lastIndexOf('\n'));
        assert.ok(at.byte <= file.bytes.length);
        if (file.text.isWellFormed() && before.isWellFormed())
          assert.equal(at.byte, Buffer.byteLength(before));
      }),
    );
  });

  it('returns lines without their endings', () => {
    const file = SourceFile.fromText('any', '\ufeffone\r\ntwo\n');
    assert.deepEqual(
      [1, 2, 3, 4].map((line) => file.line(line)),
      ['\ufeffone', 'two', '', ''],
    );
  });
});
