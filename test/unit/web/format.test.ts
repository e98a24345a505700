import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { bytes, duration, percent, plural, shellLine } from '../../../web/src/format.ts';

/** Numbers are written as the reader's locale does. */
const DECIMAL = (1.5).toLocaleString().charAt(1);

describe('formats for people', () => {
  test('100 % appears only if nothing is missing', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 100, maxExcluded: true, noNaN: true }), (value) => {
        assert.notEqual(percent(value), '100 %');
      }),
    );
    assert.equal(percent(100), '100 %');
    assert.equal(percent(0), '0 %');
    assert.equal(percent(99.9999), `99${DECIMAL}99 %`);
  });

  test('durations have their two largest units', () => {
    assert.equal(duration(0), '0 s');
    assert.equal(duration(0.0421), '42 ms');
    assert.equal(duration(59), '59 s');
    assert.equal(duration(3 * 3600 + 12 * 60 + 5), '3 h 12 min');
    assert.equal(duration(14 * 86_400), '14 d');
    assert.equal(duration(86_400 + 120), '1 d');
  });

  test('bytes have binary units, and nouns have plurals', () => {
    assert.equal(bytes(512), '512 B');
    assert.equal(bytes(1536), `1${DECIMAL}5 KiB`);
    assert.equal(bytes(20 * 1024 ** 3), '20 GiB');
    assert.equal(plural(1, 'host'), '1 host');
    assert.equal(plural(0, 'process', 'processes'), '0 processes');
  });

  test('arguments are quoted for a shell', () => {
    assert.equal(shellLine(['curl', '-s', 'http://169.254.169.254/']), 'curl -s http://169.254.169.254/');
    assert.equal(shellLine(['sh', '-c', "echo 'a b'"]), "sh -c 'echo '\\''a b'\\'''");
    assert.equal(shellLine(['']), "''");
  });
});
