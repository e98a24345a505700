/** Tests how the address of a database is read: hosts, TLS and secrets. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { parseDatabaseUrl } from '../../../../../collector/store/postgres/database_url.ts';

const directory = mkdtempSync(join(tmpdir(), 'imdswatch-url-'));
after(() => rmSync(directory, { recursive: true }));

test('several hosts, with and without ports, keep their order', () => {
  const { hosts, user, database } = parseDatabaseUrl(
    'postgres://imds%40watch@db1,db2:6432,[2001:db8::1]:7/fleet',
  );
  assert.deepEqual(hosts, [
    { host: 'db1', port: 5432 },
    { host: 'db2', port: 6432 },
    { host: '2001:db8::1', port: 7 },
  ]);
  assert.deepEqual([user, database], ['imds@watch', 'fleet']);
});

test('a Unix socket is a host', () => {
  const { hosts, tls } = parseDatabaseUrl('postgresql://u@/d?host=%2Frun%2Fpostgresql');
  assert.deepEqual(hosts, [{ host: '/run/postgresql', port: 5432 }]);
  assert.equal(tls('/run/postgresql'), false);
});

test('the password file is read at every connection', () => {
  const file = join(directory, 'password');
  writeFileSync(file, 'first\n');
  const { password } = parseDatabaseUrl(`postgres://u@h/d?password_file=${file}`);
  assert.equal(password(), 'first');
  writeFileSync(file, 'second');
  assert.equal(password(), 'second');
});

test('TLS with verification is the default for other machines, and never for this one', () => {
  const { tls } = parseDatabaseUrl('postgres://u@h/d');
  assert.deepEqual(tls('db1.example.com'), { rejectUnauthorized: true, servername: 'db1.example.com' });
  assert.deepEqual(tls('10.0.0.5'), { rejectUnauthorized: true, host: '10.0.0.5' });
  for (const host of ['localhost', '127.0.0.1', '::1', '/run/postgresql'])
    assert.equal(tls(host), false, host);
});

test('certificates are read from their files', () => {
  const [root, certificate, key] = ['root', 'certificate', 'key'].map((name) => {
    const file = join(directory, name);
    writeFileSync(file, name);
    return file;
  });
  const url = `postgres://u@h/d?sslmode=verify-full&sslrootcert=${root}&sslcert=${certificate}&sslkey=${key}`;
  const expected = { rejectUnauthorized: true, servername: 'h', ca: 'root', cert: 'certificate', key: 'key' };
  assert.deepEqual(parseDatabaseUrl(url).tls('h'), expected);
});

for (const [url, message] of [
  ['postgres://h/d', /names no user/],
  ['postgres://u@h', /names no database/],
  ['postgres://u@/d', /names no host/],
  ['postgres://u@h:0/d', /host "h:0"/],
  ['postgres://u@h:99999/d', /host "h:99999"/],
  ['postgres://u:p#@h/d', /is not postgres:/],
  ['postgres://u:p%@h/d', /% without/],
  ['postgres://u@h/d?sslmode=prefer', /sslmode prefer .* falls back to plain text silently/],
  ['postgres://u@h/d?sslmode=verify_full', /sslmode verify_full is not one of/],
  ['postgres://u@h/d?sslcert=/c', /belong together/],
  ['postgres://u@h/d?options=-c', /parameter options/],
  ['postgres://u:secret@h/d?password_file=/f', /a password and a password_file/],
] as const) {
  test(`${url} is refused, and no password is shown`, () => {
    assert.throws(
      () => parseDatabaseUrl(url),
      (error: Error) => message.test(error.message) && !error.message.includes('secret'),
    );
  });
}
