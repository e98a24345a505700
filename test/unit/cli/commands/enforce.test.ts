/** `imdswatch enforce` as an operator runs it: over a real store, with the real SDK, against the lab's cloud. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { openAdmin } from '../../../../collector/admin/admin_schema.ts';
import { SqliteAdminStore } from '../../../../collector/admin/sqlite/sqlite_admin_store.ts';
import type { PlanDetail } from '../../../../collector/contract/plan.ts';
import { DAY_US } from '../../../../collector/contract/window.ts';
import { heardHost } from '../../../../collector/store/packed_heartbeat.ts';
import { toTimestamp } from '../../../../collector/store/time.ts';
import type { Plan } from '../../../../enforce/plan.ts';
import { addInstance, type LabRegion } from '../../../../lab/cloud/state.ts';
import { CloudApi } from '../../../../lab/cloud_api.ts';
import { makeCall, processFacts } from '../../../support/collector/calls.ts';
import { Bench } from '../../../support/collector/in_process.ts';
import {
  type Findings,
  heartbeatOf,
  newFindings,
  watched,
} from '../../../support/collector/insight/findings.ts';
import { ACCOUNT, REGION } from '../../../support/enforce/lab_cloud.ts';
import { instanceId } from '../../../support/enforce/plans.ts';
import { type StartedProgram, startProgram } from '../../../support/enforce/program.ts';

const MAIN = join(import.meta.dirname, '../../../../cli/main.ts');
const COMMAND = [process.execPath, '--disable-warning=ExperimentalWarning', MAIN, 'enforce'];
/** Coverage is there for this long after the start, so that soaks go on while the commands run. */
const AHEAD_US = 240e6;
const POLICY = ['--soak-seconds', '1', '--canary-soak-seconds', '1', '--max-share', '1'];

describe('imdswatch enforce', () => {
  const bench = new Bench();
  let findings: Findings;
  let api: CloudApi;
  let region: LabRegion;
  const startUs = Date.now() * 1000;

  before(async () => {
    api = await CloudApi.start();
    region = api.state.region(ACCOUNT, REGION);
    findings = newFindings(bench);
    openAdmin(findings.dataDir).close();
    for (const number of [1, 2]) await addHost(number, 'web', {});
    await addHost(3, 'db', { 'imds.version': 1, 'imds.server_version': 1 });
    await addHost(4, 'ops', {});
    await addHost(5, 'ops', {});
    for (const name of ['web', 'db', 'ops']) {
      const numbers = { web: [1, 2], db: [3], ops: [4, 5] }[name]!;
      region.groups.set(name, {
        name,
        template: null,
        launchConfiguration: 'old',
        mixed: null,
        instances: numbers.map(instanceId),
      });
    }
  });
  after(async () => {
    await bench.end();
    await api.close();
  });

  /** Adds an instance whose agent has watched it for three days, and that made one call. */
  async function addHost(number: number, group: string, call: object): Promise<void> {
    const id = instanceId(number);
    addInstance(region, id, { tags: { 'aws:autoscaling:groupName': group } });
    const ago = (us: number) => toTimestamp(startUs - us);
    await findings.put(
      makeCall({
        host: hostOf(number, group),
        time: ago(DAY_US),
        'imds.version': 2,
        'imds.server_version': 2,
        process: processFacts({ script: '/opt/poll.py' }),
        ...call,
      }),
      watched(id, ago(3 * DAY_US), ago(-AHEAD_US)),
    );
    await findings.store.heartbeats([heardHost(heartbeatOf(id, startUs), startUs)]);
  }

  function hostOf(number: number, group: string) {
    return {
      id: instanceId(number),
      name: `${group}-${number}`,
      'cloud.account.id': ACCOUNT,
      'cloud.region': REGION,
      tags: { 'aws:autoscaling:groupName': group },
    };
  }

  function begin(...args: string[]): StartedProgram {
    const own = Object.entries(process.env).filter(([name]) => !/^(IMDSWATCH|AWS)_/.test(name));
    const env = {
      ...Object.fromEntries(own),
      ...api.environment(ACCOUNT),
      IMDSWATCH_READINESS_WINDOW_DAYS: '2',
    };
    return startProgram([...COMMAND, ...args, '--data-dir', findings.dataDir], env);
  }

  const enforce = (...args: string[]) => begin(...args).ended;

  async function planned(...args: string[]): Promise<Plan> {
    const { code, stdout, stderr } = await enforce('plan', '--json', ...POLICY, ...args);
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout) as Plan;
  }

  async function until(condition: () => boolean): Promise<void> {
    for (let tries = 0; tries < 2400; tries += 1) {
      if (condition()) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.fail('It did not happen within two minutes.');
  }

  /** The plan as the collector has it. */
  async function reported(id: string): Promise<PlanDetail | null> {
    const admin = openAdmin(findings.dataDir);
    try {
      return await new SqliteAdminStore(admin).plans.one(id);
    } finally {
      admin.close();
    }
  }

  const tokensOf = (...numbers: number[]) =>
    numbers.map((number) => region.instances.get(instanceId(number))!.options.HttpTokens);

  it('plans ready hosts, and says of the others why not', async () => {
    const plan = await planned('--group', 'asg:web,asg:db');
    assert.deepEqual(
      plan.steps.map(({ role, wave, group }) => `${role} ${wave} ${group}`),
      ['canary 1 asg:web', 'wave 2 asg:web'],
    );
    const [group] = plan.groups;
    assert.deepEqual([group!.id, group!.size, group!.hosts], ['asg:web', 2, [instanceId(1), instanceId(2)]]);
    assert.equal(group!.evidence!.verdict, 'unproven', 'no start was seen');
    assert.match(plan.left_out[0]!.reason, /^It is blocked\. .*\/opt\/poll\.py/);

    const blocked = await enforce('plan', '--host', 'db-3');
    assert.equal(blocked.code, 4);
    assert.match(blocked.stdout, /db-3: It is blocked/);
    const nobody = await enforce('plan', '--host', 'nobody');
    assert.equal(nobody.code, 1);
    assert.equal((await enforce('plan')).code, 2);
  });

  it('changes nothing without --yes, and carries the plan out with it', async () => {
    const { id } = await planned('--group', 'asg:web');
    const checked = await enforce('check', id);
    assert.equal(checked.code, 0, checked.stdout + checked.stderr);
    assert.match(checked.stdout, /pass\s+way_back/);
    const unsure = await enforce('apply', id);
    assert.equal(unsure.code, 2);
    assert.deepEqual(tokensOf(1, 2), ['optional', 'optional']);

    assert.deepEqual([(await reported(id))!.phase, (await reported(id))!.states.planned], ['made', 2]);
    const applied = await enforce('apply', id, '--yes');
    assert.equal(applied.code, 0, applied.stdout + applied.stderr);
    const done = (await reported(id))!;
    assert.deepEqual([done.phase, done.is_carried_out, done.states.confirmed], ['ended', false, 2]);
    assert.match(done.begun_by!, /^command:/);
    assert.deepEqual(tokensOf(1, 2), ['required', 'required']);
    assert.equal((applied.stdout.match(/confirmed/g) ?? []).length, 2);
    const writes = api.calls.filter(
      ({ action, parameters }) =>
        action === 'ModifyInstanceMetadataOptions' && parameters['DryRun'] === undefined,
    );
    assert.ok(writes.length > 0);
    assert.equal((await enforce('apply', id, '--yes')).code, 1);
    assert.match((await enforce('status', id)).stdout, /Everything is confirmed\. Next: .*\(0 by now\)/);

    assert.equal((await enforce('drift')).code, 0);
    region.instances.get(instanceId(2))!.options.HttpTokens = 'optional';
    const drifted = await enforce('drift', id);
    assert.equal(drifted.code, 6);
    assert.match(drifted.stdout, /Somebody has undone the change/);
    region.instances.get(instanceId(2))!.options.HttpTokens = 'required';

    const back = await enforce('rollback', id, '--reason', 'the test says so');
    assert.equal(back.code, 5, back.stdout + back.stderr);
    assert.deepEqual(tokensOf(1, 2), ['optional', 'optional']);
    const admin = openAdmin(findings.dataDir);
    try {
      const entries = await new SqliteAdminStore(admin).auditLog.newest({ limit: 100 });
      const actions = entries.map(({ action }) => action);
      for (const action of ['enforce.plan', 'enforce.sending', 'enforce.answered'])
        assert.ok(actions.includes(action));
    } finally {
      admin.close();
    }
  });

  it('rolls back within seconds when an agent reports a refused call, and names the caller', async () => {
    const { id } = await planned('--group', 'asg:ops', '--canary-soak-seconds', '200');
    const applying = begin('apply', id, '--yes');
    try {
      await applying.says(/ applied/);
      assert.deepEqual(tokensOf(4, 5), ['required', 'optional']);
      const refusedMs = Date.now();
      await findings.put(
        makeCall({
          host: hostOf(4, 'ops'),
          time: toTimestamp(refusedMs * 1000),
          'imds.version': 1,
          'imds.server_version': 2,
          'http.response.status_code': 401,
          outcome: 'answered',
          process: processFacts({ script: '/opt/weekly.sh' }),
        }),
      );
      await until(() => tokensOf(4)[0] === 'optional');
      const tookMs = Date.now() - refusedMs;
      const { code, stdout } = await applying.ended;
      assert.equal(code, 5, stdout);
      // The soak, which must not be waited for, takes 200 s.
      assert.ok(tookMs < 60_000, `it took ${tookMs} ms`);
      assert.match(stdout, /rolled_back\s+\/opt\/weekly\.sh called without a token on i-0+4 and was refused/);
      assert.match(stdout, /held/);
      const shown = (await reported(id))!;
      assert.deepEqual([shown.states.rolled_back, shown.states.held, shown.phase], [1, 1, 'ended']);
      assert.deepEqual(
        shown.refusals.map(({ host, caller, rolled_back, held }) => [host, caller, rolled_back, held]),
        [[instanceId(4), '/opt/weekly.sh', 1, 1]],
      );
    } finally {
      applying.kill();
    }
    const status = await enforce('status', id);
    assert.equal(status.code, 5);
    assert.match(status.stdout, /paused: \/opt\/weekly\.sh called without a token/);
  });

  it('follows the orders of another process, and goes on after kill -9', async () => {
    // The caller of the test before has made the group blocked, which the plan must respect.
    const refused = await enforce('plan', '--group', 'asg:ops');
    assert.equal(refused.code, 4);

    const { id } = await planned('--host', 'web-1', '--canary-soak-seconds', '200');
    const first = begin('apply', id, '--yes');
    await first.says(/ applied/);
    const second = await enforce('resume', id);
    assert.match(second.stderr, /carries out the plan/);
    const third = await enforce('apply', id, '--yes');
    assert.equal(third.code, 1);
    assert.match(third.stderr, /The process \d+ carries out the plan/);
    first.kill();
    await first.ended;
    assert.equal(tokensOf(1)[0], 'required');

    const resumed = begin('resume', id);
    await resumed.says(/taken over/);
    assert.equal((await enforce('confirm', id, 's9')).code, 2);
    assert.equal((await enforce('confirm', id)).code, 0);
    const ended = await resumed.ended;
    assert.equal(ended.code, 0, ended.stdout + ended.stderr);
    assert.match(ended.stdout, /confirmed\s+Confirmed by command:/);

    assert.equal((await enforce('drift', id, '--no-cloud')).code, 0);
    await findings.put(
      makeCall({
        host: hostOf(1, 'web'),
        time: toTimestamp((Date.now() + 1000) * 1000),
        'imds.version': 1,
        'imds.server_version': 1,
        process: processFacts({ script: '/opt/release.sh' }),
      }),
    );
    const undone = await enforce('drift', id, '--no-cloud');
    assert.equal(undone.code, 6);
    assert.match(undone.stdout, /\/opt\/release\.sh called without a token at .* and was answered/);
  });

  it('exports a plan and prints policies, and changes nothing', async () => {
    const { id } = await planned('--host', 'web-2');
    const before = api.calls.length;
    const script = await enforce('export', id, '--as', 'aws-cli');
    assert.match(
      script.stdout,
      /^aws ec2 modify-instance-metadata-options --region eu-central-1 --instance-id i-0+2 --http-tokens required$/m,
    );
    const runbook = await enforce('export', id, '--as', 'ssm');
    assert.equal(JSON.parse(runbook.stdout).schemaVersion, '0.3');
    const policy = await enforce('prevent', 'scp');
    assert.equal(JSON.parse(policy.stdout).Version, '2012-10-17');
    assert.match(policy.stderr, /nobody in its accounts can go back/);
    // Plans of the tests before have changed hosts of the account just now, and have rolled some back.
    assert.match(
      policy.stderr,
      /^! Too early for 111111111111 in eu-central-1: 0 of 14 days\. \d+ changes are not confirmed: .* is \w+: /m,
    );
    assert.doesNotMatch((await enforce('prevent', 'config-rules')).stderr, /Too early/);
    assert.equal((await enforce('prevent', 'nothing')).code, 2);
    assert.equal(api.calls.length, before);
  });
});
