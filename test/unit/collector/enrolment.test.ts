/** An agent's own credential: given once, kept across restarts, bound to its host. */
import assert from 'node:assert/strict';
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import { HOST, makeCall } from '../../support/collector/calls.ts';
import { acknowledged, Bench } from '../../support/collector/in_process.ts';
import { Peer } from '../../support/collector/peer.ts';
import { eventually } from '../../support/collector/stored.ts';

const bench = new Bench();
afterEach(() => bench.end());

const OTHER = { id: 'i-0fedcba9876543210', name: 'other' };

test('an agent enrols once, and then connects with its credential alone', async () => {
  const server = await bench.ingestServer({ enrolment: true });
  const spoolDir = bench.directory();
  const first = bench.outbox(server.url, { spoolDir });
  await eventually('connected', () => first.counters()['uplink']!['connected'] === 1);
  await first.stop(0);
  const file = join(spoolDir, 'credential');
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const { credential } = JSON.parse(readFileSync(file, 'utf8'));
  assert.ok(!JSON.stringify(bench.logged).includes(credential), 'never logged');
  const second = bench.outbox(server.url, { spoolDir, token: null });
  second.call(makeCall({ 'url.path': '/1' }));
  await eventually('delivered', () => acknowledged(second) === 1);
  assert.equal(server.credentials.issued, 1);
  assert.equal(server.ingest.counters()['unauthorized'], 0);
});

test('an agent whose credential is refused enrols again, and logs it', async () => {
  const server = await bench.ingestServer({ enrolment: true });
  const spoolDir = bench.directory();
  const outbox = bench.outbox(server.url, { spoolDir });
  await eventually('enrolled', () => outbox.counters()['uplink']!['connected'] === 1);
  server.credentials.revoke(HOST.id);
  server.ingest.disconnect(HOST.id);
  outbox.call(makeCall({ 'url.path': '/1' }));
  await eventually('delivered', () => acknowledged(outbox) === 1);
  assert.equal(server.credentials.issued, 2);
  assert.equal(bench.logged.filter(({ msg }) => msg.includes('trying to enrol again')).length, 1);
  const kept = JSON.parse(readFileSync(join(spoolDir, 'credential'), 'utf8')).credential;
  assert.equal(kept, `credential-2-of-${HOST.id}`);
});

test('a connection without hello ends when its credential is revoked', async () => {
  const server = await bench.ingestServer({ enrolment: true });
  await new Peer(bench, server.url).hello({ protocol: 1, protocol_max: 2 });
  const headers = { authorization: `Bearer credential-1-of-${HOST.id}` };
  const early = new Peer(bench, server.url, headers);
  const enrolling = new Peer(bench, server.url);
  await eventually('three connections', () => server.ingest.counters()['connections'] === 3);
  await eventually('open', () => early.socket.readyState === 1 && enrolling.socket.readyState === 1);
  server.credentials.revoke(HOST.id);
  server.ingest.disconnect(HOST.id);
  await eventually('he is put out', () => early.closed !== null);
  // An enrolment token that ended, the same.
  assert.equal(enrolling.closed, null);
  server.ingest.disconnect(null);
  await eventually('he is put out', () => enrolling.closed !== null);
});

test('with a revoked credential and no enrolment token the records stay in the spool, and the operator is informed', async () => {
  const server = await bench.ingestServer({ enrolment: true });
  const spoolDir = bench.directory();
  const first = bench.outbox(server.url, { spoolDir });
  await eventually('enrolled', () => first.counters()['uplink']!['connected'] === 1);
  await first.stop(0);
  server.credentials.revoke(HOST.id);
  const second = bench.outbox(server.url, { spoolDir, token: null });
  second.call(makeCall());
  await eventually('refused', () => second.counters()['uplink']!['refused'] === 1);
  assert.equal(second.counters()['spool']!['lost'], 0);
  assert.equal(bench.logged.filter(({ level, msg }) => level === 50 && msg.includes('credential')).length, 1);
});

test('an enrolment token does not speak for a host that has a credential, in either protocol', async () => {
  const server = await bench.ingestServer({ enrolment: true });
  const owner = bench.outbox(server.url);
  owner.call(makeCall({ 'url.path': '/1' }));
  await eventually('delivered', () => acknowledged(owner) === 1);
  const thief = await new Peer(bench, server.url).hello({ protocol: 1, protocol_max: 2 });
  const { reason, message } = await thief.next('refused');
  assert.equal(reason, 'host');
  assert.match(String(message), /revoke --host-id i-0123456789abcdef0/);
  const older = await new Peer(bench, server.url).hello({ protocol: 1 });
  assert.equal((await older.next('refused'))['reason'], 'invalid');
  assert.equal(server.ingest.counters()['foreign_hosts'], 2);
  assert.equal(owner.counters()['uplink']!['connected'], 1, 'the owner is not disturbed');
});

test('a credential speaks for its own host only', async () => {
  const server = await bench.ingestServer({ enrolment: true });
  const credential = server.credentials.issue(HOST.id)!;
  const headers = { authorization: `Bearer ${credential}` };
  const impostor = await new Peer(bench, server.url, headers).hello({ protocol_max: 2, host: OTHER });
  assert.equal((await impostor.next('refused'))['reason'], 'host');
  await eventually('closed', () => impostor.closed === 1008);
  const owner = await new Peer(bench, server.url, headers).hello({ protocol_max: 2 });
  assert.equal((await owner.next('welcome'))['credential'], undefined);
  const call = makeCall({ host: OTHER });
  const old = await new Peer(bench, server.url, headers).hello();
  await old.next('welcome');
  old.send({ type: 'batch', seq: 1, records: [{ kind: 'call', call }] });
  assert.deepEqual(await old.next('ack'), { type: 'ack', seq: 1, rejected: 1 });
  assert.equal(server.ingest.counters()['foreign_records'], 1);
});

test('a credential that was copied with a disk image, or is damaged, is not used', async () => {
  const server = await bench.ingestServer({ enrolment: true });
  for (const [index, text] of [
    JSON.stringify({ host_id: OTHER.id, credential: 'someone-elses' }),
    '{"host_id":',
    JSON.stringify({ host_id: HOST.id, credential: 'x\r\nx-injected: 1' }),
  ].entries()) {
    const spoolDir = bench.directory();
    writeFileSync(join(spoolDir, 'credential'), text);
    const outbox = bench.outbox(server.url, { spoolDir });
    await eventually('enrolled', () => outbox.counters()['uplink']!['connected'] === 1);
    assert.equal(server.credentials.issued, index + 1);
    assert.equal(server.ingest.counters()['unauthorized'], 0);
    await outbox.stop(0);
    server.credentials.revoke(HOST.id);
  }
});

test('an agent that lost the answer to its enrolment gets a credential again; a thief with the token does not', async () => {
  const server = await bench.ingestServer({ enrolment: true });
  const spoolDir = bench.directory();
  const first = bench.outbox(server.url, { spoolDir });
  await eventually('enrolled', () => first.counters()['uplink']!['connected'] === 1);
  await first.stop(0);
  const keyFile = join(spoolDir, 'enrolment_key');
  assert.equal(statSync(keyFile).mode & 0o777, 0o600);
  const { key } = JSON.parse(readFileSync(keyFile, 'utf8'));
  assert.ok(!JSON.stringify(bench.logged).includes(key), 'never logged');
  // It was killed between the welcome and storing the credential.
  rmSync(join(spoolDir, 'credential'));
  for (const claim of [{}, { enrolment_key: 'x'.repeat(43) }]) {
    const thief = await new Peer(bench, server.url).hello({ protocol: 1, protocol_max: 2, ...claim });
    assert.equal((await thief.next('refused'))['reason'], 'host');
  }
  const again = bench.outbox(server.url, { spoolDir });
  again.call(makeCall({ 'url.path': '/1' }));
  await eventually('delivered', () => acknowledged(again) === 1);
  assert.equal(server.credentials.issued, 2);
  assert.equal(JSON.parse(readFileSync(keyFile, 'utf8')).key, key);
});

test('an enrolment key that was copied with a disk image is not used', async () => {
  const server = await bench.ingestServer({ enrolment: true });
  const spoolDir = bench.directory();
  const copied = JSON.stringify({ host_id: OTHER.id, key: 'k'.repeat(43) });
  writeFileSync(join(spoolDir, 'enrolment_key'), copied);
  const outbox = bench.outbox(server.url, { spoolDir });
  await eventually('enrolled', () => outbox.counters()['uplink']!['connected'] === 1);
  const { host_id, key } = JSON.parse(readFileSync(join(spoolDir, 'enrolment_key'), 'utf8'));
  assert.equal(host_id, HOST.id);
  assert.notEqual(key, 'k'.repeat(43));
});

test('a connection by an enrolment token alone is closed when its host gets a credential', async () => {
  const server = await bench.ingestServer({ enrolment: true, idleMs: 1000 });
  const thief = await new Peer(bench, server.url).hello({ protocol: 1 });
  await thief.next('welcome');
  const elsewhere = await new Peer(bench, server.url).hello({ protocol: 1, host: OTHER });
  await elsewhere.next('welcome');
  const owner = await new Peer(bench, server.url).hello({ protocol: 1, protocol_max: 2 });
  await owner.next('welcome');
  await eventually('the thief is put out', () => thief.closed !== null);
  assert.equal(owner.closed, null);
  server.credentials.issue(OTHER.id); // by an admin's command
  await eventually('that one too', () => elsewhere.closed !== null);
  assert.equal(server.ingest.counters()['unproven'], 2);
});
