/** What doctor says of the way to the collector: each answer that a collector, or what is in its place, can give. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import { collectorLink, skewSeconds } from '../../../../cli/doctor/collector_link.ts';
import { selfSigned } from '../../../../collector/access/self_signed.ts';
import { heartbeat, Places, told } from '../../../support/cli/doctor/sides.ts';

const places = new Places();
afterEach(() => places.end());
const agent_token = 'an-enrolment-token-of-the-tests';
const DAY_MS = 86_400_000;

async function examined(url: string, more: Record<string, unknown> = {}): Promise<string[]> {
  const findings = await collectorLink.examine(places.agent({ collector_url: url, agent_token, ...more }));
  for (const { status, remedy } of findings) assert.equal(remedy === null, status === 'ok');
  assert.ok(!JSON.stringify(findings).includes(agent_token));
  return told(findings);
}

test('reached, in time, and let in', async () => {
  const address = await places.fakeCollector({});
  const [reached, clock, door] = await examined(`ws://${address}`);
  assert.match(reached!, /^ok: ws:.* answers in \d+ ms$/);
  assert.equal(clock, 'ok: the clocks agree');
  assert.equal(door, 'ok: the collector lets this agent in, by its enrolment token');
});

test('by its credential, once it has one', async () => {
  const side = places.agent({ collector_url: `ws://${await places.fakeCollector({})}` });
  const kept = { host_id: side.settings.host_id, credential: 'a-credential-of-the-tests' };
  writeFileSync(join(side.settings.spool_dir, 'credential'), JSON.stringify(kept));
  const findings = await collectorLink.examine(side);
  assert.equal(told(findings).at(-1), 'ok: the collector lets this agent in, by its credential');
  assert.ok(!JSON.stringify(findings).includes(kept.credential));
});

for (const { name, door, says } of [
  {
    name: 'a token that is refused',
    door: 401,
    says: /^fail: the collector refuses this agent's enrolment token/,
  },
  { name: 'a collector that is full', door: 503, says: /^warn: the collector takes no more agents/ },
  { name: 'a proxy in between', door: 404, says: /^fail: the door for agents answers with status 404/ },
]) {
  test(name, async () => {
    const address = await places.fakeCollector({ door });
    assert.match((await examined(`ws://${address}`)).at(-1)!, says);
  });
}

test('nothing to show, and nobody that is connected', async () => {
  const address = await places.fakeCollector({});
  const collector_url = `ws://${address}`;
  const alone = await collectorLink.examine(places.agent({ collector_url }));
  assert.match(told(alone).at(-1)!, /^fail: the agent has no token/);
  const state = { pid: 1, boot_id: 'b', heartbeat: heartbeat(1, { uplink: { connected: 1 } }) };
  const side = places.agent({ collector_url }, { isRunning: true, pid: 1, state });
  assert.equal(told(await collectorLink.examine(side)).at(-1), 'ok: the running agent is connected');
});

test('another service in its place', async () => {
  const said = await examined(`ws://${await places.fakeCollector({ health: 404 })}`);
  assert.match(said[0]!, /^fail: .* answers with status 404, and is no imdswatch collector/);
});

test('nobody in its place', async () => {
  const address = await places.fakeCollector({});
  await places.end();
  assert.match((await examined(`ws://${address}`))[0]!, /^fail: .*ECONNREFUSED/);
});

test('one that does not answer', async () => {
  const said = await examined(`ws://${await places.fakeCollector({ health: 'hang' })}`);
  assert.deepEqual(said.length, 1);
  assert.match(said[0]!, /^fail: .*no answer in 5 s/);
});

test('clocks that are apart', async () => {
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
  assert.match(trusted[1]!, /^ok: its certificate \(TLSv1\.3\) holds for 39\d days/);
  assert.match(trusted.at(-1)!, /^ok: the collector lets/);
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
