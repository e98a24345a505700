import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { productsOf } from '../../../known_clients/recognise.ts';
import { compareVersions, sortVersions } from '../../../known_clients/version.ts';

describe('versions', () => {
  const version = fc.array(fc.nat(3000), { minLength: 1, maxLength: 4 }).map((parts) => parts.join('.'));

  it('are compared number by number', () => {
    assert.equal(compareVersions('2.1693.0', '2.722.0'), 1);
    assert.equal(compareVersions('1.9', '1.12.6'), -1);
    assert.equal(compareVersions('3.0.0-rc.1', '3.0.0'), -1);
    assert.equal(compareVersions('1.0', '1'), 0);
    assert.equal(compareVersions('v1.2', '1.2.0'), 0);
    assert.equal(compareVersions('latest', '1.2.0'), null);
    assert.deepEqual(sortVersions(['2.10', 'x', '2.9', '2.9-beta']), ['2.9-beta', '2.9', '2.10', 'x']);
  });

  it('have one order', () => {
    fc.assert(
      fc.property(version, version, version, (a, b, c) => {
        assert.equal(compareVersions(a, b)! + compareVersions(b, a)!, 0);
        if (compareVersions(a, b)! <= 0 && compareVersions(b, c)! <= 0)
          assert.ok(compareVersions(a, c)! <= 0);
      }),
    );
  });

  it('are quickly found to be missing in any text', () => {
    fc.assert(fc.property(fc.string(), (text) => void [compareVersions(text, '1'), productsOf(text)]));
    const before = process.threadCpuUsage();
    productsOf(`aws-sdk-nodejs/${'1.'.repeat(200_000)}`);
    productsOf('got '.repeat(100_000));
    assert.ok(process.threadCpuUsage(before).user < 1_000_000);
  });
});
