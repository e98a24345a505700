/** `imdswatch enforce` on another machine than the collector's: over TLS with a token, against the lab's cloud. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { selfSigned } from '../../../../collector/access/self_signed.ts';
import type { Plan } from '../../../../enforce/plan.ts';
import { PlanStore } from '../../../../enforce/run/plan_store.ts';
import { addInstance, type LabRegion } from '../../../../lab/cloud/state.ts';
import { CloudApi } from '../../../../lab/cloud_api.ts';
import { processFacts } from '../../../support/collector/calls.ts';
import { eventually } from '../../../support/collector/stored.ts';
import { ACCOUNT, REGION } from '../../../support/enforce/lab_cloud.ts';
import { instanceId } from '../../../support/enforce/plans.ts';
import { type StartedProgram, startProgram } from '../../../support/enforce/program.ts';
import { RemoteCollector } from '../../../support/enforce/remote_collector.ts';

const MAIN = join(import.meta.dirname, '../../../../cli/main.ts');
const COMMAND = [process.execPath, '--disable-warning=ExperimentalWarning', MAIN, 'enforce'];
const POLICY = ['--soak-seconds', '1', '--canary-soak-seconds', '1', '--max-share', '1'];
const HOSTS = { 1: 'web', 2: 'web', 3: 'ops', 4: 'db', 5: 'far' };
const REFUSED = {
  'imds.version': 1,
  'imds.server_version': 2,
  'http.response.status_code': 401,
  outcome: 'answered',
  process: processFacts({ script: '/opt/weekly.sh' }),
} as const;

describe('imdswatch enforce --collector', () => {
  let collector: RemoteCollector;
  let api: CloudApi;
  let region: LabRegion;
  /** Directory of the operator's machine: it has no file of the collector. */
  const here = mkdtempSync(join(tmpdir(), 'imdswatch-laptop-'));
  const tokenFile = join(here, 'token');
  const viewerFile = join(here, 'viewer');

  before(async () => {
    api = await CloudApi.start();
    region = api.state.region(ACCOUNT, REGION);
    for (const [number, group] of Object.entries(HOSTS)) {
      const id = instanceId(Number(number));
      addInstance(region, id, { tags: { 'aws:autoscaling:groupName': group } });
      const instances = [...(region.groups.get(group)?.instances ?? []), id];
      const source = { template: null, launchConfiguration: 'old', mixed: null };
      region.groups.set(group, { name: group, ...source, instances });
    }
    collector = await RemoteCollector.start(HOSTS);
    writeFileSync(tokenFile, `${collector.tokens.admin}\n`);
    writeFileSync(viewerFile, `${collector.tokens.viewer}\n`);
  });
  after(async () => {
    await collector.end();
    await api.close();
    rmSync(here, { recursive: true, force: true });
  });

  function begin(...args: string[]): StartedProgram {
    const own = Object.entries(process.env).filter(([name]) => !/^(IMDSWATCH|AWS)_/.test(name));
    const env = { ...Object.fromEntries(own), ...api.environment(ACCOUNT) };
    return startProgram([...COMMAND, ...args, '--data-dir', here], env);
  }
  const access = (file = tokenFile) => [
    ...['--collector', collector.url, '--collector-token-file', file],
    ...['--collector-ca-file', collector.caFile],
  ];
  const enforce = (...args: string[]) => begin(...args, ...access()).ended;
  const tokensOf = (number: number) => region.instances.get(instanceId(number))!.options.HttpTokens;
  const stateOf = (id: string) => {
    const store = new PlanStore(join(here, 'plans'));
    return store.stateOf(store.load(id)).state;
  };

  /** Runs it on the machine of the collector, with its files. */
  function atCollector(...args: string[]) {
    const env = { ...process.env, ...api.environment(ACCOUNT), IMDSWATCH_READINESS_WINDOW_DAYS: '2' };
    return startProgram([...COMMAND, ...args, '--data-dir', collector.dataDir], env).ended;
  }

  async function planned(...args: string[]): Promise<Plan> {
    const { code, stdout, stderr } = await enforce('plan', '--json', ...POLICY, ...args);
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout) as Plan;
  }

  it('plans, checks, applies and finds drift as on the machine of the collector', async () => {
    const plan = await planned('--group', 'asg:web');
    const local = await atCollector('plan', '--json', ...POLICY, '--group', 'asg:web');
    const there = JSON.parse(local.stdout) as Plan;
    const comparable = ({ steps, groups, left_out }: Plan) => ({ steps, groups, left_out });
    assert.deepEqual(comparable(plan), comparable(there));
    assert.equal(plan.steps.length, 2);

    const checked = await enforce('check', plan.id);
    assert.equal(checked.code, 0, checked.stdout + checked.stderr);
    assert.match(checked.stdout, /pass\s+verdict/);
    const applied = await enforce('apply', plan.id, '--yes');
    assert.equal(applied.code, 0, applied.stdout + applied.stderr);
    assert.equal((applied.stdout.match(/confirmed/g) ?? []).length, 2);
    assert.deepEqual([tokensOf(1), tokensOf(2)], ['required', 'required']);
    assert.equal((await enforce('drift', plan.id)).code, 0);
    // Each report is in the collector's audit log, by the name of the token.
    const entries = (await collector.audited()).filter(({ subject }) => subject === plan.id);
    assert.deepEqual(
      [...new Set(entries.map(({ actor, action }) => `${actor} ${action}`))],
      ['admin plan.report'],
    );
    assert.match(entries[0]!.detail!, /confirmed/);
    assert.doesNotMatch((await begin('status', plan.id).ended).stdout, /NOT REPORTED/);
  });

  it('rolls back within seconds of the first refused call, with the caller named', async (t) => {
    const { id } = await planned('--group', 'asg:ops', '--canary-soak-seconds', '200');
    const applying = begin('apply', id, '--yes', ...access());
    try {
      await applying.says(/ applied/);
      assert.equal(tokensOf(3), 'required');
      // A plan of another machine for the same host sees this one.
      const other = await atCollector('plan', '--json', '--host', 'ops-3');
      const checked = await atCollector('check', (JSON.parse(other.stdout) as Plan).id);
      assert.match(checked.stdout, new RegExp(`refuse\\s+alone\\s+The plan ${id} is under way for it`));
      const refusedMs = Date.now();
      await collector.report(3, 'ops', REFUSED);
      await eventually('optional again', () => tokensOf(3) === 'optional');
      const tookMs = Date.now() - refusedMs;
      const { code, stdout } = await applying.ended;
      assert.equal(code, 5, stdout);
      assert.match(stdout, /rolled_back\s+\/opt\/weekly\.sh called without a token on i-0+3 and was refused/);
      // The soak, which must not be waited for, takes 200 s.
      assert.ok(tookMs < 60_000, `it took ${tookMs} ms`);
      t.diagnostic(`the roll-back was sent ${tookMs} ms after the refused call`);
    } finally {
      applying.kill();
    }
  });

  it('counts no time while the collector is away, says so, and goes on when it is back', async () => {
    const { id } = await planned('--group', 'asg:db', '--canary-soak-seconds', '6');
    const applying = begin('apply', id, '--yes', ...access());
    try {
      await applying.says(/ applied/);
      await collector.stop();
      await applying.says(/collector cannot be asked.*nothing goes forward.*no time counts/i);
      const before = stateOf(id).steps['s1']!.watchedMs;
      // Longer than the whole soak.
      await sleep(7000);
      assert.equal(stateOf(id).steps['s1']!.watchedMs, before);
      assert.notEqual(stateOf(id).steps['s1']!.status, 'confirmed');
      await collector.begin();
      await applying.says(/collector answers again/i);
      const { code, stdout, stderr } = await applying.ended;
      assert.equal(code, 0, stdout + stderr);
      assert.match(stdout, /confirmed/);
    } finally {
      applying.kill();
    }
  });

  it('rolls back without the collector, and tells it later', async () => {
    const { id } = await planned('--group', 'asg:far');
    const applied = await enforce('apply', id, '--yes');
    assert.equal(applied.code, 0, applied.stderr);
    await collector.stop();
    try {
      const back = await enforce('rollback', id, '--reason', 'the test says so');
      assert.equal(back.code, 5, back.stdout + back.stderr);
      assert.equal(tokensOf(5), 'optional');
      assert.match(back.stderr, /progress could not be reported.*cannot be reached/);
      assert.match(
        (await begin('status', id).ended).stdout,
        /NOT REPORTED: The collector lacks the last \d+ events/,
      );
    } finally {
      await collector.begin();
    }
    const told = await enforce('status', id);
    assert.equal(told.code, 5, told.stderr);
    assert.doesNotMatch(told.stdout, /NOT REPORTED/);
    const [latest] = (await collector.audited()).filter(({ subject }) => subject === id);
    assert.match(latest!.detail!, /s1 rolled_back/);
  });

  it('says which role, token, certificate or address is wrong, and changes nothing', async () => {
    const before = api.calls.length;
    const plan = ['plan', '--group', 'asg:web'];
    const url = ['--collector', collector.url];
    const ca = ['--collector-ca-file', collector.caFile];
    const wrongFile = join(here, 'wrong');
    writeFileSync(wrongFile, 'imdsw_pwrong');
    const otherCa = (await selfSigned(mkdtempSync(join(here, 'ca-')), 'localhost')).certFile;
    const token = ['--collector-token-file', tokenFile];
    const made = new PlanStore(join(here, 'plans')).ids()[0]!;
    const old = createServer((_, response) => {
      response.writeHead(404, { 'content-type': 'application/problem+json' });
      response.end(JSON.stringify({ status: 404, detail: 'There is nothing at this path.' }));
    });
    await new Promise<void>((resolve) => old.listen(0, '127.0.0.1', resolve));
    const oldUrl = `http://127.0.0.1:${(old.address() as AddressInfo).port}`;
    try {
      for (const [args, code, says] of [
        [
          ['apply', made, '--yes', ...access(viewerFile)],
          3,
          /needs a token of the role admin.*"viewer" has the role viewer/,
        ],
        [[...plan, ...url, ...ca], 2, /--collector-token-file.*IMDSWATCH_COLLECTOR_TOKEN/],
        [
          [...plan, ...access(wrongFile)],
          3,
          /does not accept the token of .*wrong \(401\).*token create --kind person/,
        ],
        [[...plan, ...access(join(here, 'none'))], 2, /none cannot be read/],
        [[...plan, ...url, ...token], 1, /authority that this command does not know.*collector_ca_file/],
        [[...plan, ...url, ...token, '--collector-ca-file', otherCa], 1, /certificate/],
        [[...plan, '--collector', oldUrl, ...token], 1, /is too old: it has no GET \/enforcement/],
        [
          [...plan, '--collector', 'http://127.0.0.1:1', ...token],
          1,
          /cannot be reached.*No program listens there/,
        ],
        [
          [...plan, '--collector', collector.url.replace('https', 'http'), ...token],
          1,
          /cannot be reached|does not answer in HTTP/,
        ],
        [
          [...plan, ...access(), '--readiness-window-days', '1'],
          2,
          /--readiness-window-days cannot be combined/,
        ],
        [[...plan, ...token], 2, /without --collector/],
        [[...plan, ...url, ...ca, '--collector-token', 'secret'], 2, /--collector-token/],
      ] as const) {
        const ended = await begin(...args).ended;
        assert.equal(ended.code, code, `${args.join(' ')}: ${ended.stderr}`);
        assert.match(ended.stderr, says);
        assert.doesNotMatch(ended.stderr + ended.stdout, /imdsw_p/);
      }
    } finally {
      old.close();
    }
    assert.equal(api.calls.length, before, 'the cloud was asked');
    assert.ok(!readFileSync(join(here, 'plans', made, 'journal.jsonl'), 'utf8').includes('imdsw_p'));
  });
});
