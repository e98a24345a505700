import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  lstatSync,
  mkdtempSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { selfSigned, selfSignedFiles } from '../../../../collector/access/self_signed.ts';
import { DAY_MS } from '../../../support/collector/access/access_bench.ts';
import { NO_OPENSSL } from '../../../support/collector/access/certificates.ts';
import { ask, directory, lines, serve, tlsOf } from '../../../support/collector/access/tls_bench.ts';

describe('a self-signed certificate', () => {
  it('is made once for this machine, can be trusted by its file, and its key is private', async () => {
    const tls = await tlsOf({ tls_self_signed: true });
    const { certFile, keyFile } = selfSignedFiles(directory);
    assert.equal(statSync(keyFile).mode & 0o777, 0o600);
    const ca = readFileSync(certFile);
    const port = await serve(tls, () => 'hello');
    for (const servername of ['localhost', '']) assert.equal(await ask(port, { ca, servername }), 'hello');
    await assert.rejects(ask(port, {}), /self-signed/);
    await assert.rejects(ask(port, { ca, servername: 'other.example' }), /altnames/);
    assert.ok(lines.some((line) => line.includes(tls.fingerprint)));
    assert.ok(!lines.join().includes('PRIVATE'));
    assert.equal((await tlsOf({ tls_self_signed: true })).fingerprint, tls.fingerprint);
  });
  it('is made again before it expires, for another address, and if a file is broken', async () => {
    const own = mkdtempSync(join(directory, 'own-'));
    const { certFile, keyFile } = selfSignedFiles(own);
    const made = async () => {
      await selfSigned(own, '127.0.0.1');
      return readFileSync(certFile, 'utf8');
    };
    const first = await made();
    assert.equal(await made(), first);
    await selfSigned(own, '127.0.0.1', Date.now() + 360 * DAY_MS);
    assert.equal(readFileSync(certFile, 'utf8'), first);
    await selfSigned(own, '127.0.0.1', Date.now() + 367 * DAY_MS);
    const second = readFileSync(certFile, 'utf8');
    assert.notEqual(second, first);
    await selfSigned(own, '192.0.2.5');
    const third = readFileSync(certFile, 'utf8');
    assert.notEqual(third, second);
    writeFileSync(keyFile, '');
    const fourth = await made();
    assert.notEqual(fourth, third);
    chmodSync(keyFile, 0o666);
    assert.notEqual(await made(), fourth, 'what others may have written is not used');
    assert.equal(statSync(keyFile).mode & 0o777, 0o600);
  });
  it('replaces a symbolic link in its place without following it', async () => {
    const own = mkdtempSync(join(directory, 'link-'));
    const { certFile, keyFile } = selfSignedFiles(own);
    const victim = join(own, 'victim');
    writeFileSync(victim, 'untouched');
    symlinkSync(victim, keyFile);
    symlinkSync(victim, certFile);
    await selfSigned(own, '127.0.0.1');
    assert.equal(readFileSync(victim, 'utf8'), 'untouched');
    assert.ok(lstatSync(keyFile).isFile() && lstatSync(certFile).isFile());
  });
});

it('a self-signed certificate passes the strict check of OpenSSL', { skip: NO_OPENSSL }, async () => {
  const { certFile } = await selfSigned(directory, '127.0.0.1');
  const said = execFileSync('openssl', ['verify', '-x509_strict', '-CAfile', certFile, certFile], {
    encoding: 'utf8',
  });
  assert.match(said, /OK/);
});
