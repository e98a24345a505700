/** The parts of signing in by OpenID Connect that are values only: the seal, claims, return paths, settings. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { groupsOf, nameOf } from '../../../../../collector/access/oidc/claims.ts';
import { returnPath } from '../../../../../collector/access/oidc/return_path.ts';
import { Seal } from '../../../../../collector/access/oidc/seal.ts';
import { collectorSettings } from '../../../../../collector/config.ts';
import { oidcOptions } from '../../../../../collector/oidc_settings.ts';
import type { OperatorError } from '../../../../../common/operator_error.ts';

describe('the seal', () => {
  const source = { issuer: 'https://i.example', clientId: 'c', clientSecret: 'secret-of-a-client' };
  it('is opened by every collector with the same client, and by nobody else', () => {
    const sealed = new Seal(source, 'flow').seal('a text with ü');
    assert.match(sealed, /^[\w-]+$/);
    assert.equal(new Seal({ ...source }, 'flow').open(sealed), 'a text with ü');
    for (const other of [
      { issuer: 'https://j.example' },
      { clientId: 'd' },
      { clientSecret: 'another-secret-00' },
    ]) {
      assert.equal(new Seal({ ...source, ...other }, 'flow').open(sealed), null);
    }
    assert.equal(new Seal(source, 'id token').open(sealed), null, 'for another purpose');
  });
  it('does not open a text of which one character was changed, cut or added', () => {
    const seal = new Seal(source, 'flow');
    const sealed = seal.seal('{}');
    for (let at = 0; at < sealed.length; at += 1) {
      const other = sealed[at] === 'A' ? 'B' : 'A';
      assert.equal(seal.open(sealed.slice(0, at) + other + sealed.slice(at + 1)), null, `character ${at}`);
    }
    for (const text of [
      '',
      'x',
      sealed.slice(1),
      sealed.slice(0, -1),
      `${sealed}A`,
      `${sealed}=`,
      ` ${sealed}`,
    ]) {
      assert.equal(seal.open(text), null, text);
    }
    assert.notEqual(seal.seal('{}'), sealed, 'each has a nonce of its own');
  });
});

describe('the groups of a person', () => {
  it('are texts in a claim, which can be inside of another', () => {
    assert.deepEqual(groupsOf({ groups: ['a', '', 7, null, 'b'] }, 'groups'), { groups: ['a', 'b'] });
    assert.deepEqual(groupsOf({ groups: 'one' }, 'groups'), { groups: ['one'] });
    assert.deepEqual(groupsOf({ groups: [] }, 'groups'), { groups: [] });
    assert.deepEqual(groupsOf({ realm_access: { roles: ['x'] } }, 'realm_access.roles'), { groups: ['x'] });
    assert.deepEqual(groupsOf({ 'https://a.b/groups': ['x'] }, 'https://a.b/groups'), { groups: ['x'] });
    assert.equal(groupsOf({}, 'groups'), 'missing');
    assert.equal(groupsOf({ groups: null }, 'groups'), 'missing');
    assert.equal(groupsOf({}, 'constructor.name'), 'missing');
  });
  it('were left out where Entra ID says so', () => {
    assert.equal(groupsOf({ _claim_names: { groups: 'src1' } }, 'groups'), 'omitted');
    assert.equal(groupsOf({ hasgroups: true }, 'groups'), 'omitted');
    assert.equal(groupsOf({ hasgroups: 'true' }, 'groups'), 'omitted');
    assert.equal(groupsOf({ hasgroups: false }, 'groups'), 'missing');
    assert.deepEqual(groupsOf({ hasgroups: true, roles: ['x'] }, 'roles'), { groups: ['x'] });
    assert.equal(groupsOf({ _claim_names: { groups: 'src1' } }, 'roles'), 'missing');
  });
  it('are the address of the person only if it is verified', () => {
    assert.deepEqual(groupsOf({ email: 'a@b.c', email_verified: true }, 'email'), { groups: ['a@b.c'] });
    assert.deepEqual(groupsOf({ email: 'a@b.c' }, 'email'), { groups: [] });
    assert.deepEqual(groupsOf({ email: 'a@b.c', email_verified: 'true' }, 'email'), { groups: [] });
  });
});

it('the name of a person is never one that the audit log has for others', () => {
  assert.equal(nameOf({ sub: 's', preferred_username: 'ada', email: 'x@y' }), 'ada');
  assert.equal(nameOf({ sub: 's', email: 'x@y' }), 'x@y');
  for (const bad of [
    'command:root',
    'collector',
    'sign-in link of ada',
    'subject "t"',
    '',
    ' ada',
    'a\nb',
    'a\u202eb',
    7,
  ]) {
    assert.equal(nameOf({ sub: 's', preferred_username: bad }), 'subject "s"', String(bad));
  }
});

it('a return path is one of our own page', () => {
  for (const path of ['/', '/hosts', '/hosts/i-1?window_days=7&x=%2F', '/offenders/a%20b']) {
    assert.equal(returnPath(path), path);
  }
  const bad = [
    ...[
      undefined,
      null,
      '',
      'hosts',
      'https://evil.example',
      '//evil.example',
      '/\\evil.example',
      '\\/evil.example',
    ],
    ...[
      '/.//evil.example',
      '/x/..//evil.example',
      '/\t/evil.example',
      '/\n/evil.example',
      'javascript:alert(1)',
    ],
    ...[
      '/api/v1/session',
      '/sign-in',
      '/sign-in/oidc',
      '/x/../api',
      `/${'x'.repeat(1001)}`,
      `/${'ü'.repeat(900)}`,
    ],
  ];
  for (const path of bad) assert.equal(returnPath(path), '/', String(path));
});

describe('the settings', () => {
  const directory = mkdtempSync(join(tmpdir(), 'imdswatch-oidc-'));
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
  const secret = join(directory, 'secret');
  writeFileSync(secret, 'a-secret-of-the-client\n');
  const good = {
    public_url: 'https://imdswatch.example.com/',
    oidc_issuer: 'https://login.example.com',
    oidc_client_id: 'c',
    oidc_client_secret_file: secret,
    oidc_admin_groups: ['admins'],
  };
  const read = (changes: object) => oidcOptions(collectorSettings.parse({ ...good, ...changes }));

  it('give options, or nothing where nothing is set', () => {
    const options = read({});
    assert.deepEqual(
      [options?.publicUrl, options?.clientSecret, options?.secure, options?.scopes.join(' ')],
      ['https://imdswatch.example.com', 'a-secret-of-the-client', true, 'openid profile email'],
    );
    assert.equal(read({ public_url: 'http://127.0.0.1:8787' })?.secure, false);
    assert.equal(oidcOptions(collectorSettings.parse({})), null);
  });
  it('refuse the start with the setting that is missing or wrong', () => {
    const empty = join(directory, 'empty');
    writeFileSync(empty, 'short\n');
    const cases: [object, RegExp][] = [
      [{ oidc_issuer: undefined }, /^oidc_client_id needs oidc_issuer/],
      [{ oidc_client_id: undefined }, /needs oidc_client_id and oidc_client_secret_file/],
      [{ oidc_client_secret_file: undefined }, /needs oidc_client_id and oidc_client_secret_file/],
      [{ oidc_client_secret_file: join(directory, 'none') }, /cannot be read/],
      [{ oidc_client_secret_file: empty }, /at least 16 characters/],
      [{ oidc_admin_groups: [] }, /nobody could get in: set one of oidc_admin_groups/],
      [{ oidc_scopes: ['profile'] }, /needs "openid"/],
      [{ public_url: undefined }, /needs public_url/],
      [{ public_url: 'http://imdswatch.example.com' }, /public_url is http:.* needs https/],
      [{ public_url: 'https://imdswatch.example.com/path' }, /without a path/],
      [{ oidc_issuer: 'http://login.example.com' }, /oidc_issuer is http:.* needs https/],
    ];
    for (const [changes, says] of cases) {
      assert.throws(
        () => read(changes),
        (error: OperatorError) => error.exitCode === 2 && says.test(error.message),
        JSON.stringify(changes),
      );
    }
  });
});
