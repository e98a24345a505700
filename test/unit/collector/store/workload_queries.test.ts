/** Releases of a workload in a real store: one workload, each release with its own sums. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { EMPTY_STATE } from '../../../../collector/alert/alert_state.ts';
import { evaluate } from '../../../../collector/alert/evaluate.ts';
import { Insight } from '../../../../collector/insight/insight.ts';
import { toMicroseconds } from '../../../../collector/store/time.ts';
import { identityId, workloadIdentity } from '../../../../collector/store/workload_identity.ts';
import { WorkloadQueries } from '../../../../collector/store/workload_queries.ts';
import { BUILT_IN_RULES, WorkloadRules } from '../../../../collector/store/workload_rules.ts';
import type { Call } from '../../../../protocol/call.ts';
import { makeCall, processFacts } from '../../../support/collector/calls.ts';
import { Bench } from '../../../support/collector/in_process.ts';
import { newFindings } from '../../../support/collector/insight/findings.ts';
import { chainOf, type Step } from '../../../support/collector/store/chains.ts';

const bench = new Bench();
after(() => bench.end());

const NOW = '2026-11-22T12:00:00.000000Z';
const window = { sinceUs: toMicroseconds('2026-11-01T00:00:00.000000Z'), untilUs: toMicroseconds(NOW) };
const insightOf = (store: ConstructorParameters<typeof Insight>[0], rules?: WorkloadRules) =>
  new Insight(store, {
    readinessWindowDays: 14,
    silentAfterSeconds: 300,
    now: () => Date.parse(NOW),
    ...(rules && { rules }),
  });
const at = (hour: number) => `2026-11-20T${String(hour).padStart(2, '0')}:00:00.000000Z`;
const shop = (release: string, changes: Partial<Call>) =>
  makeCall({
    process: processFacts({
      name: 'shop',
      'executable.path': `/opt/shop/${release}/bin/shop`,
      ancestors: [],
    }),
    ...changes,
  });

test('a new release is the same workload, and the old one stays visible while it still calls', async () => {
  const { store, put } = newFindings(bench);
  const other = { id: 'i-2', name: 'web-2' };
  await put(
    shop('1.2.3', { time: at(1) }),
    shop('1.2.3', { time: at(9), host: other }),
    shop('1.3.0', { time: at(5), 'imds.version': 2 }),
    shop('1.3.0', { time: at(10), 'imds.version': 2 }),
  );
  const insight = insightOf(store);
  const [only, ...rest] = await insight.offenders({ window });
  assert.equal(rest.length, 0);
  assert.deepEqual([only!.calls_v1, only!.calls_v2, only!.host_count], [2, 2, 2]);
  assert.equal(
    only!.executable,
    '/opt/shop/1.3.0/bin/shop',
    'the release that called last names the workload',
  );
  assert.equal(only!.severity, 'v1', 'a fixed release hides no old one');
  const releases = only!.releases.map(({ release, calls_v1, calls_v2, last_v1 }) => [
    release,
    calls_v1,
    calls_v2,
    last_v1,
  ]);
  assert.deepEqual(releases, [
    ['1.3.0', 0, 2, null],
    ['1.2.3', 2, 0, at(9)],
  ]);
  const detail = await insight.offender(only!.id, { window });
  assert.deepEqual([detail!.calls_v1, detail!.processes.length, detail!.all_hosts.length], [2, 3, 2]);
  assert.equal(
    detail!.paths_v1.reduce((sum, { calls }) => sum + calls, 0),
    2,
  );
  assert.equal(
    detail!.timeline.points.reduce((sum, { v1 }) => sum + v1, 0),
    2,
  );
  // A link of an earlier release of imdswatch.
  const oldId = only!.releases[1]!.id;
  assert.notEqual(oldId, only!.id);
  assert.deepEqual(await insight.offender(oldId, { window }), detail);
  const queries = new WorkloadQueries(store, BUILT_IN_RULES);
  const filter = { window, hosts: null, version: null, categories: null, outcomes: null, path: null };
  const { calls } = await queries.calls({ ...filter, identities: [only!.id] }, 10, null);
  assert.equal(calls.length, 4);
  for (const call of calls) assert.equal(BUILT_IN_RULES.workloadIdOfCall(call), only!.id);
  const host = await insight.host('i-2', { window });
  assert.equal(host!.readiness.offenders.length, 1);
  assert.equal(host!.readiness.offenders[0]!.id, only!.id);
});

test('tags of one image are releases; rows of earlier releases of imdswatch, without a tag, are one of them', async () => {
  const { store, put } = newFindings(bench);
  const container = (image: string) => ({
    id: 'a'.repeat(64),
    name: 'shop',
    'image.name': image,
    runtime: 'docker',
  });
  const facts = (image: string) => ({
    process: processFacts({ 'executable.path': '/app/run', ancestors: [] }),
    container: container(image),
  });
  await put(
    makeCall({ ...facts('reg.example/shop'), time: at(1) }),
    makeCall({ ...facts('reg.example/shop:1.0'), time: at(2) }),
    makeCall({ ...facts('reg.example/shop:2.0'), time: at(3) }),
    makeCall({ ...facts('reg.example/cart:2.0'), time: at(3) }),
  );
  const offenders = await insightOf(store).offenders({ window });
  assert.deepEqual(
    offenders
      .map(({ container_image, releases }) => [container_image, releases.map(({ image_tag }) => image_tag)])
      .sort(),
    [
      ['reg.example/cart', ['2.0']],
      ['reg.example/shop', ['2.0', '1.0', null]],
    ],
  );
});

test('two scripts that run curl are two offenders, and a third raises an alert; helpers are no releases', async () => {
  const { store, put } = newFindings(bench);
  const curl = (script: string, changes: Partial<Call> = {}, helper: Step = '/usr/bin/curl: curl x') =>
    makeCall({
      process: chainOf(helper, `/usr/bin/bash: bash ${script}`, '/usr/sbin/cron: cron -f'),
      time: at(1),
      ...changes,
    });
  await put(
    curl('/opt/a.sh'),
    curl('/opt/a.sh', { time: at(2) }, '/usr/bin/wget: wget x'),
    curl('/opt/b.sh'),
  );
  const insight = insightOf(store);
  const first = await insight.offenders({ window });
  const listed = first.map(({ title, executable, helpers, releases }) => [
    title,
    executable,
    helpers,
    releases.length,
  ]);
  assert.deepEqual(listed.sort(), [
    ['/opt/a.sh', '/usr/bin/bash', ['/usr/bin/wget', '/usr/bin/curl'], 1],
    ['/opt/b.sh', '/usr/bin/bash', ['/usr/bin/curl'], 1],
  ]);
  const nowUs = toMicroseconds(NOW);
  const { after: known } = evaluate(
    EMPTY_STATE,
    { offenders: first, endedTriage: [], hosts: null, groups: null },
    nowUs,
  );
  assert.deepEqual(
    evaluate(known, { offenders: first, endedTriage: [], hosts: null, groups: null }, nowUs).alerts,
    [],
  );
  await put(curl('/opt/c.sh'));
  const { alerts } = evaluate(
    known,
    { offenders: await insight.offenders({ window }), endedTriage: [], hosts: null, groups: null },
    nowUs,
  );
  assert.deepEqual(
    alerts.map(({ rule, title }) => [rule, title]),
    [['new_offender', 'New IMDSv1 caller: /opt/c.sh']],
  );
});

test('an offender that was reported under the id of its release is not reported again', async () => {
  const { store, put } = newFindings(bench);
  const call = shop('1.2.3', { time: at(1) });
  await put(call);
  const oldId = identityId(workloadIdentity(call, call.host.id, call['source.address']));
  const before = {
    ...EMPTY_STATE,
    begun: { offenders: true, hosts: false, groups: false },
    offenders: new Map([[oldId, { credentials: null }]]),
  };
  const nowUs = toMicroseconds(NOW);
  const offenders = await insightOf(store).offenders({ window });
  assert.notEqual(offenders[0]!.id, oldId);
  const { alerts, after: state } = evaluate(
    before,
    { offenders, endedTriage: [], hosts: null, groups: null },
    nowUs,
  );
  assert.deepEqual(alerts, []);
  assert.ok(state.offenders.has(offenders[0]!.id));
});

test('a unit and a cron entry that run helpers are named by what they are', async () => {
  const { store, put } = newFindings(bench);
  const unit = { unit: 'tags@a.service', slice: 'system.slice' };
  const init = '/usr/lib/systemd/systemd: /sbin/init';
  const cron = { unit: null, slice: 'user.slice' };
  await put(
    makeCall({ process: chainOf('/usr/bin/curl: curl x', init), systemd: unit, time: at(1) }),
    makeCall({ process: chainOf('/usr/bin/wget: wget x', init), systemd: unit, time: at(2) }),
    makeCall({
      process: chainOf('/usr/bin/curl: curl x', '/usr/sbin/crond: crond'),
      systemd: cron,
      time: at(2),
    }),
    makeCall({
      process: chainOf('/usr/bin/curl: curl y', '/usr/sbin/crond: crond'),
      systemd: cron,
      time: at(2),
    }),
  );
  const offenders = await insightOf(store).offenders({ window });
  assert.deepEqual(offenders.map(({ title, calls_v1 }) => [title, calls_v1]).sort(), [
    ['cron: curl x', 1],
    ['cron: curl y', 1],
    ['tags@.service', 2],
  ]);
});

test('a pattern of the configuration joins what was stored before', async () => {
  const { store, put } = newFindings(bench);
  const run = (release: string) =>
    makeCall({
      process: processFacts({ 'executable.path': `/srv/x/${release}/run`, ancestors: [] }),
      time: at(1),
    });
  await put(run('blue'), run('green'));
  assert.equal((await insightOf(store).offenders({ window })).length, 2);
  const rules = new WorkloadRules({ helperPrograms: [], releasePatterns: ['/srv/x/{release}'] });
  const [only, ...rest] = await insightOf(store, rules).offenders({ window });
  assert.equal(rest.length, 0);
  assert.deepEqual(only!.releases.map(({ release }) => release).sort(), ['blue', 'green']);
});
