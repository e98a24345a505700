/** Tests the findings of doctor's other checks, with and without a problem. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import { pino } from 'pino';
import { writeHostCache } from '../../../../agent/host/host_cache.ts';
import { readMachine } from '../../../../agent/host/host_facts.ts';
import { Spool } from '../../../../agent/outbox/spool.ts';
import { agent } from '../../../../cli/doctor/agent.ts';
import { certificate } from '../../../../cli/doctor/certificate.ts';
import { configuration } from '../../../../cli/doctor/configuration.ts';
import { engines } from '../../../../cli/doctor/engines.ts';
import { identity } from '../../../../cli/doctor/identity.ts';
import { judgeKernel } from '../../../../cli/doctor/kernel.ts';
import { listening } from '../../../../cli/doctor/listening.ts';
import { network, routeTo } from '../../../../cli/doctor/network.ts';
import { spool } from '../../../../cli/doctor/spool.ts';
import { store } from '../../../../cli/doctor/store.ts';
import { doctorTable } from '../../../../cli/doctor/table.ts';
import { selfSigned } from '../../../../collector/access/self_signed.ts';
import { openAdmin } from '../../../../collector/admin/admin_schema.ts';
import { openForWriting } from '../../../../collector/store/sqlite/database.ts';
import { FINDINGS } from '../../../../collector/store/sqlite/findings_schema.ts';
import { heartbeat, Places, textsOf } from '../../../support/cli/doctor/sides.ts';

const places = new Places();
afterEach(() => places.end());
const silent = pino({ level: 'silent' });
const DAY_MS = 86_400_000;

test('configuration: valid, invalid, and a secret that everybody reads', async () => {
  const side = places.agent();
  assert.deepEqual(textsOf(await configuration.run(side)), [
    'ok: no configuration file; flags, environment and defaults are used',
  ]);
  const bad = {
    ...side,
    configuration: { file: '/etc/x.yaml', problem: '/etc/x.yaml: there is no setting "x".' },
  };
  assert.match(textsOf(await configuration.run(bad))[0]!, /^fail: .*no setting "x"/);
  const secret = join(places.directory(), 'token');
  writeFileSync(secret, 'a-token', { mode: 0o600 });
  const named = places.agent({ agent_token_file: secret });
  assert.equal((await configuration.run(named)).length, 1);
  chmodSync(secret, 0o644);
  assert.match(textsOf(await configuration.run(named))[1]!, /^warn: every user of this host can read/);
});

test('kernel: with type information, without, too old', () => {
  assert.equal(judgeKernel('6.1.0-18-amd64', true).status, 'ok');
  assert.equal(judgeKernel('5.8.0', true).status, 'ok');
  assert.match(judgeKernel('6.1.0', false).text, /without type information/);
  assert.match(judgeKernel('5.4.0-150-generic', true).text, /older than 5\.8/);
  assert.match(judgeKernel('4.14.336-257.562.amzn2', true).text, /older than 4\.16/);
});

test('identity: learnt, refused, of another machine', async () => {
  const side = places.agent({ host_id: undefined });
  const machine = readMachine();
  const kept = {
    id: 'i-0123456789abcdef0',
    source: 'imds' as const,
    machine,
    learnt: {
      instance_id: 'i-0123456789abcdef0',
      account: '123456789012',
      region: 'eu-central-1',
      zone: 'eu-central-1a',
      type: 'm7i.large',
      image_id: null,
      tags: { Name: 'web' },
    },
    learnt_boot_id: 'b',
    boot_id: 'b',
    attempts: 1,
    requests: 4,
    failure: null,
  };
  const examined = async (host: Parameters<typeof writeHostCache>[1]) => {
    writeHostCache(side.settings.spool_dir, host);
    return textsOf(await identity.run(side))[0]!;
  };
  if (machine.instanceId === null) {
    assert.match(
      await examined(kept),
      /^ok: i-0123456789abcdef0 .*123456789012, eu-central-1a, m7i\.large, 1 tags/,
    );
    assert.match(
      await examined({ ...kept, id: 'web', source: 'node_name' }),
      /^warn: .*the instance is i-0123/,
    );
  }
  const refused = {
    ...kept,
    learnt: null,
    learnt_boot_id: null,
    failure: 'a session token was refused with status 403',
  };
  assert.match(
    await examined(refused),
    /^warn: .*gave no facts about this host \(a session token was refused/,
  );
  const other = { instanceId: null, xenUuid: null, machineId: 'another', nodeName: null };
  assert.match(await examined({ ...kept, machine: other }), /^warn: .*an image was copied/);
});

test('network: routes, and an interface that is not there', async () => {
  const table = [
    'Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT',
    'eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0',
    'eth1\t0000FEA9\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0',
    'eth2\tFEA9FEA9\t00000000\t0000\t0\t0\t0\tFFFFFFFF\t0\t0\t0',
  ].join('\n');
  assert.equal(routeTo('169.254.169.254', table), 'eth1');
  assert.equal(routeTo('10.1.2.3', table), 'eth0');
  assert.equal(routeTo('10.1.2.3', table.split('\n')[0]!), null);
  assert.equal(routeTo('10.1.2.3', table.replace('\t0003\t', '\t0203\t')), null);
  const texts = textsOf(await network.run(places.agent({ interface: 'nosuch0' })));
  assert.match(texts[0]!, /^fail: there is no interface nosuch0/);
  assert.ok(!textsOf(await network.run(places.agent())).some((line) => line.startsWith('fail')));
});

test('engines: one that answers, one that does not, none', async () => {
  const socket = join(places.directory(), 'docker.sock');
  let isMute = false;
  const server = createServer((_request, response) => {
    if (isMute) return;
    response.setHeader('Server', 'Docker/27.1.1 (linux)');
    response.end(JSON.stringify({ Version: '27.1.1\u001b[31m' }));
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  places.later(() => {
    server.closeAllConnections();
    server.close();
  });
  const side = places.agent({ docker_socket: socket, cri_socket: 'none' });
  assert.match(textsOf(await engines.run(side))[0]!, /^ok: docker 27\.1\.1\[31m answers at/);
  isMute = true;
  assert.match(textsOf(await engines.run(side))[0]!, /^warn: .*does not answer \(no answer in 2000 ms\)/);
  const nowhere = places.agent({ docker_socket: '/nowhere/docker.sock', cri_socket: 'none' });
  assert.match(textsOf(await engines.run(nowhere))[0]!, /^fail: there is no engine socket at/);
  const none = places.agent({ docker_socket: 'none', cri_socket: 'none' });
  assert.deepEqual(textsOf(await engines.run(none)), ['ok: this host has no container engine']);
});

test('agent: runs, hangs, is not there, has lost something', async () => {
  const examined = async (secondsAgo: number | null, more: object = {}, isRunning = true) => {
    const state =
      secondsAgo === null ? null : { pid: 7, boot_id: 'b', heartbeat: { ...heartbeat(secondsAgo), ...more } };
    return textsOf(await agent.run(places.agent({}, { isRunning, pid: isRunning ? 7 : null, state })));
  };
  const counters = { uplink: { connected: 1 } };
  const well = await examined(3, { counters });
  assert.match(well[0]!, /^ok: an agent runs \(pid 7\), release \S+; heartbeat 3 s ago/);
  assert.equal(well[1], 'ok: the agent has lost nothing since it started');
  assert.match((await examined(300, { counters }))[0]!, /^fail: .*last heartbeat was 5 min ago/);
  assert.match((await examined(60, {}, false))[0]!, /^warn: no agent uses .*60 s ago/);
  const lost = await examined(1, { counters: { ...counters, capture: { dropped: 12 } } });
  assert.match(lost[1]!, /^warn: .*capture\.dropped 12/);
  assert.match((await examined(1))[1]!, /^warn: the agent is not connected/);
  const blind = { counters, coverage: { live: false, sources: [] } };
  assert.match((await examined(1, blind))[1]!, /^fail: the agent does not capture packets now/);
  const unreadable = places.agent({}, { isRunning: 'unknown' });
  assert.match(textsOf(await agent.run(unreadable))[0]!, /^skip: not checked: .* needs root/);
});

test('spool: empty, waiting records with their age, deleted records, damaged, missing', async () => {
  const side = places.agent({ spool_max_bytes: 1_048_576 });
  const { spool_dir: directory, host_id } = side.settings;
  const examined = async () => textsOf(await spool.run(side));
  assert.match((await examined())[0]!, /^ok: .* is empty/);
  const made = new Spool({ directory, maxBytes: 1_048_576, hostId: host_id!, log: silent });
  const record = (hoursAgo: number) =>
    JSON.stringify({
      kind: 'call',
      call: { time: new Date(Date.now() - hoursAgo * 3_600_000).toISOString() },
    });
  made.appendRecord('v1', record(5));
  made.appendRecord('v2', record(0));
  await made.close();
  assert.match(
    (await examined())[0]!,
    /^warn: 2 records wait, .* of at most 1\.0 MiB; the oldest is 5 h old/,
  );
  const full = new Spool({ directory, maxBytes: 1_048_576, hostId: host_id!, log: silent });
  for (let n = 0; n < 200; n++)
    full.appendRecord('v2', JSON.stringify({ kind: 'call', pad: 'x'.repeat(10_000) }));
  await full.close();
  assert.match((await examined())[1]!, /^warn: since the spool was made, \d+ records had to be deleted/);
  writeFileSync(join(directory, 'ledger'), 'x'.repeat(32_768));
  assert.match((await examined())[0]!, /^warn: the ledger of .* is damaged/);
  rmSync(directory, { recursive: true });
  assert.match((await examined())[0]!, /^warn: .* does not exist/);
});

test('store: whole, damaged, of a newer release, missing', async () => {
  const side = places.collector();
  const { data_dir: directory } = side.settings;
  const examined = async () => textsOf(await store.run(side));
  assert.match((await examined())[0]!, /^warn: .* does not exist/);
  openForWriting(directory, FINDINGS).close();
  openAdmin(directory).close();
  const well = await examined();
  assert.ok(
    well.slice(0, 2).every((line) => /^ok: .*, undamaged$/.test(line)),
    String(well),
  );
  const newer = openForWriting(directory, FINDINGS);
  newer.exec('PRAGMA user_version = 999');
  newer.close();
  assert.match((await examined())[0]!, /^fail: .* has schema 999/);
  const file = join(directory, FINDINGS.file);
  const bytes = readFileSync(file);
  bytes.fill(0xa5, 4_096); // Every page but the first: some of them may be free ones, which hold nothing.
  bytes.writeUInt32BE(FINDINGS.migrations.length, 60); // user_version: sqlite.org/fileformat.html, section 1.3
  writeFileSync(file, bytes);
  assert.match((await examined())[0]!, /^fail: .* is damaged/);
  writeFileSync(
    file,
    'not a database at all, and long enough to be read as the header of one, which it is not',
  );
  assert.match((await examined())[0]!, /^fail: .* is damaged/);
});

test('certificate: holds, ends soon, ended, is of another key', async () => {
  const pair = async (agedDays: number) => {
    const files = await selfSigned(places.directory(), 'localhost', Date.now() - agedDays * DAY_MS);
    return { tls_cert_file: files.certFile, tls_key_file: files.keyFile };
  };
  const [fresh, ending, ended] = [await pair(0), await pair(390), await pair(400)];
  const examined = async (settings: object) => textsOf(await certificate.run(places.collector(settings)));
  assert.match((await examined(fresh))[0]!, /^ok: .* is valid for 39\d days/);
  assert.match((await examined(ending))[0]!, /^warn: .* is valid for [56] days/);
  assert.match((await examined(ended))[0]!, /^fail: .* expired on/);
  assert.match(
    (await examined({ ...fresh, tls_key_file: ending.tls_key_file }))[1]!,
    /^fail: .* is not the private key of/,
  );
  assert.match((await examined({ ...fresh, tls_cert_file: '/nowhere.crt' }))[0]!, /^fail: /);
  assert.match(
    (await examined({ tls_self_signed: true }))[0]!,
    /^ok: .* makes its self-signed certificate at its first start/,
  );
  assert.equal(certificate.applies(places.collector()), false);
});

test('listening: a collector, nothing, and settings that contradict each other', async () => {
  const server = createTcpServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const side = places.collector({ listen: `127.0.0.1:${port}` });
  assert.deepEqual(textsOf(await listening.run(side)), [`ok: a program listens at 127.0.0.1:${port}`]);
  await new Promise((resolve) => server.close(resolve));
  assert.match(textsOf(await listening.run(side))[0]!, /^warn: no program listens at .*ECONNREFUSED/);
  const open = places.collector({ listen: `0.0.0.0:${port}` });
  assert.match(textsOf(await listening.run(open))[0]!, /^fail: .*there is no TLS/);
});

test('the table: aligned, coloured only when asked, nothing from outside moves the cursor', () => {
  const findings = [
    {
      part: 'agent' as const,
      check: 'engines',
      status: 'ok' as const,
      text: 'evil \x1b[2J\u202e name',
      remedy: null,
    },
    {
      part: 'agent' as const,
      check: 'spool',
      status: 'warn' as const,
      text: `long ${'word '.repeat(40)}`,
      remedy: 'Do something.',
    },
  ];
  const plain = doctorTable(findings, 80, false);
  assert.doesNotMatch(plain, /[\x00-\x09\x0b-\x1f\u202e]/);
  assert.match(plain, /evil \\x1b\[2J\\u\{202e\} name/);
  assert.ok(
    plain.split('\n').every((line) => line.length <= 80),
    plain,
  );
  assert.match(plain, /→ Do something\./);
  assert.match(doctorTable(findings, 80, true), /\x1b\[33mWARN\x1b\[0m/);
});

test('doctor --json reports each finding with its remedy, also without a configuration', () => {
  const main = join(import.meta.dirname, '../../../../cli/main.ts');
  const directory = places.directory();
  const flags = ['--part', 'collector', '--data-dir', directory, '--json'];
  const texts = execFileSync(process.execPath, [main, 'doctor', ...flags], { encoding: 'utf8' });
  const { worst, findings } = JSON.parse(texts);
  assert.equal(worst, 'warn');
  assert.deepEqual(Object.keys(findings[0]), ['part', 'check', 'status', 'text', 'remedy']);
});
