/** Tests the reader of the catalogue with a stand-in that keeps to the documentation, and with one that does not. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import {
  READ_LIMITS,
  type ReadLimits,
  readCatalogue,
} from '../../../../collector/backstage/catalogue_reader.ts';
import { Authority, NO_OPENSSL } from '../../../support/collector/access/certificates.ts';
import {
  type Behaviour,
  CatalogueServer,
  TOKEN,
} from '../../../support/collector/backstage/catalogue_server.ts';

let server: CatalogueServer;
before(async () => {
  server = await CatalogueServer.start();
});
after(() => server.close());
beforeEach(() => {
  server.entities = Array.from({ length: 7 }, (_, number) => ({
    kind: ['Component', 'System', 'Resource'][number % 3],
    metadata: { name: `e${number}` },
  }));
  server.behaviour = 'good';
  server.asked = 0;
});

const never = new AbortController().signal;
const read = (limits: Partial<ReadLimits> = {}, { token = TOKEN, url = server.url, signal = never } = {}) =>
  readCatalogue({ url, token, ca: null, signal, limits: { ...READ_LIMITS, ...limits } });

test('all pages are read, of components, systems and resources', async () => {
  server.entities.push({ kind: 'API', metadata: { name: 'api' } });
  const { entities, leftOut } = await read({ pageSize: 3 });
  assert.deepEqual([entities, leftOut, server.asked], [server.entities.slice(0, 7), 0, 3]);
  assert.equal((await read({}, { url: `${server.url}/` })).entities.length, 7);
});

test('entities beyond the limit are left out and counted', async () => {
  const counted = await read({ pageSize: 2, maxEntities: 3 });
  assert.deepEqual([counted.entities.length, counted.leftOut], [3, 4]);
  const justEnough = await read({ pageSize: 2, maxEntities: 7 });
  assert.deepEqual([justEnough.entities.length, justEnough.leftOut], [7, 0]);
});

test('an answer that the documentation does not describe is an error that says what to do, without a secret', async () => {
  const cases: [Behaviour, RegExp, Partial<ReadLimits>?][] = [
    ['error', /answered with status 500$/],
    ['page', /a page \(text\/html\) instead of JSON\. Set backstage_url to the address of the backend/],
    ['redirect', /status 302: redirects are not followed, set backstage_url to the final address$/],
    ['silent', /gave no whole answer within 0\.1 s$/, { pageMs: 100 }],
    ['silent', /the catalogue takes too long/, { totalMs: 100 }],
    ['endless', /sent more than 1000000 bytes/, { maxPageBytes: 1_000_000 }],
    ['endless', /sent more than 2000000 bytes/, { maxBytes: 2_000_000 }],
    ['circle', /pages that do not end$/],
    ['broken', /JSON that is no page of entities/],
  ];
  for (const [behaviour, message, limits] of cases) {
    server.behaviour = behaviour;
    await assert.rejects(read(limits), (error: Error) => {
      assert.match(error.message, message, behaviour);
      assert.ok(!error.message.includes(TOKEN));
      return true;
    });
  }
  assert.equal(server.followed, 0);
});

test('all answers together have a limit of bytes', async () => {
  const bytes = Buffer.byteLength(JSON.stringify({ items: server.entities.slice(0, 3) }));
  await assert.rejects(read({ pageSize: 3, maxBytes: bytes + 300 }), /sent more than \d+ bytes/);
});

test('a wrong token, a wrong address and an end are errors', async () => {
  await assert.rejects(read({}, { token: 'wrong' }), /status 401: it does not accept the token/);
  await assert.rejects(read({}, { url: `${server.url}/app` }), /status 404: backstage_url is not/);
  await assert.rejects(read({}, { url: 'http://127.0.0.1:1' }), /ECONNREFUSED/);
  await assert.rejects(read({}, { signal: AbortSignal.abort() }), /this collector ends/);
});

test('the certificate of the catalogue is verified', { skip: NO_OPENSSL }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'imdswatch-backstage-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const authority = new Authority(directory);
  const options = { subject: '/CN=backstage', alternatives: 'IP:127.0.0.1', usage: 'serverAuth' };
  const { certFile, keyFile } = authority.issue('server', options);
  const other = new Authority(directory, 'other');
  const tls = { cert: readFileSync(certFile), key: readFileSync(keyFile) };
  const secured = await CatalogueServer.start([{ name: 'a' }], tls);
  t.after(() => secured.close());
  const ask = (ca: string | null) => readCatalogue({ url: secured.url, token: TOKEN, ca, signal: never });
  await assert.rejects(ask(null), /certificate/);
  await assert.rejects(ask(readFileSync(other.certFile, 'utf8')), /certificate/);
  assert.equal(secured.asked, 0, 'no request is sent to whoever has no good certificate');
  assert.equal((await ask(readFileSync(authority.certFile, 'utf8'))).entities.length, 1);
});
