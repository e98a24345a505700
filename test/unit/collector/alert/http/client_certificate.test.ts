/** A destination that demands a client certificate, by a real TLS server. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { after, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { trustedCertificate } from '../../../../support/collector/alert/certificate.ts';
import { sendTo } from '../../../../support/collector/alert/channel_bench.ts';

const server = trustedCertificate();
const client = trustedCertificate('imdswatch');
const stranger = trustedCertificate('stranger');

const seen: string[] = [];
const receiver = createServer(
  { ...server, ca: [client.cert], requestCert: true, rejectUnauthorized: true },
  (request, response) => {
    seen.push((request.socket as TLSSocket).getPeerCertificate().fingerprint256);
    request.resume();
    response.writeHead(204).end();
  },
);
receiver.listen(0, '127.0.0.1');
await once(receiver, 'listening');
after(() => {
  receiver.closeAllConnections();
  receiver.close();
});

const url = `https://localhost:${(receiver.address() as AddressInfo).port}/hook`;
const send = (certificate?: { cert: string; key: string }) =>
  sendTo({
    kind: 'http',
    preset: 'webhook',
    values: { url },
    ...(certificate === undefined ? {} : { request: { certificate } }),
  });

test('the right certificate is shown, and the alert arrives', async () => {
  assert.deepEqual(await send(client), { ok: true });
  assert.equal(seen.length, 1);
  assert.match(seen[0]!, /^[0-9A-F]{2}(:[0-9A-F]{2}){31}$/);
});

for (const [what, certificate] of [
  ['no certificate', undefined],
  ['a certificate of another authority', stranger],
] as const) {
  test(`${what}: nothing arrives, and the error names the cause`, async () => {
    const before = seen.length;
    const result = await send(certificate);
    assert.equal(result.ok, false);
    if (result.ok) return;
    // A server that only closes the connection may also have another reason, so that it is tried again.
    assert.ok(result.next === 'blocked' || certificate !== undefined, result.error);
    assert.match(result.error, /certificate/i);
    assert.doesNotMatch(result.error, /PRIVATE KEY|hook/);
    assert.equal(seen.length, before);
  });
}
