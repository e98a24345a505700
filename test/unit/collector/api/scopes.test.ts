/**
 * Asks every route of the API as a viewer with a scope, and looks for anything of hosts of another scope: names, accounts,
 * workloads, paths. They all have the word "canary" in them.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { ViewScope } from '../../../../collector/contract/host_scope.ts';
import { openStore } from '../../../../collector/store/sqlite/sqlite_store.ts';
import type { StoredBatch } from '../../../../collector/store/store.ts';
import type { HostFacts } from '../../../../protocol/call.ts';
import { bearer, type Headers, VisitorBench } from '../../../support/collector/access/visitor_bench.ts';
import { makeCall, processFacts } from '../../../support/collector/calls.ts';
import { Bench } from '../../../support/collector/in_process.ts';
import { call, callerOf, report, stream } from '../../../support/collector/store/records.ts';

const HOUR_US = 3_600_000_000;
const BY = { name: 'test', sourceAddress: null };
const SCOPE: ViewScope = [{ accounts: ['111111111111'], tags: { team: ['mine'] } }];
const MINE: HostFacts = {
  ...{ id: 'i-mine', name: 'mine-1', type: 'm6i.large', 'image.id': 'ami-mine' },
  ...{
    'cloud.account.id': '111111111111',
    'cloud.region': 'eu-west-1',
    'cloud.availability_zone': 'eu-west-1a',
  },
  tags: { team: 'mine', 'aws:autoscaling:groupName': 'shared-group' },
};
const OTHER: HostFacts = {
  ...{ id: 'i-canary', name: 'canary-1', type: 'canary.large', 'image.id': 'ami-canary' },
  ...{
    'cloud.account.id': 'canary-account',
    'cloud.region': 'canary-region',
    'cloud.availability_zone': 'canary-zone',
  },
  tags: { team: 'canary-team', 'canary-key': 'x', 'aws:autoscaling:groupName': 'shared-group' },
};
/** The host has the account of the scope, and a tag of another team. */
const NEXT: HostFacts = { ...OTHER, id: 'i-canary-2', name: 'canary-2', 'cloud.account.id': '111111111111' };

const program = (name: string) =>
  callerOf(
    makeCall({
      process: processFacts({
        'executable.path': `/opt/${name}`,
        name,
        command_args: [`/opt/${name}`, '-x'],
      }),
      systemd: { unit: `${name}.service`, slice: 'system.slice' },
    }),
  );
const CANARY_CALL = {
  'url.path': '/latest/meta-data/iam/security-credentials/canary-role',
  'imds.category': 'credentials' as const,
  'imds.role': 'canary-role',
  'user_agent.original': 'canary-agent/1',
};

/** Writes an hour of each host. Both hosts run the workload `shared`. */
function batches(nowUs: number): StoredBatch[] {
  return [MINE, OTHER, NEXT].map((host) => {
    const isMine = host === MINE;
    const next = stream(host, [program('shared'), program(isMine ? 'own' : 'canary-app')]);
    const changes = isMine ? {} : CANARY_CALL;
    return next(
      report(host.id, nowUs - HOUR_US, nowUs - HOUR_US / 60),
      ...[0, 1].flatMap((caller) =>
        Array.from({ length: isMine ? 3 : 50 }, (_, at) =>
          call(nowUs - HOUR_US + at * 1000, changes, caller),
        ),
      ),
    );
  });
}

let bench: VisitorBench;
let scoped: Headers;
let fleet: Headers;
before(async () => {
  const own = new Bench();
  const dataDir = own.directory();
  const store = openStore(dataDir);
  const nowUs = Date.now() * 1000;
  await store.write(batches(nowUs));
  const hour = Math.floor(nowUs / HOUR_US) * HOUR_US;
  await store.putCloudCounts(
    [MINE, OTHER, NEXT].map(({ id: hostId }) => ({
      ...{ hostId, startUs: hour - 2 * HOUR_US, endUs: hour - HOUR_US, noToken: 99, noTokenRejected: null },
    })),
  );
  await store.close();
  bench = await VisitorBench.open({ data_dir: dataDir });
  const person = (scope: ViewScope | undefined) =>
    bench.access.createToken({ kind: 'person', name: 'x', role: 'viewer', ...(scope && { scope }) }, BY);
  scoped = bearer((await person(SCOPE)).secret);
  fleet = bearer((await person(undefined)).secret);
});
after(() => bench.end());

const json = async (path: string, headers: Headers) => (await bench.ask('GET', path, headers)).json();

/** Returns what an answer says, without times, which differ between two answers. */
async function answer(path: string, headers: Headers): Promise<{ status: number; text: string }> {
  // The stream of a GET would not end.
  const method = path.startsWith('/api/v1/live') ? 'HEAD' : 'GET';
  const response = await bench.ask(method, path, headers);
  const text = `${JSON.stringify([...response.headers])} ${await response.text().catch(() => '')}`;
  return {
    status: response.status,
    text: text.replaceAll(/\d{4}-\d\d-\d\d[T ][\d:.]+Z?|GMT|\d\d:\d\d:\d\d/g, ''),
  };
}

/** Takes out what was asked for, which an answer may repeat, as it would of something that does not exist. */
function withoutAsked(text: string, question: string): string {
  const { pathname, searchParams } = new URL(question, 'http://x');
  const asked = [pathname, ...pathname.split('/').map(decodeURIComponent), ...searchParams.values()];
  const longestFirst = asked.filter((each) => each.includes('canary')).sort((a, b) => b.length - a.length);
  return longestFirst.reduce((left, each) => left.replaceAll(each, ''), text);
}

const CLOSED = [
  '/api/v1/alerts',
  '/api/v1/alerts/open',
  '/api/v1/alert/presets',
  '/api/v1/enforcement',
  '/metrics',
];
const BY_ATTRIBUTE = ['account', 'region', 'zone', 'type', 'image_id', 'tag:team', 'tag:canary-key'];

/** Returns every path of the API that is read, with the questions that could show something of another scope. */
async function questions(): Promise<string[]> {
  const { paths } = (await json('/api/v1/openapi.json', fleet)) as { paths: Record<string, object> };
  const offenders = (await json('/api/v1/offenders', fleet)) as { items: { id: string }[] };
  const ids = [
    ...['i-mine', 'i-canary', 'i-canary-2', 'tag:team=canary-team', 'asg:shared-group', 'tag:team=mine'],
    ...['image:ami-canary', 'account:canary-account', 'tag:canary-key=x', 'zone:canary-zone'],
    ...offenders.items.map(({ id }) => id),
  ];
  const readable = Object.entries(paths).flatMap(([path, methods]) => ('get' in methods ? [path] : []));
  const asked = readable.flatMap((path) =>
    path.includes('{id}') ? ids.map((id) => path.replace('{id}', encodeURIComponent(id))) : [path],
  );
  const filters = [
    'account=canary-account',
    'region=canary-region',
    'tag=canary-key',
    'tag=team:canary-team',
  ];
  const lists = ['offenders', 'hosts', 'readiness', 'groups', 'calls'].map((name) => `/api/v1/${name}`);
  return [
    ...asked,
    ...lists.flatMap((path) => ['csv', 'ndjson', 'json'].map((format) => `${path}?format=${format}`)),
    ...['overview', 'offenders', 'hosts', 'readiness', 'fix-first', 'burn-down', 'reconciliation'].flatMap(
      (name) =>
        [...filters, 'host=i-canary', 'host=i-canary&host=i-mine'].map(
          (filter) => `/api/v1/${name}?${filter}`,
        ),
    ),
    ...BY_ATTRIBUTE.flatMap((by) => [
      `/api/v1/readiness/groups?by=${by}`,
      `/api/v1/groups?by=${by === 'image_id' ? 'image' : by}`,
      `/api/v1/groups?format=csv&by=${by === 'image_id' ? 'image' : by}`,
    ]),
    '/api/v1/groups?by=asg&text=canary',
    '/api/v1/hosts?text=canary',
    '/api/v1/offenders?text=canary&severity=none&severity=credentials&severity=v1',
    '/api/v1/offenders?client=canary-agent',
    '/api/v1/calls?path=canary',
    '/api/v1/calls?host=i-canary',
    '/api/v1/calls?host=i-canary&host=i-mine',
    ...offenders.items.map(({ id }) => `/api/v1/calls?offender=${id}`),
    '/api/v1/live?topic=plans',
    '/api/v1/live?host=i-canary',
    '/api/v1/enforcement/group?id=asg:shared-group&account=canary-account&region=canary-region',
    `/api/v1/enforcement/caller-hosts?offender=${offenders.items[0]!.id}`,
    '/api/v1/enforcement/new-hosts?account=canary-account&region=canary-region&since=2020-01-01T00:00:00Z',
  ];
}

describe('a viewer with a scope', () => {
  it('gets no byte of another scope from any route', async () => {
    const asked = await questions();
    const shown = new Set<string>();
    let answered = 0;
    for (const question of asked) {
      const found = await answer(question, scoped);
      assert.doesNotMatch(withoutAsked(found.text, question), /canary/i, question);
      if (found.status === 200) answered += 1;
      if (!question.includes('canary')) {
        const path = question.split('?')[0]!;
        if ((await answer(question, fleet)).text.includes('canary')) shown.add(path);
      } else {
        const absent = await answer(question.replaceAll('canary', 'absent'), scoped);
        assert.equal(found.status, absent.status, question);
      }
    }
    assert.ok(answered > 60, `${answered} answers of ${asked.length}`);
    // Without a scope the word is everywhere, so that the test would find it.
    for (const name of ['offenders', 'hosts', 'readiness', 'groups', 'calls', 'reconciliation']) {
      assert.ok(shown.has(`/api/v1/${name}`), name);
    }
  });

  it('gets a 404 for what it may not see, as for what does not exist', async () => {
    const { items } = (await json('/api/v1/offenders', fleet)) as { items: { id: string; title: string }[] };
    const hidden = items.filter(({ title }) => title.includes('canary'));
    assert.ok(hidden.length > 0);
    for (const { id } of hidden) {
      const found = await answer(`/api/v1/offenders/${id}`, scoped);
      const absent = await answer('/api/v1/offenders/0123456789abcdef', scoped);
      assert.equal(found.text.replaceAll(id, '0123456789abcdef'), absent.text);
      assert.equal(found.status, 404);
    }
    for (const id of ['i-canary', 'i-canary-2']) {
      assert.equal((await answer(`/api/v1/hosts/${id}`, scoped)).status, 404);
      assert.equal((await answer(`/api/v1/hosts/${id}`, fleet)).status, 200);
    }
  });

  it('gets sums of its own hosts alone', async () => {
    const overview = (await json('/api/v1/overview', scoped)) as {
      calls: { v1: number; credentials_over_v1: number };
      hosts: { total: number };
    };
    assert.deepEqual(
      [overview.calls.v1, overview.calls.credentials_over_v1, overview.hosts.total],
      [6, 0, 1],
    );
    const { items } = (await json('/api/v1/offenders', scoped)) as {
      items: { title: string; calls_v1: number; host_count: number; severity: string }[];
    };
    assert.deepEqual(
      items.map(({ calls_v1, host_count, severity }) => [calls_v1, host_count, severity]),
      [
        [3, 1, 'v1'],
        [3, 1, 'v1'],
      ],
    );
    const shared = (await json('/api/v1/groups/asg:shared-group', scoped)) as {
      members: number;
      verdict: string;
      reason: string;
      limits: string[];
    };
    assert.deepEqual([shared.members, shared.verdict], [1, 'blocked']);
    assert.match(shared.reason, /^Only instances in your scope count\./);
    assert.ok(shared.limits.some((limit) => limit.includes('members outside your scope')));
    const whole = (await json('/api/v1/groups/asg:shared-group', fleet)) as typeof shared;
    assert.equal(whole.members, 3);
    assert.doesNotMatch(whole.reason, /scope/);
  });

  it('is refused what cannot be narrowed, with a reason', async () => {
    for (const path of CLOSED) {
      const response = await bench.ask('GET', path, scoped);
      assert.equal(response.status, 403, path);
      assert.match(((await response.json()) as { detail: string }).detail, /scope/);
    }
    const reading = (await bench.routes()).filter(({ method }) => method !== 'GET');
    for (const { method, path } of reading) {
      if (path === '/api/v1/session') continue;
      assert.equal((await bench.ask(method, path, scoped, {})).status, 403, `${method} ${path}`);
    }
  });

  it('is told its scope', async () => {
    const session = (await json('/api/v1/session', scoped)) as { role: string; scope: unknown };
    assert.deepEqual([session.role, session.scope], ['viewer', SCOPE]);
  });
});
