/**
 * Guarded enforcement from end to end: a ready host, the real agent and collector, the real SDK, a cloud that decides how
 * the lab's metadata service answers, and a real old client that nobody had seen before. It breaks, the plan is rolled back,
 * and it works again.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import type { Alert } from '../../collector/contract/alert.ts';
import type { PlanDetail } from '../../collector/contract/plan.ts';
import { withAdmin } from '../../collector/local.ts';
import { MetadataLink } from '../../lab/cloud/metadata_link.ts';
import { addInstance, type LabRegion } from '../../lab/cloud/state.ts';
import { CloudApi } from '../../lab/cloud_api.ts';
import { ACCOUNT, REGION } from '../support/enforce/lab_cloud.ts';
import { NODE } from './evasions/collector_process.ts';
import { EvasionLab, until } from './evasions/evasion_lab.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root: builds network namespaces and captures packets';
/**
 * From the first refused call until the former value was given back and read. It takes some seconds where nothing else
 * runs, and the soak, which must not be waited for, takes a day.
 */
const ROLLED_BACK_WITHIN_MS = 60_000;
/** AWS gives no duration; recorded answers were applied after some seconds. */
const PENDING_MS = 1000;
const REQUIRED_WITHIN_MS = 90_000;
/** A report of the agent takes a second or two. */
const KNOWN_WITHIN_MS = 90_000;
/** Time in which the runner looks for refused calls twice. */
const LOOKS_MS = 2500;
const EXIT_ROLLED_BACK = 5;
const INSTANCE_ID = 'http://169.254.169.254/latest/meta-data/instance-id';
const OLD_CLIENT = `
import sys, time, urllib.request
for attempt in range(900):
    try:
        urllib.request.urlopen(sys.argv[1], timeout=2).read()
        print('works after', attempt); sys.exit(0)
    except urllib.error.HTTPError as error:
        print(error.code, flush=True)
    time.sleep(0.1)
sys.exit(1)
`;

/** The lab's host has a loopback of its own. A Unix socket leads from this machine to the collector there. */
const RELAY = `
const net = require('node:net');
const [path, port] = process.argv.slice(-2);
net.createServer((near) => {
  const far = net.connect(Number(port), '127.0.0.1');
  near.pipe(far).pipe(near);
  near.on('error', () => far.destroy());
  far.on('error', () => near.destroy());
}).listen(path, () => console.log('ready'));
`;

interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

describe('an enforced host', { skip }, () => {
  let lab: EvasionLab;
  let api: CloudApi;
  let region: LabRegion;
  let link: MetadataLink | null = null;
  let dataDir = '';
  const running = new Set<ChildProcess>();
  const relays: ChildProcess[] = [];
  const entrances: Server[] = [];

  before(async () => {
    lab = await EvasionLab.open('enforced', { isStrict: true });
    dataDir = join(lab.lab.home, 'data');
    const place = ['--host-account', ACCOUNT, '--host-region', REGION];
    await lab.watch({ hostId: (number) => `i-0000000${number}`, flags: place });
    api = await CloudApi.start({ applied: (instance) => link?.applied(instance) });
    api.state.pendingMs = PENDING_MS;
    region = api.state.region(ACCOUNT, REGION);
    link = new MetadataLink(lab.lab.metadata, lab.hostId);
    await link.follow(addInstance(region, lab.hostId).options);
  });
  after(async () => {
    for (const child of [...running, ...relays]) child.kill('SIGKILL');
    for (const entrance of entrances) entrance.close();
    await api?.close();
    await lab?.close();
  });

  /** Runs `imdswatch enforce` as the operator does, with the collector's files and the lab's cloud. */
  const enforce = (...args: string[]) => imdswatch('enforce', ...args, '--data-dir', dataDir);

  function imdswatch(...args: string[]): Promise<Ended> {
    const env = { ...process.env, ...api.environment(region.account), AWS_REGION: region.region };
    const argv = [...NODE.slice(1), ...args];
    const child = spawn(NODE[0]!, argv, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    running.add(child);
    const ended: Ended = { code: null, stdout: '', stderr: '' };
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      ended.stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      ended.stderr += text;
    });
    return new Promise((resolve) => {
      child.once('close', (code) => {
        running.delete(child);
        resolve({ ...ended, code });
      });
    });
  }
  const tokens = () => region.instances.get(lab.hostId)!.options.HttpTokens;

  it('is rolled back within seconds when a caller appears that was never seen, and the caller works again', async (t) => {
    const planned = await enforce('plan', '--host', lab.hostId, '--json');
    assert.equal(planned.code, 0, planned.stderr + planned.stdout);
    const { id } = JSON.parse(planned.stdout) as { id: string };
    const checked = await enforce('check', id);
    assert.equal(checked.code, 0, checked.stderr + checked.stdout);
    assert.equal(tokens(), 'optional');

    const applying = enforce('apply', id, '--yes');
    const failed = applying.then(({ code, stderr }) => assert.fail(`apply ended with ${code}: ${stderr}`));
    const isRequired = until('tokens are required', REQUIRED_WITHIN_MS, async () => {
      const change = region.instances.get(lab.hostId)!.change;
      return tokens() === 'required' && change!.isApplied;
    });
    await Promise.race([isRequired, failed]);
    failed.catch(() => undefined);

    // A token that expired is answered with 401 as well, and is no caller of IMDSv1.
    await lab.lab.run([
      'curl',
      '-s',
      '-o',
      '/dev/null',
      '-H',
      'X-aws-ec2-metadata-token: AQAEold',
      INSTANCE_ID,
    ]);
    await until('the refused token is known', KNOWN_WITHIN_MS, async () => {
      return (await lab.host())!.readiness.refused_tokens > 0;
    });
    await sleep(LOOKS_MS);
    assert.equal(tokens(), 'required');

    const client = lab.lab.run(['python3', '-c', OLD_CLIENT, INSTANCE_ID], {
      from: 'host',
      timeoutMs: 120_000,
    });
    const ended = await applying;
    const endedMs = Date.now();
    const refused = (await lab.lab.metadata.log()).find(
      ({ version, status }) => version === 1 && status === 401,
    )!;
    const tookMs = endedMs - Date.parse(refused.time);
    assert.equal(ended.code, EXIT_ROLLED_BACK, ended.stderr + ended.stdout);
    assert.equal(tokens(), 'optional');
    assert.ok(tookMs < ROLLED_BACK_WITHIN_MS, `${tookMs} ms`);
    const { status, stdout } = await client;
    assert.equal(status, 0, stdout);
    assert.match(stdout, /^401\n(.*\n)*works after \d+/);
    // The caller is named where the roll-back is told.
    assert.match(ended.stderr + ended.stdout, /python3/);
    const changes = api.calls.filter(
      ({ action, parameters }) =>
        action === 'ModifyInstanceMetadataOptions' && parameters['DryRun'] === undefined,
    );
    assert.deepEqual(
      changes.map(({ parameters, result }) => [parameters['HttpTokens'], result]),
      [
        ['required', 'ok'],
        ['optional', 'ok'],
      ],
    );
    for (const { userAgent } of changes) assert.ok(userAgent.includes(`app/${id}`), userAgent);
    assert.deepEqual(api.problems, []);

    // The collector shows the plan as its process has reported it.
    const plan = await lab.api<PlanDetail>(`/plans/${id}`);
    assert.deepEqual([plan.states.rolled_back, plan.step_count, plan.is_carried_out], [1, 1, false]);
    assert.deepEqual(
      plan.refusals.map(({ host, rolled_back }) => [host, rolled_back]),
      [[lab.hostId, 1]],
    );
    assert.match(plan.refusals[0]!.caller, /python3/);
    const told = async () => (await lab.api<{ items: Alert[] }>('/alerts')).items;
    await until('the roll-back is an alert', KNOWN_WITHIN_MS, async () =>
      (await told()).some(({ rule, subject }) => rule === 'plan_rolled_back' && subject === id),
    );
    // The client was refused many times. The audit log has its first call, and the others as one number.
    const audited = await withAdmin({ data_dir: dataDir }, pino({ level: 'silent' }), ({ access }) =>
      access.auditLog({ limit: 200 }),
    );
    const ofCalls = audited.filter(
      ({ action, subject }) => action === 'enforce.refused_call' && subject === id,
    );
    assert.ok(ofCalls.length <= 2, ofCalls.map(({ detail }) => detail).join('\n'));
    assert.match(ofCalls.at(-1)?.detail ?? '', /python3.* on i-0\d+$/);
    t.diagnostic(`${stdout.match(/401/g)!.length} refused calls, ${ofCalls.length} entries in the audit log`);
    t.diagnostic(
      `rolled back ${tookMs} ms after the first refused call, of which ${PENDING_MS} ms are the cloud's`,
    );
  });

  /** Opens a way from this machine to the collector on the lab's host, and returns its address. */
  async function wayToCollector(): Promise<string> {
    const path = join(lab.lab.home, 'collector.sock');
    const { port } = new URL(lab.collectorUrl);
    const relay = lab.lab.spawn([process.execPath, '-e', RELAY, path, port]);
    relays.push(relay.child);
    await once(relay.child.stdout!, 'data');
    const entrance = createServer((near) => {
      const far = connect(path);
      near.pipe(far).pipe(near);
      near.on('error', () => far.destroy());
      far.on('error', () => near.destroy());
    });
    entrances.push(entrance);
    await new Promise<void>((resolve) => entrance.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(entrance.address() as AddressInfo).port}`;
  }

  it('is rolled back as fast from a machine that has only the address of the collector and a token', async (t) => {
    const person = ['--kind', 'person', '--role', 'admin', '--name', 'ada'];
    const made = await imdswatch('token', 'create', ...person, '--data-dir', dataDir);
    assert.equal(made.code, 0, made.stderr);
    const here = join(lab.lab.home, 'laptop');
    mkdirSync(here);
    writeFileSync(join(here, 'token'), made.stdout);
    const access = ['--collector', await wayToCollector(), '--collector-token-file', join(here, 'token')];
    const remote = (...args: string[]) => imdswatch('enforce', ...args, ...access, '--data-dir', here);

    // The client of the test before has made the host blocked.
    const reason = 'The caller is known, and may break.';
    const planned = await remote('plan', '--host', lab.hostId, '--accept-unproven', reason, '--json');
    assert.equal(planned.code, 0, planned.stderr + planned.stdout);
    const { id } = JSON.parse(planned.stdout) as { id: string };
    const before = (await lab.lab.metadata.log()).length;
    const applying = remote('apply', id, '--yes');
    const failed = applying.then(({ code, stderr }) => assert.fail(`apply ended with ${code}: ${stderr}`));
    const isRequired = until('tokens are required', REQUIRED_WITHIN_MS, async () => {
      return tokens() === 'required' && region.instances.get(lab.hostId)!.change!.isApplied;
    });
    await Promise.race([isRequired, failed]);
    failed.catch(() => undefined);
    const client = lab.lab.run(['python3', '-c', OLD_CLIENT, INSTANCE_ID], {
      from: 'host',
      timeoutMs: 120_000,
    });
    const ended = await applying;
    const endedMs = Date.now();
    const refused = (await lab.lab.metadata.log())
      .slice(before)
      .find(({ version, status }) => version === 1 && status === 401)!;
    const tookMs = endedMs - Date.parse(refused.time);
    assert.equal(ended.code, EXIT_ROLLED_BACK, ended.stderr + ended.stdout);
    assert.equal(tokens(), 'optional');
    assert.ok(tookMs < ROLLED_BACK_WITHIN_MS, `${tookMs} ms`);
    assert.match(ended.stdout, /rolled_back .*python3.* called without a token/);
    assert.match((await client).stdout, /^401\n(.*\n)*works after \d+/);
    t.diagnostic(`rolled back ${tookMs} ms after the first refused call`);
  });
});
