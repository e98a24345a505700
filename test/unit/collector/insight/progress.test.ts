/** Triage, what to fix first and the burn-down over real stores: findings and admin data. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { openAdmin } from '../../../../collector/admin/admin_schema.ts';
import { SqliteAdminStore } from '../../../../collector/admin/sqlite/sqlite_admin_store.ts';
import type { TriageChange } from '../../../../collector/contract/triage.ts';
import { DAY_US, HOUR_US } from '../../../../collector/contract/window.ts';
import { Insight } from '../../../../collector/insight/insight.ts';
import { ownerRule } from '../../../../collector/insight/owner_rules.ts';
import { ownersByRules } from '../../../../collector/insight/owners.ts';
import { toMicroseconds, toTimestamp } from '../../../../collector/store/time.ts';
import { identityId, workloadIdentity } from '../../../../collector/store/workload_identity.ts';
import { WorkloadRules } from '../../../../collector/store/workload_rules.ts';
import type { Call, HostFacts } from '../../../../protocol/call.ts';
import { makeCall, processFacts } from '../../../support/collector/calls.ts';
import { Bench } from '../../../support/collector/in_process.ts';
import { allOf } from '../../../support/collector/insight/all_of.ts';
import { newFindings, watched } from '../../../support/collector/insight/findings.ts';

const bench = new Bench();
after(() => bench.end());

/** The store takes no calls of the future, so the tests look back from the real now. */
const NOW_US = Math.floor((Date.now() * 1000) / HOUR_US) * HOUR_US;
const WINDOW = { sinceUs: NOW_US - 14 * DAY_US, untilUs: NOW_US };
const ADA = { name: 'ada', sourceAddress: null };
const ago = (us: number) => toTimestamp(NOW_US - us);
const hostOf = (id: string, tags?: Record<string, string>): HostFacts => ({
  id,
  name: id,
  ...(tags && { tags }),
});
const [A, B, C] = [hostOf('i-a', { team: 'shop' }), hostOf('i-b', { team: 'shop' }), hostOf('i-c')];
const callOf = (program: string, host: HostFacts, agoUs: number, changes: Partial<Call> = {}) =>
  makeCall({
    time: ago(agoUs),
    host,
    systemd: null,
    process: processFacts({ name: 'x', 'executable.path': program, ancestors: [] }),
    ...changes,
  });

function fleet({ nowUs = NOW_US, rules = [] as string[], releasePatterns = [] as string[] } = {}) {
  const findings = newFindings(bench);
  const admin = openAdmin(findings.dataDir);
  bench.atEnd(() => admin.close());
  const { triage, auditLog } = new SqliteAdminStore(admin);
  const clock = { nowUs };
  const insightWith = (patterns: string[]) =>
    new Insight(findings.store, {
      readinessWindowDays: 14,
      silentAfterSeconds: 300,
      now: () => clock.nowUs / 1000,
      triage: () => triage.all(),
      owners: () => ownersByRules(rules.map(ownerRule), 'setting'),
      rules: new WorkloadRules({ helperPrograms: [], releasePatterns: patterns }),
    });
  const insight = insightWith(releasePatterns);
  const find = async (title: string, from = insight) =>
    (await from.offenders({ window: WINDOW })).find((offender) => offender.title === title)!;
  const set = async (title: string, change: TriageChange, atUs: number, from = insight) => {
    const { id } = await find(title, from);
    const joined = (await from.triageRecords(id)).filter((each) => each !== id);
    await triage.change({ workload: id, title, joined }, change, ADA, atUs / 1000);
    return id;
  };
  const verdicts = async () =>
    Object.fromEntries(
      (await allOf(insight.allHosts({ window: WINDOW }))).map(({ id, verdict }) => [id, verdict]),
    );
  return { ...findings, insight, insightWith, triage, auditLog, find, set, verdicts, clock };
}

test('a fixed workload reopens with a call on any host and of any release, whatever is asked', async () => {
  const { put, insight, find, set } = fleet();
  await put(
    callOf('/opt/shop/1.2.3/bin/shop', A, 5 * HOUR_US),
    callOf('/opt/shop/1.2.3/bin/shop', B, 6 * HOUR_US),
  );
  await set('/opt/shop/1.2.3/bin/shop', { state: 'fixed' }, NOW_US - 4 * HOUR_US);
  assert.equal((await find('/opt/shop/1.2.3/bin/shop')).triage.state, 'fixed');
  assert.deepEqual(await insight.endedTriage(), []);

  await put(callOf('/opt/shop/1.2.4/bin/shop', B, 3 * HOUR_US));
  const { id, triage } = await find('/opt/shop/1.2.4/bin/shop');
  assert.deepEqual([triage.state, triage.ended], ['open', 'called_again']);
  assert.deepEqual(
    (await insight.endedTriage()).map((each) => [each.id, each.triage.ended]),
    [[id, 'called_again']],
  );
  // Neither a filter on the host that did not call again nor an older window hides it.
  const [onA] = await insight.offenders({ window: WINDOW }, { ids: ['i-a'] });
  const before = { sinceUs: NOW_US - 7 * HOUR_US, untilUs: NOW_US - 5 * HOUR_US };
  const [earlier] = await insight.offenders({ window: before });
  assert.deepEqual([onA!.triage.ended, earlier!.triage.ended], ['called_again', 'called_again']);
  assert.equal((await insight.offender(id, { window: before }))!.triage.ended, 'called_again');
});

test('an exception and a fix make no host ready, and take nothing from one that is', async () => {
  const { put, set, verdicts, clock, find } = fleet();
  await put(
    callOf('/opt/bad', A, 5 * HOUR_US),
    callOf('/opt/good', B, 5 * HOUR_US, { 'imds.version': 2, 'imds.server_version': 2 }),
    ...[A, B].map(({ id }) => watched(id, ago(20 * DAY_US), ago(0))),
  );
  const untouched = await verdicts();
  assert.deepEqual(untouched, { 'i-a': 'blocked', 'i-b': 'ready' });
  const until = ago(-DAY_US);
  const changes: TriageChange[] = [
    { state: 'exception', until, reason: 'The vendor ships in May.' },
    { state: 'fixed' },
    { state: 'in_progress' },
    { state: 'open' },
  ];
  for (const change of changes) {
    await set('/opt/bad', change, NOW_US - HOUR_US);
    await set('/opt/good', change, NOW_US - HOUR_US);
    assert.deepEqual(await verdicts(), untouched, change.state);
  }
  await set('/opt/bad', changes[0]!, NOW_US - HOUR_US);
  assert.equal((await find('/opt/bad')).triage.state, 'exception');
  clock.nowUs = NOW_US + DAY_US;
  assert.deepEqual((await find('/opt/bad')).triage.ended, 'exception_over');
});

test('state set before a pattern joined two workloads: the least done counts, until somebody sets both', async () => {
  const { put, set, insight, insightWith, triage } = fleet();
  await put(callOf('/srv/blue/run', A, 5 * HOUR_US), callOf('/srv/green/run', B, 6 * HOUR_US));
  await set('/srv/blue/run', { state: 'fixed', owner: 'blue' }, NOW_US - HOUR_US);
  await set('/srv/green/run', { state: 'in_progress', owner: 'green' }, NOW_US - HOUR_US);
  assert.equal((await insight.offenders({ window: WINDOW })).length, 2);
  const joined = insightWith(['/srv/{release}/run']);
  const [only, ...rest] = await joined.offenders({ window: WINDOW });
  assert.equal(rest.length, 0);
  assert.deepEqual([only!.triage.state, only!.triage.owner], ['in_progress', 'green']);
  await set(only!.title, { state: 'fixed' }, NOW_US - HOUR_US, joined);
  assert.deepEqual(
    (await triage.all()).map(({ workload, state, owner }) => [workload, state, owner]),
    [[only!.id, 'fixed', 'green']],
  );
});

test('an id of a release that is stored as a triage belongs to its workload', async () => {
  const { put, triage, find } = fleet();
  const call = callOf('/opt/shop/1.2.3/bin/shop', A, 5 * HOUR_US);
  await put(call);
  const releaseId = identityId(workloadIdentity(call, call.host.id, call['source.address']));
  await triage.change(
    { workload: releaseId, title: 'shop', joined: [] },
    { owner: 'shop' },
    ADA,
    NOW_US / 1000,
  );
  const offender = await find('/opt/shop/1.2.3/bin/shop');
  assert.notEqual(offender.id, releaseId);
  assert.equal(offender.triage.owner, 'shop');
});

test('a change keeps what it leaves out, is in the audit log, and is refused where it would be over at once', async () => {
  const { put, find, set, auditLog } = fleet();
  await put(callOf('/opt/bad', A, 5 * HOUR_US));
  const ticket = 'https://tickets.example.com/OPS-1';
  await set(
    '/opt/bad',
    { state: 'in_progress', owner: 'shop', ticket, notes: 'Ask Bob.' },
    NOW_US - 2 * HOUR_US,
  );
  await set('/opt/bad', { notes: null, owner: 'payments' }, NOW_US - HOUR_US);
  const { triage } = await find('/opt/bad');
  assert.deepEqual(
    [triage.state, triage.set, triage.owner, triage.ticket, triage.notes],
    ['in_progress', ago(2 * HOUR_US), 'payments', ticket, null],
  );
  const entries = await auditLog.newest({ limit: 10 });
  assert.deepEqual(
    entries.map(({ actor, action, detail }) => [actor, action, detail]),
    [
      ['ada', 'triage.set', '"/opt/bad": owner payments, notes removed'],
      ['ada', 'triage.set', `"/opt/bad": state in_progress, owner shop, ticket ${ticket}, notes changed`],
    ],
  );
  const over: TriageChange = { state: 'exception', until: ago(HOUR_US), reason: 'late' };
  await assert.rejects(set('/opt/bad', over, NOW_US), { exitCode: 2, message: /has ended already/ });
});

test('an owner comes from a rule where nobody set one', async () => {
  const { put, find, set } = fleet({ rules: ['path:/opt/db*=storage', 'tag:team'] });
  await put(
    callOf('/opt/web', A, 5 * HOUR_US),
    callOf('/opt/web', B, 5 * HOUR_US),
    callOf('/opt/db1', A, 5 * HOUR_US),
    callOf('/opt/other', A, 5 * HOUR_US),
    callOf('/opt/other', C, 5 * HOUR_US),
  );
  const ownerOf = async (title: string) => {
    const { owner, owner_by: by } = (await find(title)).triage;
    return [owner, by];
  };
  assert.deepEqual(await ownerOf('/opt/web'), ['shop', 'rule']);
  assert.deepEqual(await ownerOf('/opt/db1'), ['storage', 'rule']);
  assert.deepEqual(await ownerOf('/opt/other'), [null, null]);
  await set('/opt/web', { owner: 'ada' }, NOW_US);
  assert.deepEqual(await ownerOf('/opt/web'), ['ada', 'person']);
});

test('what to fix first counts hosts by verdict, and leaves fixed, excepted and unknown callers out', async () => {
  const { put, set, insight, store } = fleet();
  const many = Array.from({ length: 4 }, (_, index) => ({
    ...hostOf(`i-m${index}`, { 'aws:autoscaling:groupName': 'web' }),
    'cloud.account.id': '123456789012',
    'cloud.region': 'eu-west-1',
  }));
  const unknown = {
    process: null,
    'attribution.method': 'none',
    'attribution.confidence': 'none',
  } as Partial<Call>;
  await put(
    ...many.map((host) => callOf('/opt/many', host, 5 * HOUR_US)),
    callOf('/opt/few', many[0]!, 5 * HOUR_US),
    callOf('/opt/few', A, 5 * HOUR_US),
    callOf('/opt/excepted', B, 5 * HOUR_US),
    callOf('/opt/few', B, 5 * HOUR_US),
    callOf('/opt/fixed', C, 5 * HOUR_US),
    callOf('/x', hostOf('i-unknown'), 5 * HOUR_US, unknown),
    callOf('/opt/refused', hostOf('i-refused'), 5 * HOUR_US, { 'http.status': 401 } as Partial<Call>),
    ...many.map(({ id }) => watched(id, ago(20 * DAY_US), ago(0))),
  );
  await set('/opt/excepted', { state: 'exception', until: ago(-DAY_US), reason: 'why' }, NOW_US - HOUR_US);
  await set('/opt/fixed', { state: 'fixed' }, NOW_US - HOUR_US);
  const answer = await insight.fixFirst({ window: WINDOW });
  const verdicts = (await allOf(insight.allHosts({ window: WINDOW }))).map(({ verdict }) => verdict);
  assert.equal(
    answer.held_hosts,
    verdicts.filter((each) => each === 'blocked' || each === 'fallback').length,
  );
  const { held_hosts, waiting_hosts, excepted_hosts, unidentified_hosts, held_groups } = answer;
  assert.deepEqual([waiting_hosts, excepted_hosts, unidentified_hosts, held_groups], [1, 1, 1, 1]);
  const refused = verdicts.filter((each) => each === 'rejected').length;
  assert.equal(held_hosts + refused, 9);
  const fixes = answer.fixes.filter(({ title }) => title !== '/opt/refused');
  assert.deepEqual(
    fixes.map((fix) => [fix.title, fix.hosts, fix.frees, fix.freed, fix.freed_watched, fix.freed_groups]),
    [
      ['/opt/many', 4, 3, 3, 3, 0],
      ['/opt/few', 3, 2, 5, 4, 1],
    ],
  );
  assert.equal(answer.agentless_groups, 0);

  // An instance of the same group without an agent: nobody knows what it calls.
  const inCloud = (hostId: string, region: string) => ({
    ...{ hostId, account: '123456789012', region, state: 'running', launchedUs: null, terminatedUs: null },
    ...{ imageId: null, scalingGroup: 'web', templateId: null, templateVersion: null, isSpot: null },
    ...{ managedBy: null, tags: null, suppliedUs: NOW_US },
  });
  await store.putCloudInventory({ instances: [inCloud('i-elsewhere', 'us-gov-1')], resources: [] });
  assert.equal((await insight.fixFirst({ window: WINDOW })).agentless_groups, 0);
  await store.putCloudInventory({
    instances: [inCloud('i-none', 'eu-west-1')],
    resources: [],
  });
  const barred = await insight.fixFirst({ window: WINDOW });
  assert.deepEqual([barred.held_groups, barred.agentless_groups], [1, 1]);
  assert.deepEqual(
    barred.fixes.map(({ freed, freed_groups }) => [freed, freed_groups]),
    answer.fixes.map(({ freed }) => [freed, 0]),
  );
  assert.equal((await insight.fixFirst({ window: WINDOW }, {}, 1)).fixes.length, 1);
  assert.equal((await insight.fixFirst({ window: WINDOW }, { ids: ['i-a'] })).held_hosts, 1);
});

test('the last day of the burn-down has the hosts and offenders of the readiness window', async () => {
  const nowUs = Math.floor(NOW_US / DAY_US) * DAY_US + 12 * HOUR_US - DAY_US;
  const at = (days: number) => NOW_US - nowUs + days * DAY_US;
  const { put, insight } = fleet({ nowUs });
  await put(
    callOf('/opt/old', A, at(40)),
    callOf('/opt/shop/1.2.3/bin/shop', A, at(9)),
    callOf('/opt/shop/1.2.4/bin/shop', A, at(2)),
    callOf('/opt/shop/1.2.4/bin/shop', B, at(3)),
    callOf('/opt/other', C, at(20)),
  );
  const window = { sinceUs: nowUs - 14 * DAY_US, untilUs: nowUs };
  const answer = await insight.burnDown({ window });
  const today = answer.days.at(-1)!;
  assert.equal(toMicroseconds(today.day), Math.floor(nowUs / DAY_US) * DAY_US);
  assert.deepEqual([today.hosts, today.offenders, today.complete], [2, 1, true]);
  assert.equal(answer.days[0]!.hosts, 1, 'C, fourteen days ago');
  assert.deepEqual(
    answer.weeks.map(({ hosts, offenders }) => [hosts, offenders]),
    [
      [0, 0],
      [0, 0],
      [1, 1],
      [1, 1],
      [2, 1],
    ],
  );
  assert.equal((await insight.burnDown({ window }, { ids: ['i-b'] })).days.at(-1)!.hosts, 1);
});

test('a late record, and a host that is chosen, change the days that were asked for before', async () => {
  const { store, put } = fleet();
  const today = Math.floor(NOW_US / DAY_US);
  const ask = async (hosts: string[] | null = null) =>
    (await store.callingDays(today - 9, today + 1, hosts)).days.map((each) => [
      today - each.day,
      each.hosts.length,
      each.identities.length,
    ]);
  // Noon of a day, so that the time of the test does not move a call to another day.
  const noon = (days: number) => NOW_US - ((today - days) * DAY_US + 12 * HOUR_US);
  await put(callOf('/opt/a', A, noon(3)), callOf('/opt/a', B, noon(5)));
  assert.deepEqual(await ask(), [
    [5, 1, 1],
    [3, 1, 1],
  ]);
  await put(callOf('/opt/b', B, noon(3)));
  assert.deepEqual(await ask(), [
    [5, 1, 1],
    [3, 2, 2],
  ]);
  assert.deepEqual(await ask(['i-a']), [[3, 1, 1]]);
  assert.deepEqual(await ask(['nobody']), []);
  await store.retain({ rawDays: 1, rollupDays: 4, maxBytes: 1e9 }, NOW_US);
  assert.deepEqual((await ask()).at(-1), [3, 2, 2]);
  assert.ok((await ask()).every(([ago]) => ago! < 5));
});
