/**
 * Asks every route of the API as a viewer with a scope, and looks for anything of hosts of another scope. They all have the
 * word "canary" in them.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { PostgresServer } from '../../postgres.ts';
import type { Headers } from '../access/visitor_bench.ts';
import { FeedReader } from '../live.ts';
import { eventually } from '../stored.ts';
import { CANARY_CALL, MINE, NEXT, OTHER, SCOPE, ScopeBench } from './scope_bench.ts';

/** Returns what an answer says, without times, which differ between two answers. */
async function answer(
  bench: ScopeBench,
  path: string,
  headers: Headers,
): Promise<{ status: number; text: string }> {
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
  const asked = [
    pathname,
    ...pathname.split('/').map(decodeURIComponent),
    ...searchParams.keys(),
    ...searchParams.values(),
  ];
  const longestFirst = asked.filter((each) => each.includes('canary')).sort((a, b) => b.length - a.length);
  return longestFirst.reduce((left, each) => left.replaceAll(each, ''), text);
}

const CLOSED = [
  '/api/v1/calls/arrivals',
  '/api/v1/alerts',
  '/api/v1/alerts/open',
  '/api/v1/alert/presets',
  '/api/v1/enforcement',
  '/metrics',
];
const BY_ATTRIBUTE = ['account', 'region', 'zone', 'type', 'image_id', 'tag:team', 'tag:canary-key'];

/** Returns every path of the API that is read, with the questions that could show something of another scope. */
async function questions(bench: ScopeBench): Promise<string[]> {
  const { paths } = (await bench.json('/api/v1/openapi.json', bench.fleet)) as {
    paths: Record<string, object>;
  };
  const offenders = (await bench.json('/api/v1/offenders', bench.fleet)) as { items: { id: string }[] };
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
  const lists = ['offenders', 'owners', 'hosts', 'readiness', 'groups', 'calls'].map(
    (name) => `/api/v1/${name}`,
  );
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
    ...['otlp', 'ocsf', 'ecs'].map((format) => `/api/v1/calls?format=${format}`),
    ...lists.flatMap((path) => [`${path}?cursor=canary`, `${path}?since=canary`, `${path}?canary=1`]),
    ...['/', '/hosts', '/hosts/i-canary', '/sign-in', '/canary.js', '/api/v1/canary', '/readyz'],
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

/** Describes what holds on each store. `server` is called before the tests; null for the embedded store. */
export function testScopes(name: string, server: () => PostgresServer | null): void {
  describe(name, () => {
    let bench: ScopeBench;
    before(async () => {
      bench = await ScopeBench.open(server());
    });
    after(() => bench?.end());

    it('gets no byte of another scope from any route', async () => {
      const asked = await questions(bench);
      const shown = new Set<string>();
      let answered = 0;
      for (const question of asked) {
        const found = await answer(bench, question, bench.scoped);
        assert.doesNotMatch(withoutAsked(found.text, question), /canary/i, question);
        if (found.status === 200) answered += 1;
        if (!question.includes('canary')) {
          const path = question.split('?')[0]!;
          if ((await answer(bench, question, bench.fleet)).text.includes('canary')) shown.add(path);
        } else {
          const absent = await answer(bench, question.replaceAll('canary', 'absent'), bench.scoped);
          assert.equal(found.status, absent.status, question);
        }
      }
      assert.ok(answered > 60, `${answered} answers of ${asked.length}`);
      // Without a scope the word is everywhere, so that the test would find it.
      for (const name of ['offenders', 'owners', 'hosts', 'readiness', 'groups', 'calls', 'reconciliation']) {
        assert.ok(shown.has(`/api/v1/${name}`), name);
      }
    });

    it('gets a 404 for what it may not see, as for what does not exist', async () => {
      const { items } = (await bench.json('/api/v1/offenders', bench.fleet)) as {
        items: { id: string; title: string }[];
      };
      const hidden = items.filter(({ title }) => title.includes('canary'));
      assert.ok(hidden.length > 0);
      for (const { id } of hidden) {
        const found = await answer(bench, `/api/v1/offenders/${id}`, bench.scoped);
        const absent = await answer(bench, '/api/v1/offenders/0123456789abcdef', bench.scoped);
        assert.equal(found.text.replaceAll(id, '0123456789abcdef'), absent.text);
        assert.equal(found.status, 404);
      }
      for (const id of ['i-canary', 'i-canary-2']) {
        assert.equal((await answer(bench, `/api/v1/hosts/${id}`, bench.scoped)).status, 404);
        assert.equal((await answer(bench, `/api/v1/hosts/${id}`, bench.fleet)).status, 200);
      }
    });

    it('gets sums of its own hosts alone', async () => {
      const overview = (await bench.json('/api/v1/overview', bench.scoped)) as {
        calls: { v1: number; credentials_over_v1: number };
        hosts: { total: number };
      };
      assert.deepEqual(
        [overview.calls.v1, overview.calls.credentials_over_v1, overview.hosts.total],
        [6, 0, 1],
      );
      const { items } = (await bench.json('/api/v1/offenders', bench.scoped)) as {
        items: { title: string; calls_v1: number; host_count: number; severity: string }[];
      };
      assert.deepEqual(
        items.map(({ calls_v1, host_count, severity }) => [calls_v1, host_count, severity]),
        [
          [3, 1, 'v1'],
          [3, 1, 'v1'],
        ],
      );
      const shared = (await bench.json('/api/v1/groups/asg:shared-group', bench.scoped)) as {
        members: number;
        verdict: string;
        reason: string;
        limits: string[];
      };
      assert.deepEqual([shared.members, shared.verdict], [1, 'blocked']);
      assert.match(shared.reason, /^Only instances in your scope count\./);
      assert.ok(shared.limits.some((limit) => limit.includes('members outside your scope')));
      const whole = (await bench.json('/api/v1/groups/asg:shared-group', bench.fleet)) as typeof shared;
      assert.equal(whole.members, 3);
      assert.doesNotMatch(whole.reason, /scope/);
    });

    it('is refused what cannot be narrowed, with a reason', async () => {
      for (const path of CLOSED) {
        const response = await bench.ask('GET', path, bench.scoped);
        assert.equal(response.status, 403, path);
        assert.match(((await response.json()) as { detail: string }).detail, /scope/);
      }
      const { paths } = (await bench.json('/api/v1/openapi.json', bench.fleet)) as {
        paths: Record<string, object>;
      };
      const changing = Object.entries(paths).flatMap(([path, methods]) =>
        Object.keys(methods).flatMap((method) =>
          method === 'get' ? [] : [{ method: method.toUpperCase(), path }],
        ),
      );
      for (const { method, path: route } of changing) {
        const path = route.replace('{id}', 'i-canary');
        if (path === '/api/v1/session') continue;
        assert.equal((await bench.ask(method, path, bench.scoped, {})).status, 403, `${method} ${path}`);
      }
    });

    it('is told its scope', async () => {
      const session = (await bench.json('/api/v1/session', bench.scoped)) as { role: string; scope: unknown };
      assert.deepEqual([session.role, session.scope], ['viewer', SCOPE]);
    });

    it('gets no call of another scope in a live feed, of any collector', async () => {
      const watched = await bench.another();
      const watch = async (headers: Headers, query = '') => {
        const url = `${watched.pageUrl}/api/v1/live${query}`;
        const reader = await FeedReader.open((signal) => fetch(url, { headers, signal }));
        if (watched !== bench.collector) await reader.untilOthers('joined');
        return reader;
      };
      const readers = {
        fleet: await watch(bench.fleet),
        own: await watch(bench.scoped),
        asked: await watch(bench.scoped, '?host=i-canary&host=i-canary-2&host=i-mine'),
        hidden: await watch(bench.scoped, '?path=canary'),
      };
      try {
        for (const host of [OTHER, NEXT]) await bench.report(host, CANARY_CALL);
        await bench.report(MINE, { 'url.path': '/own' });
        // The call of the scope is the last one.
        await eventually(
          'the calls',
          () => readers.fleet.calls.length === 3 && readers.own.calls.length === 1,
        );
        await eventually('the call', () => readers.asked.calls.length === 1);
        assert.match(JSON.stringify(readers.fleet.calls), /canary/);
        for (const { calls, comments, others, leftOut } of [readers.own, readers.asked, readers.hidden]) {
          assert.doesNotMatch(JSON.stringify([calls, comments, others]), /canary/);
          assert.equal(leftOut, 0);
        }
        assert.deepEqual(
          readers.own.calls.map(({ host }) => host.id),
          ['i-mine'],
        );
        assert.equal(readers.hidden.calls.length, 0);
      } finally {
        for (const reader of Object.values(readers)) reader.close();
      }
    });

    it('reads of the storage what is of no server', async () => {
      const storage = (await bench.json('/api/v1/storage', bench.scoped)) as Record<string, unknown>;
      const whole = (await bench.json('/api/v1/storage', bench.fleet)) as Record<string, unknown>;
      assert.deepEqual(Object.keys(storage), Object.keys(whole));
      assert.deepEqual(storage, { ...whole, text: storage['text'], problem: null, reader: null });
      assert.match(String(storage['text']), /^An acknowledged batch is /);
    });
  });
}
