/**
 * Tests doctor's check of the connection to the collector, for each answer of a collector or of another
 * server.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import { collectorLink, skewSeconds } from '../../../../cli/doctor/collector_link.ts';
import { selfSigned } from '../../../../collector/access/self_signed.ts';
import { heartbeat, Places, textsOf } from '../../../support/cli/doctor/sides.ts';

const places = new Places();
afterEach(() => places.end());
const agent_token = 'an-enrolment-token-of-the-tests';
const DAY_MS = 86_400_000;

async function examined(url: string, more: Record<string, unknown> = {}): Promise<string[]> {
  const findings = await collectorLink.run(places.agent({ collector_url: url, agent_token, ...more }));
  for (const { status, remedy } of findings) assert.equal(remedy === null, status === 'ok');
  assert.ok(!JSON.stringify(findings).includes(agent_token));
  return textsOf(findings);
}

test('accepts a collector that is reached, has the same time and accepts the agent', async () => {
  const address = await places.fakeCollector({});
  const [reached, clock, authentication] = await examined(`ws://${address}`);
  assert.match(reached!, /^ok: ws:.* answers in \d+ ms$/);
  assert.equal(clock, 'ok: the clocks agree');
  assert.equal(authentication, 'ok: the collector accepts this agent by its enrolment token');
});

test('names the credential, once the agent has one', async () => {
  const side = places.agent({ collector_url: `ws://${await places.fakeCollector({})}` });
  const kept = { host_id: side.settings.host_id, credential: 'a-credential-of-the-tests' };
  writeFileSync(join(side.settings.spool_dir, 'credential'), JSON.stringify(kept));
  const findings = await collectorLink.run(side);
  assert.equal(textsOf(findings).at(-1), 'ok: the collector accepts this agent by its credential');
  assert.ok(!JSON.stringify(findings).includes(kept.credential));
});

test('a credential that is rejected is no failure while the enrolment token is accepted', async () => {
  const rejectedSecret = 'a-credential-that-was-revoked';
  for (const { token, expected } of [
    { token: agent_token, expected: /^warn: .* rejects .* credential, and accepts its enrolment token$/ },
    { token: rejectedSecret, expected: /^fail: the collector rejects this agent's credential$/ },
  ]) {
    const collector_url = `ws://${await places.fakeCollector({ rejectedSecret })}`;
    const side = places.agent({ collector_url, agent_token: token });
    const kept = { host_id: side.settings.host_id, credential: rejectedSecret };
    writeFileSync(join(side.settings.spool_dir, 'credential'), JSON.stringify(kept));
    assert.match(textsOf(await collectorLink.run(side)).at(-1)!, expected);
  }
});

for (const { name, agentStatus, expected } of [
  {
    name: 'reports a token that the collector rejects',
    agentStatus: 401,
    expected: /^fail: the collector rejects this agent's enrolment token/,
  },
  {
    name: 'reports a collector that accepts no more agents',
    agentStatus: 503,
    expected: /^warn: the collector accepts no more agents/,
  },
  {
    name: 'reports a proxy that answers instead',
    agentStatus: 404,
    expected: /^fail: the agents' endpoint answers with status 404/,
  },
]) {
  test(name, async () => {
    const address = await places.fakeCollector({ agentStatus });
    assert.match((await examined(`ws://${address}`)).at(-1)!, expected);
  });
}

test('fails without a token unless the running agent is connected', async () => {
  const address = await places.fakeCollector({});
  const collector_url = `ws://${address}`;
  const alone = await collectorLink.run(places.agent({ collector_url }));
  assert.match(textsOf(alone).at(-1)!, /^fail: the agent has no token/);
  const state = { pid: 1, boot_id: 'b', heartbeat: heartbeat(1, { uplink: { connected: 1 } }) };
  const side = places.agent({ collector_url }, { isRunning: true, pid: 1, state });
  assert.equal(textsOf(await collectorLink.run(side)).at(-1), 'ok: the running agent is connected');
});

test('recognises a server that is not a collector', async () => {
  const texts = await examined(`ws://${await places.fakeCollector({ health: 404 })}`);
  assert.match(texts[0]!, /^fail: .* answers with status 404: it is not an imdswatch collector/);
});

test('reports a refused connection', async () => {
  const address = await places.fakeCollector({});
  await places.end();
  assert.match((await examined(`ws://${address}`))[0]!, /^fail: .*ECONNREFUSED/);
});

test('reports a server that does not answer', async () => {
  const texts = await examined(`ws://${await places.fakeCollector({ health: 'hang' })}`);
  assert.deepEqual(texts.length, 1);
  assert.match(texts[0]!, /^fail: .*no answer in 5 s/);
});

test('reports clocks that differ', async () => {
  const near = await examined(`ws://${await places.fakeCollector({ aheadMs: 60_000 })}`);
  assert.match(near[1]!, /^warn: this clock is (59|60) s behind the collector's/);
  const far = await examined(`ws://${await places.fakeCollector({ aheadMs: -3_600_000 })}`);
  assert.match(far[1]!, /^fail: this clock is 60 min ahead of the collector's/);
  assert.equal(skewSeconds(undefined, 0, 0), null);
  assert.equal(skewSeconds('Thu, 01 Jan 1970 00:00:10 GMT', 10_000, 10_990), 0);
});

test('TLS: trusted, unknown, expired, and none at all', async () => {
  const now = await selfSigned(places.directory(), 'localhost', Date.now());
  const cert = readFileSync(now.certFile, 'utf8');
  const address = await places.fakeCollector({ tls: { cert, key: readFileSync(now.keyFile, 'utf8') } });
  const url = `wss://${address}`;
  const trusted = await examined(url, { collector_ca_file: now.certFile });
  assert.match(trusted[1]!, /^ok: its certificate \(TLSv1\.3\) is valid for 39\d days/);
  assert.match(trusted.at(-1)!, /^ok: the collector accepts/);
  assert.match((await examined(url))[0]!, /^fail: .*self-signed/i);
  const old = await selfSigned(places.directory(), 'localhost', Date.now() - 400 * DAY_MS);
  const tls = { cert: readFileSync(old.certFile, 'utf8'), key: readFileSync(old.keyFile, 'utf8') };
  const expired = `wss://${await places.fakeCollector({ tls })}`;
  assert.match((await examined(expired, { collector_ca_file: old.certFile }))[0]!, /^fail: .*expired/);
  const plain = await examined(`wss://${await places.fakeCollector({})}`, {
    collector_ca_file: now.certFile,
  });
  assert.match(plain[0]!, /^fail: .*cannot be reached/);
});
