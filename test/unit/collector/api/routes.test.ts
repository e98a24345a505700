/** Tests every route: its answer against its schema, its questions to the rooms below, and its role. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Validator } from '@seriousme/openapi-schema-validator';
import * as z from 'zod';
import * as administration from '../../../../collector/contract/administration.ts';
import { reconciliation } from '../../../../collector/contract/cloud.ts';
import { host, hostDetail, overview, readinessGroup } from '../../../../collector/contract/host.ts';
import { offender, offenderDetail } from '../../../../collector/contract/offender.ts';
import { servedCall } from '../../../../collector/contract/served_call.ts';
import { newSession, session } from '../../../../collector/contract/session.ts';
import { DAY_US } from '../../../../collector/contract/window.ts';
import {
  type ApiBench,
  type AskOptions,
  problemOf,
  startApi,
} from '../../../support/collector/api/api_bench.ts';
import { makeHost, makeOffender } from '../../../support/collector/api/findings.ts';

let api: ApiBench;
before(async () => {
  api = await startApi();
});
after(() => api.end());

const list = <S extends z.ZodType>(item: S) =>
  z.strictObject({ items: z.array(strict(item)), next: z.string().nullable() });
const strict = (shape: z.ZodType) => (shape instanceof z.ZodObject ? shape.strict() : shape);

const DESTINATION = {
  name: 'hook',
  rules: ['new_offender'],
  config: { kind: 'webhook', url: 'https://hooks.example.com/secret-path' },
};
const OK = z.strictObject({ status: z.literal('ok') });

interface Case {
  path: string;
  method?: string;
  json?: unknown;
  as: 'nobody' | 'viewer' | 'admin';
  status?: number;
  answer?: z.ZodType;
}
const CASES: Case[] = [
  { path: '/healthz', as: 'nobody', answer: OK },
  { path: '/readyz', as: 'nobody', answer: OK },
  { path: '/api/v1/overview', as: 'viewer', answer: strict(overview) },
  { path: '/api/v1/offenders', as: 'viewer', answer: list(offender) },
  { path: `/api/v1/offenders/${makeOffender(1).id}`, as: 'viewer', answer: strict(offenderDetail) },
  { path: '/api/v1/hosts', as: 'viewer', answer: list(host) },
  { path: `/api/v1/hosts/${makeHost(1).id}`, as: 'viewer', answer: strict(hostDetail) },
  { path: '/api/v1/readiness/groups?by=tag:team', as: 'viewer', answer: list(readinessGroup) },
  { path: '/api/v1/calls', as: 'viewer', answer: list(servedCall) },
  { path: '/api/v1/reconciliation', as: 'viewer', answer: list(reconciliation) },
  {
    path: '/api/v1/cloud/counts',
    method: 'POST',
    json: [
      {
        instance_id: 'i-1',
        start: '2026-11-01T00:00:00Z',
        end: '2026-11-01T02:00:00+01:00',
        metadata_no_token: 3,
      },
    ],
    as: 'admin',
    answer: z.strictObject({ stored: z.literal(1) }),
  },
  {
    path: '/api/v1/cloud/instances',
    method: 'POST',
    json: [{ instance_id: 'i-1', http_tokens: 'optional', hop_limit: 2 }],
    as: 'admin',
    answer: z.strictObject({ stored: z.literal(1) }),
  },
  { path: '/api/v1/tokens', as: 'admin', answer: list(administration.token) },
  {
    path: '/api/v1/tokens',
    method: 'POST',
    json: { kind: 'enrolment', name: 'fleet' },
    as: 'admin',
    status: 201,
    answer: z.strictObject({ token: strict(administration.token), secret: z.string().startsWith('imdsw_e') }),
  },
  { path: '/api/v1/audit', as: 'admin', answer: list(administration.auditEntry) },
  { path: '/api/v1/retention', as: 'viewer', answer: strict(administration.retention) },
  {
    path: '/api/v1/retention',
    method: 'PUT',
    json: { raw_days: 7, rollup_days: 90, max_bytes: 1024 ** 3 },
    as: 'admin',
    answer: strict(administration.retention),
  },
  { path: '/api/v1/alerts', as: 'viewer', answer: list(administration.alert) },
  { path: '/api/v1/alert/destinations', as: 'admin', answer: list(administration.destination) },
  {
    path: '/api/v1/alert/destinations',
    method: 'POST',
    json: DESTINATION,
    as: 'admin',
    status: 201,
    answer: strict(administration.destination),
  },
  { path: '/api/v1/session', as: 'viewer', answer: strict(session) },
  { path: '/api/v1/openapi.json', as: 'viewer' },
  { path: '/metrics', as: 'viewer' },
];

function ask({ path, method = 'GET', json }: Case, as: NonNullable<AskOptions['as']>): Promise<Response> {
  return api.ask(path, { as, method, ...(json !== undefined && { json }) });
}

for (const route of CASES) {
  const { path, method = 'GET', as, status = 200, answer } = route;
  test(`${method} ${path}: needs ${as}, and its answer fits its schema`, async () => {
    if (as !== 'nobody') await problemOf(await ask(route, 'nobody'), 401);
    if (as === 'admin') await problemOf(await ask(route, 'viewer'), 403);
    const response = await ask(route, as);
    const text = await response.text();
    assert.equal(response.status, status, text);
    assert.equal(response.headers.get('cache-control'), 'no-store');
    answer?.parse(JSON.parse(text));
  });
}

test('the document is valid OpenAPI 3.1, and has every route with its problems and its role', async () => {
  const document = (await (await api.ask('/api/v1/openapi.json')).json()) as {
    openapi: string;
    paths: Record<string, Record<string, { responses: Record<string, unknown>; security: unknown[] }>>;
  };
  assert.match(document.openapi, /^3\.1/);
  const { valid, errors } = await new Validator().validate(structuredClone(document));
  assert.ok(valid, JSON.stringify(errors));
  const documented = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  for (const { path, method = 'GET' } of CASES) {
    const pattern = path
      .split('?')[0]!
      .replace(/(offenders|hosts)\/.+$/, (_, kind: string) => `${kind}/{id}`);
    if (pattern !== '/api/v1/openapi.json') assert.ok(documented.includes(`${method} ${pattern}`), pattern);
  }
  for (const [path, methods] of Object.entries(document.paths)) {
    for (const [method, { responses, security }] of Object.entries(methods)) {
      assert.ok(responses['500'] && responses['429'], `${method} ${path}`);
      // A change from a page of another origin is refused, signed in or not.
      if (method !== 'get') assert.ok(responses['403'], `${method} ${path}`);
      if (path === '/api/v1/session' && method !== 'get') continue;
      assert.equal(security.length > 0, responses['401'] !== undefined, path);
    }
  }
});

test('filters reach insight: window, hosts, tags, unknown values', async () => {
  await api.ask(
    '/api/v1/offenders?from=2026-11-01T00:00:00Z&to=2026-11-02T02:00:00%2B02:00&host=i-1&host=i-2&account=&region=eu&tag=team:a:b&tag=env',
  );
  const [method, question, filter] = api.asked.at(-1)!;
  assert.equal(method, 'offenders');
  assert.deepEqual(question, {
    window: { sinceUs: Date.UTC(2026, 10, 1) * 1000, untilUs: Date.UTC(2026, 10, 2) * 1000 },
  });
  assert.deepEqual(filter, {
    ids: ['i-1', 'i-2'],
    accounts: [null],
    regions: ['eu'],
    tags: [
      { key: 'team', value: 'a:b' },
      { key: 'env', value: null },
    ],
  });
  await api.ask('/api/v1/overview?days=30');
  const { window } = api.asked.at(-1)![1] as { window: { sinceUs: number; untilUs: number } };
  assert.equal(window.untilUs - window.sinceUs, 30 * DAY_US);
  assert.ok(window.untilUs >= (Date.now() - 60_000) * 1000);
  await api.ask('/api/v1/readiness/groups?by=tag:team&text=web');
  assert.deepEqual(api.asked.at(-1)!.at(1), { tag: 'team' });
  assert.deepEqual(api.asked.at(-1)!.at(3), { text: 'web' });
});

test('offenders: filtered by severity, text, unit, user, client; sorted in both directions', async () => {
  const ids = async (query: string) => {
    const { items } = (await (await api.ask(`/api/v1/offenders?limit=1000&${query}`)).json()) as {
      items: {
        id: string;
        severity: string;
        last_v1: string | null;
        calls_v1: number;
        hosts_freed: number;
      }[];
    };
    return items;
  };
  assert.ok((await ids('')).every(({ severity }) => severity !== 'none'));
  assert.equal((await ids('')).length, 25);
  assert.deepEqual(
    new Set((await ids('severity=none&severity=v1')).map(({ severity }) => severity)),
    new Set(['none', 'v1']),
  );
  assert.equal((await ids('text=OPT/APP/28')).length, 1);
  assert.equal((await ids('unit=app-2.service')).length, 1);
  assert.ok((await ids('user=1000')).length > 5);
  assert.equal((await ids('client=Boto3')).length, 25);
  assert.equal((await ids('client=other')).length, 0);
  const byCalls = (await ids('sort=-calls_v1')).map(({ calls_v1 }) => calls_v1);
  assert.deepEqual(
    byCalls,
    byCalls.toSorted((a, b) => b - a),
  );
  const ranks = (await ids('sort=priority')).map(({ severity, hosts_freed }) => [
    severity === 'credentials' ? 0 : 1,
    -hosts_freed,
  ]);
  assert.deepEqual(
    ranks,
    ranks.toSorted(([a, b], [c, d]) => a! - c! || b! - d!),
  );
  assert.equal((await ids('sort=last_v1')).at(-1)!.last_v1, null);
  assert.equal((await ids('sort=-last_v1')).at(-1)!.last_v1, null);
});

test('pages: complete, each item once, in one order; a cursor is valid for its own query only', async () => {
  const all: string[] = [];
  let cursor: string | null = null;
  let pages = 0;
  do {
    const query: string = `/api/v1/hosts?limit=7&sort=name${cursor === null ? '' : `&cursor=${cursor}`}`;
    const page = (await (await api.ask(query)).json()) as { items: { id: string }[]; next: string | null };
    all.push(...page.items.map(({ id }) => id));
    cursor = page.next;
    pages += 1;
  } while (cursor !== null);
  assert.equal(pages, 4);
  assert.equal(new Set(all).size, 25);
  const { items } = (await (await api.ask('/api/v1/hosts?limit=1000&sort=name')).json()) as {
    items: { id: string }[];
  };
  assert.deepEqual(
    all,
    items.map(({ id }) => id),
  );

  const first = (await (await api.ask('/api/v1/calls?limit=1000&version=1')).json()) as { next: string };
  await problemOf(await api.ask(`/api/v1/calls?limit=1000&version=2&cursor=${first.next}`), 400);
  await problemOf(await api.ask('/api/v1/calls?cursor=nonsense'), 400);
  const second = await api.ask(`/api/v1/calls?limit=1000&version=1&cursor=${first.next}`);
  assert.equal(second.status, 200);
  const asks = api.asked.filter(([method]) => method === 'calls');
  assert.deepEqual(asks.at(-1)!.slice(2), [1000, '1000']);
  assert.deepEqual(asks.at(-1)![1], asks.at(-2)![1], 'the window stays');
});

test('a list that changes between pages continues after the last item', async () => {
  const hosts = Array.from({ length: 10 }, (_, number) => makeHost(number));
  const { insight } = api.parts;
  const { hosts: before } = insight;
  insight.hosts = async () => hosts;
  try {
    const first = (await (await api.ask('/api/v1/hosts?limit=4')).json()) as { next: string };
    hosts.splice(1, 1);
    hosts.push(makeHost(50));
    const rest = (await (await api.ask(`/api/v1/hosts?limit=100&cursor=${first.next}`)).json()) as {
      items: { id: string }[];
    };
    assert.deepEqual(
      rest.items.map(({ id }) => id),
      [4, 5, 6, 7, 8, 9, 50].map((number) => makeHost(number).id),
    );
  } finally {
    insight.hosts = before;
  }
});

test('an item by its id: 404 for an unknown id, 400 for a text that is not an id', async () => {
  await problemOf(await api.ask('/api/v1/offenders/ffffffffffffffff'), 404);
  assert.equal((await problemOf(await api.ask('/api/v1/offenders/..%2Fx'), 400)).errors![0]!.field, 'id');
  await problemOf(await api.ask('/api/v1/hosts/nobody'), 404);
  const unknown = '00000000-0000-4000-8000-000000000000';
  for (const [method, path] of [
    ['DELETE', `/api/v1/tokens/${unknown}`],
    ['DELETE', `/api/v1/alert/destinations/${unknown}`],
    ['PATCH', `/api/v1/alert/destinations/${unknown}`],
    ['POST', `/api/v1/alert/destinations/${unknown}/test`],
  ] as const) {
    await problemOf(
      await api.ask(path, { as: 'admin', method, ...(method === 'PATCH' && { json: { enabled: false } }) }),
      404,
    );
  }
});

test('bad requests name the field', async () => {
  const cases: [string, string][] = [
    ['/api/v1/overview?days=0', 'days'],
    ['/api/v1/overview?days=many', 'days'],
    ['/api/v1/overview?from=yesterday', 'from'],
    ['/api/v1/overview?from=2026-11-02T00:00:00Z&to=2026-11-01T00:00:00Z', 'from'],
    ['/api/v1/overview?from=2026-11-02T00:00:00Z&days=3', 'days'],
    ['/api/v1/overview?from=1000-01-01T00:00:00Z', 'from'],
    ['/api/v1/offenders?limit=100000', 'limit'],
    ['/api/v1/offenders?severty=v1', 'severty'],
    ['/api/v1/offenders?severity=bad', 'severity.0'],
    ['/api/v1/offenders?tag=:x', 'tag'],
    ['/api/v1/hosts?verdict=perhaps', 'verdict.0'],
    ['/api/v1/readiness/groups?by=colour', 'by'],
    ['/api/v1/readiness/groups', 'by'],
    ['/api/v1/live?offender=x', 'offender.0'],
  ];
  for (const [path, field] of cases) {
    const { errors } = await problemOf(await api.ask(path), 400);
    assert.equal(errors?.[0]?.field, field, path);
    assert.equal(errors?.[0]?.in, 'query');
  }
  const bad = await api.ask('/api/v1/retention', {
    as: 'admin',
    method: 'PUT',
    json: { raw_days: 0, rollup_days: 1, max_bytes: 1024 ** 3 },
  });
  assert.deepEqual(
    (await problemOf(bad, 400)).errors!.map(({ field, in: where }) => [where, field]),
    [['body', 'raw_days']],
  );
  const agent = { kind: 'agent', name: 'without host' };
  const token = await api.ask('/api/v1/tokens', { as: 'admin', method: 'POST', json: agent });
  assert.equal((await problemOf(token, 400)).errors![0]!.field, 'host_id');
});

test('actions of admins are in the audit log, without secrets; a revoked token is refused', async () => {
  const made = (await (
    await api.ask('/api/v1/tokens', {
      as: 'admin',
      method: 'POST',
      json: { kind: 'person', name: 'carol', role: 'viewer' },
    })
  ).json()) as { token: { id: string }; secret: string };
  const carol = { Authorization: `Bearer ${made.secret}` };
  assert.equal((await api.ask('/api/v1/session', { as: 'nobody', headers: carol })).status, 200);
  const revoke = { as: 'admin', method: 'DELETE' } as const;
  assert.equal((await api.ask(`/api/v1/tokens/${made.token.id}`, revoke)).status, 204);
  await problemOf(await api.ask('/api/v1/session', { as: 'nobody', headers: carol }), 401);
  await problemOf(await api.ask(`/api/v1/tokens/${made.token.id}`, revoke), 404);

  const added = (await (
    await api.ask('/api/v1/alert/destinations', {
      as: 'admin',
      method: 'POST',
      json: { ...DESTINATION, name: 'another' },
    })
  ).json()) as { id: string };
  const path = `/api/v1/alert/destinations/${added.id}`;
  const changed = await api.ask(path, { as: 'admin', method: 'PATCH', json: { enabled: false } });
  assert.equal(((await changed.json()) as { enabled: boolean }).enabled, false);
  assert.equal((await api.ask(path, { as: 'admin', method: 'DELETE' })).status, 204);

  const answer = await (await api.ask('/api/v1/audit?limit=1000', { as: 'admin' })).text();
  const { items } = JSON.parse(answer) as { items: { actor: string; action: string; subject: string }[] };
  const done = items.filter(({ actor }) => actor === 'ada').map(({ action, subject }) => [action, subject]);
  for (const entry of [
    ['token.create', made.token.id],
    ['token.revoke', made.token.id],
    ['alert_destination.add', added.id],
    ['alert_destination.change', added.id],
    ['alert_destination.remove', added.id],
  ]) {
    assert.ok(
      done.some((given) => given.join() === entry.join()),
      entry.join(),
    );
  }
  assert.ok(!answer.includes(made.secret) && !answer.includes('secret-path'));
  assert.ok(!JSON.stringify(api.logged).includes(made.secret));

  const pages: number[] = [];
  let cursor: string | null = null;
  do {
    const page: { items: { id: number }[]; next: string | null } = (await (
      await api.ask(`/api/v1/audit?limit=2${cursor === null ? '' : `&cursor=${cursor}`}`, { as: 'admin' })
    ).json()) as never;
    pages.push(...page.items.map(({ id }) => id));
    cursor = page.next;
  } while (cursor !== null);
  assert.deepEqual(
    pages,
    (JSON.parse(answer) as { items: { id: number }[] }).items.map(({ id }) => id),
  );
});

test('signing in and out: the cookie works, and only from our own page', async () => {
  const own = { 'Sec-Fetch-Site': 'same-origin' };
  const secret = api.tokens.admin;
  const path = '/api/v1/session';
  for (const headers of [{ 'Sec-Fetch-Site': 'cross-site' }, { Origin: 'https://evil.example' }, {}]) {
    await problemOf(await api.ask(path, { as: 'nobody', method: 'POST', json: { secret }, headers }), 403);
  }
  const wrong = { as: 'nobody', method: 'POST', json: { secret: 'imdsw_pwrong' }, headers: own } as const;
  await problemOf(await api.ask(path, wrong), 401);
  const signedIn = await api.ask(path, { as: 'nobody', method: 'POST', json: { secret }, headers: own });
  assert.equal(signedIn.status, 201);
  newSession.strict().parse(await signedIn.json());
  const setCookie = signedIn.headers.get('set-cookie')!;
  assert.match(setCookie, /HttpOnly; SameSite=Strict/);
  const cookie = setCookie.split(';')[0]!;
  const who = await api.ask(path, { as: 'nobody', headers: { Cookie: cookie } });
  assert.deepEqual(await who.json(), { name: 'ada', role: 'admin', via: 'session' });
  const change = {
    as: 'nobody',
    method: 'PUT',
    json: { raw_days: 7, rollup_days: 90, max_bytes: 1024 ** 3 },
  } as const;
  const forged = { Cookie: cookie, 'Sec-Fetch-Site': 'same-site' };
  await problemOf(await api.ask('/api/v1/retention', { ...change, headers: forged }), 403);
  assert.equal(
    (await api.ask('/api/v1/retention', { ...change, headers: { Cookie: cookie, ...own } })).status,
    200,
  );
  const out = await api.ask(path, { as: 'nobody', method: 'DELETE', headers: { Cookie: cookie, ...own } });
  assert.equal(out.status, 204);
  assert.match(out.headers.get('set-cookie')!, /Max-Age=0/);
  await problemOf(await api.ask(path, { as: 'nobody', headers: { Cookie: cookie } }), 401);
});

test('counts of the cloud reach the store in the form of the store', async () => {
  const counts = api.asked.findLast(([method]) => method === 'putCloudCounts')![1];
  assert.deepEqual(counts, [
    {
      hostId: 'i-1',
      startUs: Date.UTC(2026, 10, 1, 0) * 1000,
      endUs: Date.UTC(2026, 10, 1, 1) * 1000,
      noToken: 3,
      noTokenRejected: null,
    },
  ]);
});
