/** Insight over the real store: reports of agents become hosts, groups, offenders and the overview. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { groupsTable } from '../../../../cli/terminal/groups_table.ts';
import { readinessTable } from '../../../../cli/terminal/readiness_table.ts';
import { reconciliationTable } from '../../../../cli/terminal/reconciliation_table.ts';
import * as hostModel from '../../../../collector/contract/host.ts';
import * as offenderModel from '../../../../collector/contract/offender.ts';
import { DAY_US, HOUR_US } from '../../../../collector/contract/window.ts';
import { Insight } from '../../../../collector/insight/insight.ts';
import { parseGroupBy } from '../../../../collector/insight/question.ts';
import { heardHost } from '../../../../collector/store/packed_heartbeat.ts';
import { toTimestamp } from '../../../../collector/store/time.ts';
import type { Call, HostFacts } from '../../../../protocol/call.ts';
import { makeCall, processFacts } from '../../../support/collector/calls.ts';
import { Bench } from '../../../support/collector/in_process.ts';
import { allOf } from '../../../support/collector/insight/all_of.ts';
import { heartbeatOf, newFindings, watched } from '../../../support/collector/insight/findings.ts';

const bench = new Bench();
after(() => bench.end());

/** Start of the last whole hour, because calls and counts are for whole hours. */
const NOW_US = Math.floor((Date.now() * 1000) / HOUR_US) * HOUR_US;
const WINDOW = { sinceUs: NOW_US - DAY_US, untilUs: NOW_US };
const ago = (us: number) => toTimestamp(NOW_US - us);
const hostOf = (id: string, name: string, more: Partial<HostFacts> = {}): HostFacts => ({
  id,
  name,
  'cloud.account.id': '123456789012',
  'cloud.region': 'eu-west-1',
  ...more,
});
const READY = hostOf('i-0000000000000000a', 'ready-1', { tags: { team: 'shop' } });
const BAD = hostOf('i-0000000000000000b', 'bad-1', { tags: { team: 'shop' } });
const HOP = hostOf('i-0000000000000000c', 'hop-1', { 'cloud.region': 'us-east-1' });
const OTHER = { id: 'laptop\u001b[31m', name: 'evil\u0007' };

async function fleet() {
  const findings = newFindings(bench);
  const at = (us: number, host: HostFacts, changes: Partial<Call> = {}) =>
    makeCall({ time: ago(us), host, ...changes });
  const container = {
    id: 'a'.repeat(64),
    name: 'app',
    'image.name': 'registry.example/app:1',
    runtime: 'docker',
  };
  await findings.put(
    at(2 * HOUR_US, READY, { 'imds.version': 2, 'imds.server_version': 2 }),
    at(2 * HOUR_US, BAD, { 'imds.category': 'credentials', 'imds.role': 'app' }),
    at(3 * HOUR_US, BAD),
    at(3 * DAY_US, BAD, { process: processFacts({ 'executable.path': '/usr/bin/old' }) }),
    at(HOUR_US, HOP, {
      container,
      systemd: null,
      'imds.fallback': 'token_unanswered',
      'imds.hops': 1,
      'imds.token_hop_limit': 1,
      'user_agent.original': 'Boto3/1.26.27 Botocore/1.29.27',
    }),
    at(HOUR_US, OTHER, { 'imds.version': 2, 'imds.server_version': 2 }),
    ...[READY, BAD, HOP].map(({ id }) => watched(id, ago(20 * DAY_US), toTimestamp(Date.now() * 1000))),
  );
  for (const { id } of [READY, BAD, HOP]) {
    await findings.store.heartbeats([heardHost(heartbeatOf(id, Date.now() * 1000), Date.now() * 1000)]);
  }
  const insight = new Insight(findings.store, {
    readinessWindowDays: 14,
    silentAfterSeconds: 300,
  });
  return { ...findings, insight };
}

describe('insight over a store', () => {
  let insight: Insight;
  before(async () => {
    insight = (await fleet()).insight;
  });

  it('hosts: verdicts cover the readiness window, with any window of the question', async () => {
    const hosts = await allOf(insight.allHosts({ window: WINDOW }));
    for (const host of hosts) hostModel.host.parse(host);
    assert.deepEqual(
      hosts.map(({ name, verdict, calls_v1, state }) => [name, verdict, calls_v1, state]),
      [
        ['bad-1', 'blocked', 3, 'online'],
        ['hop-1', 'fallback', 1, 'online'],
        ['evil\u0007', 'unproven', 0, 'silent'],
        ['ready-1', 'ready', 0, 'online'],
      ],
    );
    const narrow = { sinceUs: NOW_US - 60e6, untilUs: NOW_US };
    assert.equal(
      (await allOf(insight.allHosts({ window: narrow }, { ids: [BAD.id] })))[0]!.verdict,
      'blocked',
    );
  });

  it('one host: readiness with its evidence and its offenders', async () => {
    const bad = await insight.host(BAD.id, { window: WINDOW });
    hostModel.hostDetail.parse(bad);
    assert.deepEqual(
      bad!.readiness.offenders.map(({ title, severity }) => [title, severity]),
      [
        ['/usr/bin/curl', 'credentials'],
        ['/usr/bin/old', 'v1'],
      ],
    );
    assert.equal(bad!.heartbeat!.agent_version, '1.2.3');
    assert.equal(
      bad!.timeline.points.reduce((sum, { v1 }) => sum + v1, 0),
      2,
    );
    assert.equal(await insight.host('nobody', { window: WINDOW }), null);
  });

  it('offenders and one of them: advice, paths, processes, hosts', async () => {
    const found = await insight.offenders({ window: WINDOW });
    for (const offender of found) offenderModel.offender.parse(offender);
    assert.deepEqual(
      found.map(({ severity, advice_kind, container_image }) => [severity, advice_kind, container_image]),
      [
        ['credentials', 'raw_http', null],
        ['fallback', 'hop_limit', 'registry.example/app'],
      ],
    );
    const detail = await insight.offender(found[1]!.id, { window: WINDOW });
    offenderModel.offenderDetail.parse(detail);
    assert.match(detail!.advice.steps[0]!.code!, /i-0000000000000000c --region us-east-1 .*hop-limit 2/);
    assert.deepEqual(
      [detail!.all_hosts.length, detail!.processes.length, detail!.paths_v1[0]!.path],
      [1, 1, '/latest/meta-data/instance-id'],
    );
    assert.equal(
      found[1]!.trend_v1.reduce((sum, count) => sum + count, 0),
      1,
    );
    assert.deepEqual([found[0]!.hosts_freed, found[1]!.hosts_freed, detail!.hosts_freed], [1, 1, 1]);
    const week = { sinceUs: NOW_US - 7 * DAY_US, untilUs: NOW_US };
    const inWeek = await insight.offenders({ window: week });
    // Two workloads called from one host, so neither fix alone frees it.
    assert.deepEqual(
      new Map(inWeek.map(({ title, hosts_freed }) => [title, hosts_freed])).get('/usr/bin/old'),
      0,
    );
    for (const { id, hosts_freed } of inWeek) {
      assert.equal((await insight.offender(id, { window: week }))!.hosts_freed, hosts_freed);
    }
    const empty = await insight.offender(found[1]!.id, {
      window: { sinceUs: NOW_US, untilUs: NOW_US + HOUR_US },
    });
    assert.deepEqual([empty!.calls_v1, empty!.first_seen], [0, ago(HOUR_US)]);
    assert.equal(await insight.offender('ffffffffffffffff', { window: WINDOW }), null);
  });

  it('filters restrict everything to their hosts; groups count by a value', async () => {
    const shop = { tags: [{ key: 'team', value: 'shop' }] };
    assert.equal((await insight.offenders({ window: WINDOW }, { regions: ['us-east-1'] })).length, 1);
    assert.equal((await insight.overview({ window: WINDOW }, shop)).hosts.total, 2);
    assert.equal((await allOf(insight.allHosts({ window: WINDOW }, { accounts: [null] }))).length, 1);
    assert.equal((await allOf(insight.allHosts({ window: WINDOW }, { text: 'HOP' }))).length, 1);
    assert.equal((await allOf(insight.allHosts({ window: WINDOW }, { ids: [] }))).length, 0);
    const groups = await insight.readinessGroups(parseGroupBy('tag:team')!, { window: WINDOW });
    assert.deepEqual(
      groups.map(({ value, hosts, verdicts }) => [value, hosts, verdicts.ready, verdicts.blocked]),
      [
        ['shop', 2, 1, 1],
        [null, 2, 0, 0],
      ],
    );
    assert.match(
      groups[0]!.command!,
      /^aws ec2 .*i-0000000000000000a --region eu-west-1 --http-tokens required/,
    );
    assert.equal(parseGroupBy('colour'), null);
  });

  it('overview: calls of the window, verdicts, silent hosts', async () => {
    const overview = await insight.overview({ window: WINDOW });
    hostModel.overview.parse(overview);
    assert.deepEqual(overview.calls, { v1: 3, v2: 2, credentials_over_v1: 1, rejected_v1: 0 });
    assert.deepEqual(
      [overview.offenders, overview.hosts.silent, overview.silent_hosts[0]!.id],
      [2, 1, OTHER.id],
    );
  });

  it("the cloud's count: an equal count changes nothing, a higher one makes a ready host unproven", async () => {
    const { insight, store } = await fleet();
    const count = (hostId: string, noToken: number) => ({
      hostId,
      startUs: NOW_US - 4 * HOUR_US,
      endUs: NOW_US,
      noToken,
      noTokenRejected: null,
    });
    await store.putCloudCounts([count(READY.id, 0), count(BAD.id, 2), count('i-unknown', 1)]);
    assert.equal((await insight.host(READY.id, { window: WINDOW }))!.verdict, 'ready');
    await store.putCloudCounts([count(READY.id, 1)]);
    assert.equal((await insight.host(READY.id, { window: WINDOW }))!.verdict, 'unproven');
    assert.deepEqual(
      (await insight.reconciliation({ window: WINDOW })).map(({ id, name, result }) => [id, name, result]),
      [
        [READY.id, 'ready-1', 'cloud_saw_more'],
        ['i-unknown', null, 'cloud_saw_more'],
        [BAD.id, 'bad-1', 'agrees'],
      ],
    );
  });
});

describe('calls that are no use of IMDSv1, over a store', () => {
  const CALLER = { process: processFacts({ 'executable.path': '/opt/agent' }) };
  const REFUSED = { 'http.response.status_code': 401, 'imds.server_version': null };
  async function stored() {
    const findings = newFindings(bench);
    const call = (host: HostFacts, changes: Partial<Call>) =>
      makeCall({ time: ago(2 * HOUR_US), host, ...CALLER, ...changes });
    await findings.put(
      call(READY, { ...REFUSED, 'imds.fallback': 'adapted' }),
      call(READY, { 'imds.category': 'other-cloud', 'url.path': '/' }),
      call(READY, { ...REFUSED, 'imds.version': 2 }),
      call(READY, { 'imds.version': 2, 'imds.server_version': 2 }),
      call(BAD, {}),
      ...[READY, BAD].map(({ id }) => watched(id, ago(20 * DAY_US), toTimestamp(Date.now() * 1000))),
    );
    return {
      ...findings,
      insight: new Insight(findings.store, { readinessWindowDays: 14, silentAfterSeconds: 300 }),
    };
  }

  it('leave a host ready, with each call counted once in lists and series', async () => {
    const { insight } = await stored();
    const { readiness, timeline, calls_v1, offender_count } = (await insight.host(READY.id, {
      window: WINDOW,
    }))!;
    assert.deepEqual([readiness.verdict, calls_v1, offender_count], ['ready', 0, 0]);
    assert.deepEqual(
      [readiness.calls_v2, readiness.adapted_v1, readiness.refused_tokens, readiness.other_cloud_calls],
      [2, 1, 1, 1],
    );
    assert.deepEqual(
      readiness.offenders.map(({ severity }) => severity),
      ['stale_token'],
    );
    const sum = (field: 'v1' | 'v2') => timeline.points.reduce((total, point) => total + point[field], 0);
    assert.deepEqual([sum('v1'), sum('v2')], [0, 2]);
    const fleetwide = await insight.overview({ window: WINDOW });
    assert.deepEqual([fleetwide.calls.v1, fleetwide.calls.v2, fleetwide.offenders], [1, 2, 1]);
    assert.equal(
      fleetwide.timeline.points.reduce((total, { v2 }) => total + v2, 0),
      2,
    );
  });

  it('tell a host where tokens are optional that its caller adapts', async () => {
    const { insight } = await stored();
    const bad = (await insight.host(BAD.id, { window: WINDOW }))!;
    assert.equal(bad.verdict, 'blocked');
    assert.match(
      bad.readiness.reason,
      /On other hosts, where tokens are required, \/opt\/agent took a token/,
    );
    const ready = (await insight.host(READY.id, { window: WINDOW }))!;
    assert.doesNotMatch(ready.readiness.reason, /On other hosts/);
  });

  it("agree with the cloud's counts of successes and refusals without a token", async () => {
    const { insight, store } = await stored();
    const count = (noToken: number, noTokenRejected: number) => ({
      ...{ hostId: READY.id, startUs: NOW_US - 4 * HOUR_US, endUs: NOW_US },
      ...{ noToken, noTokenRejected },
    });
    for (const [noToken, refused, verdict] of [
      [1, 1, 'ready'],
      [2, 1, 'unproven'],
      [1, 2, 'unproven'],
    ] as const) {
      await store.putCloudCounts([count(noToken, refused)]);
      assert.equal((await insight.host(READY.id, { window: WINDOW }))!.verdict, verdict);
    }
  });
});

const run = promisify(execFile);
const MAIN = join(import.meta.dirname, '../../../../cli/main.ts');
const command = (...args: string[]) =>
  run(process.execPath, ['--disable-warning=ExperimentalWarning', MAIN, ...args]);

describe('the commands, beside a collector', () => {
  it('readiness: a table without control characters, JSON, one host, groups', async () => {
    const { dataDir, insight } = await fleet();
    const table = (await command('readiness', '--data-dir', dataDir)).stdout;
    assert.doesNotMatch(table.replaceAll('\n', ''), /\p{Cc}/u);
    assert.match(table, /bad-1 \(i-0000000000000000b\) .*blocked/);
    assert.match(table, /\$ aws ec2 modify-instance-metadata-options --instance-id i-0000000000000000a/);
    const one = JSON.parse(
      (await command('readiness', '--json', '--host', 'bad-1', '--data-dir', dataDir)).stdout,
    );
    assert.deepEqual([one.length, one[0].readiness.verdict], [1, 'blocked']);
    const groups = (await command('readiness', '--group-by', 'region', '--data-dir', dataDir)).stdout;
    assert.match(groups, /REGION .*VERDICT/);
    assert.match(groups, /eu-west-1 +blocked +\d of 2/);
    const group = JSON.parse(
      (await command('readiness', '--group', 'tag:team=shop', '--json', '--data-dir', dataDir)).stdout,
    );
    assert.deepEqual([group.verdict, group.members, group.offending], ['blocked', 2, 1]);
    const text = (await command('readiness', '--group', 'tag:team=shop', '--data-dir', dataDir)).stdout;
    assert.match(text, /tag:team=shop: blocked\n +1 of 2 instances called without a token/);
    await assert.rejects(command('readiness', '--group', 'asg:none', '--data-dir', dataDir), { code: 1 });
    await assert.rejects(command('readiness', '--group', 'asg:x', '--host', 'bad-1', '--data-dir', dataDir), {
      code: 2,
    });
    await assert.rejects(command('readiness', '--host', 'nobody', '--data-dir', dataDir), { code: 1 });
    await assert.rejects(command('readiness', '--group-by', 'colour', '--data-dir', dataDir), { code: 2 });
    const hosts = await allOf(insight.allReadiness({ window: WINDOW }));
    for (const columns of [10, 80, 300]) {
      for (const line of readinessTable(hosts, columns).split('\n')) {
        const isCommand = line.startsWith('    $ ');
        assert.ok(isCommand || [...line].length <= Math.min(160, Math.max(80, columns)), line);
      }
    }
    assert.match(groupsTable([], 'region', 80), /No instance/);
    assert.match(reconciliationTable([]), /None of the counts/);
  });

  it('reconcile: stores beside the running collector, names hosts that differ, and stores nothing of a bad file', async () => {
    const { dataDir, insight, store } = await fleet();
    const good = join(dataDir, 'counts.csv');
    const instances = join(dataDir, 'instances.json');
    const bad = join(dataDir, 'bad.json');
    const span = `${ago(4 * HOUR_US)},${ago(0)}`;
    writeFileSync(
      good,
      `instance_id,start,end,metadata_no_token\n${READY.id},${span},0\n${BAD.id},${span},3\n`,
    );
    const options = { HttpTokens: 'required', HttpPutResponseHopLimit: 1 };
    writeFileSync(
      instances,
      JSON.stringify({ Reservations: [{ Instances: [{ InstanceId: READY.id, MetadataOptions: options }] }] }),
    );
    writeFileSync(bad, '{"MetricDataResults": [');
    await assert.rejects(command('reconcile', good, bad, '--data-dir', dataDir), {
      code: 1,
      stderr: /bad\.json/,
    });
    assert.deepEqual(await store.cloudCounts(WINDOW, [READY.id, BAD.id]), []);
    const { stdout, stderr } = await command('reconcile', good, instances, '--data-dir', dataDir);
    assert.match(stderr, /Stored 2 counts and the metadata options of 1 instances/);
    assert.match(stdout, /bad-1 \(i-0000000000000000b\) +CLOUD SAW MORE +3 +2 +1 +4/);
    assert.match(stdout, /ready-1 .*agrees/);
    assert.equal((await insight.host(READY.id, { window: WINDOW }))!.verdict, 'enforced');
    await assert.rejects(command('reconcile', '--data-dir', dataDir), { code: 2, stderr: /FILE is missing/ });
    await assert.rejects(command('reconcile', join(dataDir, 'none'), '--data-dir', dataDir), { code: 1 });
  });
});
