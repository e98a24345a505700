/**
 * TLS on real sockets: the host of a certificate, renewal while clients are connected, and errors with their
 * remedy.
 */
import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import { selfSigned } from '../../../../collector/access/self_signed.ts';
import { ServerTls, type TlsSettings } from '../../../../collector/access/tls.ts';
import { AccessBench, ADMIN, DAY_MS } from '../../../support/collector/access/access_bench.ts';
import { Authority, NO_OPENSSL, type Pair } from '../../../support/collector/access/certificates.ts';
import {
  ask,
  directory,
  endings,
  lines,
  log,
  refusal,
  serve,
  settings,
  tlsOf,
} from '../../../support/collector/access/tls_bench.ts';

describe("an operator's certificates", { skip: NO_OPENSSL }, () => {
  let authority: Authority;
  let server: Pair;
  let tlsSettings: Partial<TlsSettings>;
  before(() => {
    authority = new Authority(directory);
    server = authority.issue('server', {
      subject: '/CN=x',
      alternatives: 'DNS:localhost',
      usage: 'serverAuth',
    });
    tlsSettings = {
      tls_cert_file: server.certFile,
      tls_key_file: server.keyFile,
      tls_client_ca_file: authority.certFile,
    };
  });
  const client = ({ certFile, keyFile }: Pair) => ({
    cert: readFileSync(certFile),
    key: readFileSync(keyFile),
  });

  it('authenticate an agent for the host that they name, and for no other', async () => {
    const b = await AccessBench.open();
    endings.push(() => b.close());
    const port = await serve(await tlsOf(tlsSettings), (incoming) => b.access.identifyAgent(incoming));
    const ca = readFileSync(authority.certFile);
    const usage = 'clientAuth';
    const issue = (file: string, subject: string, alternatives?: string) =>
      client(authority.issue(file, { subject, usage, ...(alternatives && { alternatives }) }));
    const identity = (hostId: string) => ({ hostId, via: 'certificate' });
    assert.deepEqual(await ask(port, { ca, ...issue('c1', '/CN=i-0abc') }), identity('i-0abc'));
    assert.deepEqual(
      await ask(port, { ca, ...issue('c2', '/O=x/CN=i-0abc', 'DNS:other') }),
      identity('i-0abc'),
    );
    assert.deepEqual(
      await ask(port, { ca, ...issue('c3', '/O=x', 'DNS:i-0def,URI:spiffe://a/b') }),
      identity('i-0def'),
    );
    assert.deepEqual(
      await ask(port, { ca, ...issue('c4', '/O=x', 'URI:spiffe://a/b') }),
      identity('spiffe://a/b'),
    );
    // A certificate that could mean two hosts proves none.
    for (const [file, subject, alternatives] of [
      ['c5', '/CN=i-1/CN=i-2', undefined],
      ['c6', '/O=x', 'DNS:i-1,DNS:i-2'],
      ['c7', '/O=x', 'email:a@b.example'],
      ['c8', '/O=x\nCN=i-1', undefined],
    ] as const) {
      assert.equal(await ask(port, { ca, ...issue(file, subject, alternatives) }), null, file);
    }
    assert.equal(b.access.counters()['certificates_refused'], 4);
    assert.equal(await b.access.hasCredential('i-0abc'), true, 'nobody takes its name by an enrolment token');
    assert.equal(await b.access.enrol('i-0abc'), null);
    assert.equal(await b.access.releaseCertifiedHost('i-0abc', ADMIN), true);
    assert.equal(await b.access.releaseCertifiedHost('i-0abc', ADMIN), false);
    assert.notEqual(await b.access.enrol('i-0abc'), null);
    assert.equal(await ask(port, { ca }), null, 'people have no certificate, and are served all the same');
  });

  it('prove nothing if they are of another CA, expired, or for servers; a token still works', async () => {
    const b = await AccessBench.open();
    endings.push(() => b.close());
    const port = await serve(await tlsOf(tlsSettings), (incoming) => b.access.identifyAgent(incoming));
    const ca = readFileSync(authority.certFile);
    const foreign = new Authority(directory, 'foreign');
    const usage = 'clientAuth';
    const subject = '/CN=i-0abc';
    const worthless = [
      foreign.issue('f1', { subject, usage }),
      authority.issue('f2', { subject, usage, days: -1 }),
      authority.issue('f3', { subject, usage: 'serverAuth' }),
      await selfSigned(directory, '127.0.0.1'),
    ];
    for (const pair of worthless) assert.equal(await ask(port, { ca, ...client(pair) }), null);
    assert.equal(b.access.counters()['certificates_refused'], 4);
    const credential = (await b.access.enrol('i-0abc'))!;
    const headers = { authorization: `Bearer ${credential}` };
    const identity = { hostId: 'i-0abc', via: 'credential' };
    assert.deepEqual(await ask(port, { ca, ...client(worthless[0]!), headers }), identity);
  });

  it('prove nothing on a resumed session after they have expired', async () => {
    const b = await AccessBench.open();
    endings.push(() => b.close());
    b.nowMs = Date.now();
    const port = await serve(await tlsOf(tlsSettings), (incoming) => b.access.identifyAgent(incoming));
    const pair = client(authority.issue('r1', { subject: '/CN=i-0abc', usage: 'clientAuth' }));
    const ca = readFileSync(authority.certFile);
    let session: Buffer | undefined;
    const exchange = () =>
      new Promise<{ reused: boolean; answer: string }>((resolve, reject) => {
        const socket: TLSSocket = connect(
          { host: '127.0.0.1', port, servername: 'localhost', ca, ...pair, ...(session && { session }) },
          () => socket.write('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'),
        );
        let text = '';
        socket.on('session', (ticket) => {
          session = ticket;
        });
        socket.on('data', (data) => {
          text += data;
        });
        socket.on('end', () =>
          resolve({ reused: socket.isSessionReused(), answer: text.split('\r\n\r\n')[1]! }),
        );
        socket.on('error', reject);
      });
    assert.match((await exchange()).answer, /i-0abc/);
    const resumed = await exchange();
    assert.equal(resumed.reused, true);
    assert.match(resumed.answer, /i-0abc/, 'a resumed session knows its certificate');
    b.nowMs += 31 * DAY_MS;
    const late = await exchange();
    assert.equal(late.reused, true);
    assert.match(late.answer, /null/);
  });

  it('are replaced while the server runs after a renewal, but not by broken ones', async () => {
    const certFile = join(directory, 'renewed.crt');
    const keyFile = join(directory, 'renewed.key');
    const put = (pair: Pair) => {
      copyFileSync(pair.certFile, certFile);
      copyFileSync(pair.keyFile, keyFile);
    };
    put(server);
    const tls = await tlsOf({ tls_cert_file: certFile, tls_key_file: keyFile });
    const port = await serve(tls, ({ socket }) => (socket as TLSSocket).getCertificate() !== null);
    const served = () =>
      new Promise<string>((resolve, reject) => {
        const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false }, () => {
          resolve(socket.getPeerCertificate().fingerprint256);
          socket.destroy();
        }).on('error', reject);
      });
    const first = await served();
    tls.reloadIfChanged();
    assert.deepEqual(tls.counters(), { reloads: 0, reload_failures: 0 });
    const next = authority.issue('next', {
      subject: '/CN=y',
      alternatives: 'DNS:localhost',
      usage: 'serverAuth',
    });
    copyFileSync(next.certFile, certFile); // The key is still the old one.
    tls.reloadIfChanged();
    assert.equal(await served(), first);
    assert.deepEqual(tls.counters(), { reloads: 0, reload_failures: 1 });
    put(next);
    tls.reloadIfChanged();
    const second = await served();
    assert.notEqual(second, first);
    assert.equal(second, tls.fingerprint);
    put(server);
    process.emit('SIGHUP');
    assert.equal(await served(), first);
    rmSync(certFile);
    tls.reloadIfChanged();
    assert.equal(await served(), first);
    assert.deepEqual(tls.counters(), { reloads: 2, reload_failures: 2 });
    assert.ok(lines.some((line) => line.includes('the old one stays in use')));
  });

  it('are served with TLS 1.2 and later', async () => {
    const port = await serve(await tlsOf(tlsSettings), () => 'hello');
    const ca = readFileSync(authority.certFile);
    assert.equal(await ask(port, { ca, maxVersion: 'TLSv1.2' }), 'hello');
    await assert.rejects(
      ask(port, { ca, minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT:@SECLEVEL=0' }),
      /version|alert/,
    );
  });

  it('are named with the remedy if they cannot be used', async () => {
    const { certFile, keyFile } = server;
    const other = authority.issue('other', { subject: '/CN=z', usage: 'serverAuth' });
    const garbage = join(directory, 'garbage');
    writeFileSync(garbage, 'not a certificate');
    const missing = join(directory, 'missing');
    const pair = { tls_cert_file: certFile, tls_key_file: keyFile };
    for (const [changes, words] of [
      [{ ...pair, tls_cert_file: missing }, /tls_cert_file .*missing cannot be read.*Set the path/],
      [{ ...pair, tls_key_file: missing }, /tls_key_file .*missing cannot be read/],
      [{ ...pair, tls_cert_file: garbage }, /tls_cert_file .*garbage has no certificate/],
      [{ ...pair, tls_key_file: garbage }, /tls_key_file .*garbage has no private key/],
      [{ ...pair, tls_key_file: other.keyFile }, /is not the key of .*Set a certificate and a key/],
      [{ ...pair, tls_client_ca_file: garbage }, /tls_client_ca_file .*garbage has no certificate/],
    ] as const) {
      const error = await refusal(changes);
      assert.equal(error.exitCode, 2);
      assert.match(error.message, words);
    }
    assert.match((await refusal(pair, () => Date.now() + 31 * DAY_MS)).message, /expired on .*Renew it/);
    await tlsOf(pair, () => Date.now() + 20 * DAY_MS);
    assert.ok(lines.some((line) => line.includes('the certificate expires soon')));
  });
});

it('there is no TLS without settings for it', async () => {
  assert.equal(await ServerTls.fromSettings(settings({}), log), null);
});
