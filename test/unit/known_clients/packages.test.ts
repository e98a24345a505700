import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { clientOfPackage, judgeRelease } from '../../../known_clients/packages.ts';
import { CLIENTS } from '../../../known_clients/table.ts';
import { compareVersions } from '../../../known_clients/version.ts';

const PACKAGES = CLIENTS.flatMap(({ packages }) => packages);

function judged(ecosystem: Parameters<typeof clientOfPackage>[0], name: string, version: string | null) {
  const found = clientOfPackage(ecosystem, name, version);
  return found === null ? null : judgeRelease(found.package, version);
}

describe('packages of clients', () => {
  it('are judged by their release', () => {
    assert.deepEqual(judged('npm', 'aws-sdk', '2.574.0'), {
      asksForToken: false,
      fallsBack: false,
      canDisableFallback: false,
    });
    assert.deepEqual(judged('npm', 'aws-sdk', '2.575.0'), {
      asksForToken: true,
      fallsBack: true,
      canDisableFallback: false,
    });
    assert.deepEqual(judged('npm', 'aws-sdk', '2.1693.0'), {
      asksForToken: true,
      fallsBack: true,
      canDisableFallback: true,
    });
    assert.deepEqual(judged('nuget', 'awssdk.core', '4.0.1'), {
      asksForToken: true,
      fallsBack: false,
      canDisableFallback: true,
    });
    assert.equal(judged('pypi', 'boto', '2.49.0')?.asksForToken, false);
    assert.equal(judged('pypi', 'left-pad', '1.0'), null);
  });

  it('of single services are judged like their SDK', () => {
    assert.equal(judged('maven', 'com.amazonaws:aws-java-sdk-s3', '1.11.600')?.asksForToken, false);
    assert.equal(judged('maven', 'software.amazon.awssdk:s3', '2.23.17')?.canDisableFallback, true);
    assert.equal(judged('npm', '@aws-sdk/client-s3', '3.1.0')?.fallsBack, true);
    assert.equal(judged('nuget', 'AWSSDK.S3', '4.0.3')?.fallsBack, false);
    assert.equal(judged('nuget', 'AWSSDK.S3', '3.7.1'), null);
    assert.equal(judged('nuget', 'AWSSDK.Core', '3.7.1')?.fallsBack, true);
    assert.equal(judged('cargo', 'rusoto_credential', '0.48.0')?.asksForToken, false);
    assert.equal(judged('gem', 'fog-aws', '3.6.3')?.asksForToken, false);
  });

  it('are not judged where the release is not known', () => {
    assert.deepEqual(judged('npm', 'aws-sdk', null), {
      asksForToken: null,
      fallsBack: null,
      canDisableFallback: null,
    });
    assert.equal(judged('pypi', 'boto', null)?.asksForToken, false);
    assert.equal(judged('nuget', 'AWSSDK.S3', null), null);
    assert.equal(judged('composer', 'aws/aws-sdk-php', null), null);
    assert.equal(judged('maven', 'software.amazon.awssdk:s3', null)?.asksForToken, null);
    assert.equal(judged('npm', 'aws-sdk', 'latest')?.asksForToken, null);
  });

  it('have one entry for each release', () => {
    for (const { ecosystem, name, from, below } of PACKAGES) {
      for (const version of [from, below, '0.1', '1.0', '2.0', '3.0', '99.0']) {
        if (version === null) continue;
        const found = PACKAGES.filter(
          (other) =>
            other.ecosystem === ecosystem &&
            other.name === name &&
            (other.from === null || compareVersions(version, other.from)! >= 0) &&
            (other.below === null || compareVersions(version, other.below)! < 0),
        );
        assert.ok(found.length <= 1, `${ecosystem} ${name} ${version}`);
      }
    }
  });

  it('never lose a feature in a later release', () => {
    const version = fc.array(fc.nat(2000), { minLength: 1, maxLength: 3 }).map((parts) => parts.join('.'));
    fc.assert(
      fc.property(fc.constantFrom(...PACKAGES), version, version, (entry, a, b) => {
        const [early, late] = compareVersions(a, b)! <= 0 ? [a, b] : [b, a];
        const [before, after] = [judgeRelease(entry, early), judgeRelease(entry, late)];
        if (before.asksForToken) assert.equal(after.asksForToken, true);
        if (before.canDisableFallback) assert.equal(after.canDisableFallback, true);
      }),
    );
  });
});
