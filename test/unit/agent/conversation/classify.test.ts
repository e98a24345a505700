/**
 * Tests the category of a path in every way of writing it. The paths come from the AWS EC2 user guide and
 * from requests of real clients.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { classify } from '../../../../agent/conversation/classify.ts';
import type { ExchangeRequest } from '../../../../agent/conversation/exchange.ts';
import { categoryOf } from '../../../../agent/conversation/place.ts';
import { IMDS_IPV4 } from '../../../../protocol/endpoints.ts';
import { answer, play, request, Script } from '../../../support/agent/conversation/script.ts';

const ROLE = 'latest/meta-data/iam/security-credentials';

describe('the category of a path', () => {
  const table: [string, string, string | null][] = [
    ['/latest/api/token', 'token', null],
    ['/latest/api/token/', 'token', null],
    ['//latest/api/token', 'token', null],
    ['/2021-07-15/api/token', 'token', null],
    ['/latest/api', 'other', null],
    ['/latest/api/tokens', 'other', null],
    ['/latest/api/token/x', 'other', null],
    [`/${ROLE}`, 'role-list', null],
    [`/${ROLE}/`, 'role-list', null],
    [`//${ROLE}//`, 'role-list', null],
    [`/${ROLE}/web-server`, 'credentials', 'web-server'],
    [`/${ROLE}/web-server/`, 'credentials', 'web-server'],
    ['/1.0/meta-data/iam/security-credentials/r', 'credentials', 'r'],
    ['/2009-04-04/meta-data//iam/security-credentials/r', 'credentials', 'r'],
    ['/latest/meta-data/iam/security%2Dcredentials/r', 'credentials', 'r'],
    ['/latest/meta-data/iam/security-credentials/web%2Dserver', 'credentials', 'web-server'],
    ['/%6c%61%74%65%73%74/meta-data/iam/security-credentials/r', 'credentials', 'r'],
    ['/latest/meta-data%2Fiam%2fsecurity-credentials/r', 'credentials', 'r'],
    ['/latest/x/../meta-data/./iam/security-credentials/r', 'credentials', 'r'],
    ['/../latest/meta-data/%2e%2e/meta-data/iam/security-credentials/r', 'credentials', 'r'],
    [
      '/latest/meta-data/identity-credentials/ec2/security-credentials/ec2-instance',
      'credentials',
      'ec2-instance',
    ],
    ['/latest/meta-data/identity-credentials/ec2/security-credentials/', 'role-list', null],
    ['/latest/meta-data/identity-credentials/ec2/info', 'metadata', null],
    ['/latest/meta-data/iam/info', 'metadata', null],
    ['/latest/meta-data/iam/', 'metadata', null],
    ['/latest/meta-data/iam/security-credentialsX/r', 'other', null],
    ['/latest/user-data', 'user-data', null],
    ['/latest/user-data/', 'user-data', null],
    ['/latest/user%2Ddata', 'user-data', null],
    ['/latest/user-data.txt', 'other', null],
    ['/2021-03-23/user-data', 'user-data', null],
    ['/latest/dynamic/instance-identity/document', 'identity-document', null],
    ['/latest/dynamic/instance-identity//document/', 'identity-document', null],
    ['/latest/dynamic/instance-identity/pkcs7', 'identity-document', null],
    ['/latest/dynamic/instance-identity/signature', 'identity-document', null],
    ['/latest/dynamic/instance-identity/', 'metadata', null],
    ['/latest/dynamic/', 'metadata', null],
    ['/latest/dynamic/fws/instance-monitoring', 'metadata', null],
    ['/latest/meta-data/', 'metadata', null],
    ['/latest/meta-data/placement/availability-zone/', 'metadata', null],
    ['/latest/meta-data/x-aws-ec2-metadata-token', 'other', null],
    ['/latest/dynamic/new', 'other', null],
    ['/latest/meta-data/identity-credentials/new/', 'other', null],
    ['/latest', 'metadata', null],
    ['/latest/', 'metadata', null],
    ['/1.0/', 'metadata', null],
    ['/', 'metadata', null],
    ['/2019-10-01/', 'metadata', null],
    ['/computeMetadata/v1/instance/', 'other-cloud', null],
    ['/metadata/instance', 'other-cloud', null],
    ['/opc/v2/instance/', 'other-cloud', null],
    ['/latestX/meta-data/', 'other', null],
    ['/favicon.ico', 'other', null],
    ['*', 'other', null],
    ['', 'other', null],
  ];
  for (const [path, category, role] of table) {
    it(`${path} → ${category}${role === null ? '' : ` of ${role}`}`, () => {
      assert.deepEqual(categoryOf(path), { category, role });
    });
  }
  it('is other without a path', () => {
    assert.deepEqual(categoryOf(null), { category: 'other', role: null });
  });
  it('exists for any text', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => void categoryOf(text)));
  });
  it('is found behind escapes, repeated slashes and dot segments', () => {
    const escaped = (text: string, mask: boolean[]) =>
      [...text]
        .map((c, n) => (mask[n % mask.length] && c !== '/' ? `%${c.charCodeAt(0).toString(16)}` : c))
        .join('');
    fc.assert(
      fc.property(
        fc.array(fc.boolean(), { minLength: 1, maxLength: 20 }),
        fc.constantFrom('/', '//', '/./', '/x/../'),
        (mask, slash) => {
          const path = escaped(`/${ROLE}/web-server`, mask).replaceAll('/', slash);
          assert.deepEqual(categoryOf(path), { category: 'credentials', role: 'web-server' });
        },
      ),
    );
  });
});

describe('a request line in each form', () => {
  const lines: [string, string, string | null][] = [
    [`GET /${ROLE}/r HTTP/1.1`, `/${ROLE}/r`, null],
    [`GET /${ROLE}/r HTTP/1.0`, `/${ROLE}/r`, null],
    [`GET  /${ROLE}/r   HTTP/1.1`, `/${ROLE}/r`, null],
    [`GET http://${IMDS_IPV4}/${ROLE}/r HTTP/1.1`, `/${ROLE}/r`, null],
    [`GET http://somebody:password@${IMDS_IPV4}:80/${ROLE}/r?a=b HTTP/1.1`, `/${ROLE}/r`, 'a=b'],
    [`GET HTTP://${IMDS_IPV4}/${ROLE}/r HTTP/1.1`, `/${ROLE}/r`, null],
    [`GET /${ROLE}/r? HTTP/1.1`, `/${ROLE}/r`, ''],
  ];
  for (const [line, path, query] of lines) {
    it(JSON.stringify(line), () => {
      const text = `${line}\r\nHost: ${IMDS_IPV4}\r\n\r\n`;
      const { all } = play(
        new Script()
          .say({ from: 'client', text })
          .say({ from: 'server', text: answer(200) })
          .fin('client')
          .fin('server').segments,
      );
      assert.equal(all.length, 1);
      const { exchange, verdict } = all[0]!;
      assert.deepEqual([exchange.request.path, exchange.request.query], [path, query]);
      assert.deepEqual([verdict.version, verdict.category, verdict.role], [1, 'credentials', 'r']);
    });
  }
});

describe('the verdict', () => {
  const ask: ExchangeRequest = {
    method: 'GET',
    path: '/latest/meta-data/',
    query: null,
    userAgent: null,
    hasToken: false,
    isWhole: true,
    form: 'plain' as const,
  };
  const of = (change: Partial<ExchangeRequest>, response: { status: number; hasTokenTtl: boolean } | null) =>
    classify({ startUs: 0, responseUs: null, request: { ...ask, ...change }, response, outcome: 'answered' });
  it('has a kind for each method', () => {
    const kinds = { GET: 'read', HEAD: 'read', PUT: 'other', POST: 'other', get: 'other', OPTIONS: 'other' };
    for (const [method, kind] of Object.entries(kinds)) assert.equal(of({ method }, null).kind, kind, method);
    assert.equal(of({ method: 'PUT', path: '/latest/api/token' }, null).kind, 'token');
    assert.equal(of({ method: 'GET', path: '/latest/api/token' }, null).kind, 'read');
    assert.equal(of({ method: null, path: null }, null).kind, 'other');
  });
  it("has the service's verdict by the lifetime header, and none for errors or silence", () => {
    assert.equal(of({}, { status: 200, hasTokenTtl: true }).serverVersion, 2);
    assert.equal(of({}, { status: 200, hasTokenTtl: false }).serverVersion, 1);
    assert.equal(of({}, { status: 304, hasTokenTtl: false }).serverVersion, 1);
    assert.equal(of({}, { status: 401, hasTokenTtl: false }).serverVersion, null);
    assert.equal(of({}, { status: 404, hasTokenTtl: true }).serverVersion, null);
    assert.equal(of({}, null).serverVersion, null);
  });
  it('follows a whole request, and for a torn one the verdict of the service', () => {
    const v2 = { status: 200, hasTokenTtl: true };
    assert.equal(of({}, v2).version, 1);
    assert.equal(of({ isWhole: false, form: 'odd' as const }, v2).version, 2);
    assert.equal(
      of({ isWhole: false, form: 'odd' as const, hasToken: true }, { status: 200, hasTokenTtl: false })
        .version,
      2,
    );
    assert.equal(of({ isWhole: false, form: 'odd' as const }, null).version, 1);
  });
});

describe('whole exchanges', () => {
  it('of a request without a version (HTTP/0.9) are IMDSv1', () => {
    const { all } = play(
      new Script()
        .say({ from: 'client', text: `GET /${ROLE}/r\r\n` })
        .say({ from: 'server', text: answer(200) })
        .fin('client')
        .fin('server').segments,
    );
    assert.deepEqual(
      all.map(({ verdict }) => [verdict.version, verdict.category]),
      [[1, 'credentials']],
    );
  });
  it('are found for two requests, the second after empty lines', () => {
    const text = `${request('GET /latest/user-data')}\r\n\r\n${request('GET /latest/meta-data/')}`;
    const { all } = play(
      new Script()
        .say({ from: 'client', text })
        .say({ from: 'server', text: answer(200) + answer(200) })
        .fin('client')
        .fin('server').segments,
    );
    assert.deepEqual(
      all.map(({ verdict }) => verdict.category),
      ['user-data', 'metadata'],
    );
  });
});
