/** Tests that every path that hands out role credentials is recognised, however it is written. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { categoryOf } from '../../../../agent/conversation/place.ts';

/** A set-up that people reported, and the paths that it asks for. */
const REPORTED: { source: string; paths: [path: string, category: string, role: string | null][] }[] = [
  {
    source: 'aws/aws-sdk-js-v3, fromInstanceMetadata: IMDS_EXTENDED_PATH is asked first',
    paths: [
      ['/latest/meta-data/iam/security-credentials-extended/', 'role-list', null],
      ['/latest/meta-data/iam/security-credentials-extended/web', 'credentials', 'web'],
    ],
  },
  {
    source: 'aws/amazon-ssm-agent: default host management reads the instance identity role',
    paths: [
      [
        '/latest/meta-data/identity-credentials/ec2/security-credentials/ec2-instance',
        'credentials',
        'ec2-instance',
      ],
      ['/latest/meta-data/identity-credentials/ec2/info', 'metadata', null],
    ],
  },
  {
    source: 'boto 2.49 get_instance_metadata: the old version prefix, a slash too many',
    paths: [
      ['/1.0//meta-data/iam/security-credentials/', 'role-list', null],
      ['/1.0//meta-data/iam/security-credentials//web', 'credentials', 'web'],
    ],
  },
  {
    source: 'ohai 16 Ohai::Mixin::Ec2Metadata: the newest dated version it knows',
    paths: [['/2016-09-02/meta-data/iam/security-credentials/web', 'credentials', 'web']],
  },
  {
    source: 'swisskyrepo/PayloadsAllTheThings, Server Side Request Forgery: encodings that pass a filter',
    paths: [
      ['/latest/meta-data/iam/security-credentials%2Fweb', 'credentials', 'web'],
      ['/latest/meta-data/iam%2fsecurity-credentials-extended%2fweb', 'credentials', 'web'],
      ['/%6catest/%6deta-data/%69am/security-credentials/web', 'credentials', 'web'],
      ['/latest/meta-data/%2569am/security-credentials/web', 'credentials', 'web'],
      ['/latest;x=y/meta-data/iam/security-credentials;z/web', 'credentials', 'web'],
      ['/latest/user-data/../meta-data/iam/security-credentials-extended/web', 'credentials', 'web'],
      ['/computeMetadata/../latest/meta-data/iam/security-credentials/web', 'credentials', 'web'],
    ],
  },
];

describe('credentials', () => {
  for (const { source, paths } of REPORTED) {
    for (const [path, category, role] of paths) {
      it(`${path} (${source})`, () => assert.deepEqual(categoryOf(path), { category, role }));
    }
  }

  it('are found in every directory, version and way of writing', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('latest', '1.0', '2007-01-19', '2021-07-15', '2034-12-31'),
        fc.constantFrom(
          'iam/security-credentials',
          'iam/security-credentials-extended',
          'identity-credentials/ec2/security-credentials',
          'identity-credentials/ec2/security-credentials-extended',
        ),
        fc.array(fc.nat(2), { minLength: 1, maxLength: 16 }),
        fc.constantFrom('/', '//', '/./', '/x/../', '%2F'),
        fc.boolean(),
        (version, directory, escapes, slash, isListing) => {
          const write = (character: string, index: number) => {
            const hex = character.charCodeAt(0).toString(16);
            const kind = character === '/' ? 0 : escapes[index % escapes.length]!;
            return kind === 0 ? character : kind === 1 ? `%${hex}` : `%${hex.toUpperCase()}`;
          };
          const target = `${version}/meta-data/${directory}/${isListing ? '' : 'Web-Role'}`;
          const path = `/${[...target].map(write).join('').replaceAll('/', slash)}`;
          const expected = isListing
            ? { category: 'role-list', role: null }
            : { category: 'credentials', role: 'Web-Role' };
          assert.deepEqual(categoryOf(path), expected);
        },
      ),
    );
  });

  it('an unknown path below the service is never metadata', () => {
    fc.assert(
      fc.property(
        fc.stringMatching(/^[a-z-]{1,12}$/),
        fc.constantFrom('meta-data', 'dynamic'),
        (name, tree) => {
          const { category } = categoryOf(`/latest/${tree}/unknown-${name}/x`);
          assert.equal(category, 'other');
        },
      ),
    );
  });
});
