/** Agents over TLS: whom they trust, what they show, and what they tell their operator when it fails. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import { type TlsFiles, tlsOptions } from '../../../agent/outbox/collector_tls.ts';
import { selfSigned } from '../../../collector/access/self_signed.ts';
import type { OperatorError } from '../../../common/operator_error.ts';
import { HOST, makeCall } from '../../support/collector/calls.ts';
import { acknowledged, Bench } from '../../support/collector/in_process.ts';
import type { TestIngestOptions, TestIngestServer } from '../../support/collector/ingest_server.ts';
import { eventually } from '../../support/collector/stored.ts';

const bench = new Bench();
afterEach(() => bench.end());

const NO_FILES: TlsFiles = { caFile: null, certFile: null, keyFile: null };
const YEAR_MS = 365 * 86_400_000;

async function tlsServer(
  nowMs = Date.now(),
  options: TestIngestOptions['tls'] = {},
  address = '127.0.0.1',
): Promise<{ server: TestIngestServer; caFile: string; keyFile: string }> {
  const { certFile, keyFile } = await selfSigned(bench.directory(), 'localhost', nowMs);
  const tls = { cert: readFileSync(certFile), key: readFileSync(keyFile), ...options };
  return { server: await bench.ingestServer({ tls, address }), caFile: certFile, keyFile };
}

async function refusalAt(url: string, tls: TlsFiles): Promise<string> {
  const outbox = bench.outbox(url, { tls });
  await eventually('refused', () => outbox.counters()['uplink']!['refused']! > 0);
  assert.equal(outbox.counters()['uplink']!['connections'], 0);
  const told = bench.logged.filter(({ level }) => level === 50);
  assert.equal(told.length, 1);
  return told[0]!.msg;
}

test('a collector whose certificate is signed by collector_ca_file', async () => {
  const { server, caFile } = await tlsServer();
  const outbox = bench.outbox(server.url, { tls: { ...NO_FILES, caFile } });
  outbox.call(makeCall({ 'url.path': '/1' }));
  await eventually('delivered', () => acknowledged(outbox) === 1);
});

/** One that vouches for itself. */
function clientCertificate(hostId: string): { certFile: string; keyFile: string } {
  const directory = bench.directory();
  const [certFile, keyFile] = [join(directory, 'client.crt'), join(directory, 'client.key')];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', keyFile];
  execFileSync(
    'openssl',
    ['req', '-x509', ...key, '-out', certFile, '-days', '2', '-subj', `/CN=${hostId}`],
    { stdio: 'pipe' },
  );
  return { certFile, keyFile };
}

test('a client certificate replaces a token, and is valid for its host only', async () => {
  const own = clientCertificate(HOST.id);
  const others = clientCertificate('i-0fedcba9876543210');
  const { server, caFile } = await tlsServer(Date.now(), {
    requestCert: true,
    rejectUnauthorized: false,
    ca: [own, others].map(({ certFile }) => readFileSync(certFile)),
  });
  const outbox = bench.outbox(server.url, { token: null, tls: { caFile, ...own } });
  outbox.call(makeCall({ 'url.path': '/1' }));
  await eventually('delivered', () => acknowledged(outbox) === 1);
  assert.match(await refusalAt(server.url, { caFile, ...others }), /bound to the host i-0fedcba9876543210/);
  assert.equal(server.ingest.counters()['foreign_hosts'], 1);
});

test('an unknown authority is refused, also where NODE_TLS_REJECT_UNAUTHORIZED is 0', async () => {
  const { server } = await tlsServer();
  const before = process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
  process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
  try {
    assert.match(
      await refusalAt(server.url, NO_FILES),
      /authority that this agent does not know.*collector_ca_file/,
    );
  } finally {
    if (before === undefined) delete process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
    else process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = before;
  }
  assert.equal(server.ingest.counters()['accepted'], 0);
});

test('a certificate for another name', async () => {
  const { server, caFile } = await tlsServer(Date.now(), {}, '127.0.0.2');
  const url = `wss://127.0.0.2:${server.port}`;
  assert.match(await refusalAt(url, { ...NO_FILES, caFile }), /is for another name.*collector_url/);
});

test('a certificate that has expired', async () => {
  const { server, caFile } = await tlsServer(Date.now() - 3 * YEAR_MS);
  assert.match(await refusalAt(server.url, { ...NO_FILES, caFile }), /has expired.*Renew it/);
});

test('TLS with a collector that has none, and the other way round', async () => {
  const plain = await bench.ingestServer();
  assert.match(await refusalAt(plain.url.replace('ws:', 'wss:'), NO_FILES), /does not speak TLS.*ws:\/\//);
  bench.logged.length = 0;
  const { server } = await tlsServer();
  const outbox = bench.outbox(server.url.replace('wss:', 'ws:'));
  await eventually('no connection', () => outbox.counters()['uplink']!['connection_failures']! > 0);
  assert.equal(outbox.counters()['uplink']!['connections'], 0);
});

test('unusable TLS files are reported before anything starts', async () => {
  const directory = bench.directory();
  const { certFile, keyFile } = await selfSigned(directory, 'localhost');
  const other = await selfSigned(bench.directory(), 'localhost');
  const junk = join(directory, 'junk.pem');
  writeFileSync(junk, 'no certificate');
  const cases: [Partial<TlsFiles>, RegExp][] = [
    [{ caFile: join(directory, 'absent.pem') }, /collector_ca_file .*absent.pem cannot be read/],
    [{ caFile: junk }, /collector_ca_file .*junk.pem holds no PEM block "CERTIFICATE"/],
    [{ certFile }, /tls_cert_file is set without tls_key_file/],
    [{ keyFile }, /tls_key_file is set without tls_cert_file/],
    [{ certFile, keyFile: other.keyFile }, /is not the key of the certificate/],
    [{ certFile, keyFile: certFile }, /holds no PEM block "PRIVATE KEY"/],
  ];
  for (const [files, message] of cases) {
    assert.throws(
      () => tlsOptions({ ...NO_FILES, ...files }),
      (error: OperatorError) => error.exitCode === 2 && message.test(error.message),
    );
  }
  assert.equal(tlsOptions({ caFile: certFile, certFile, keyFile }).rejectUnauthorized, true);
});
