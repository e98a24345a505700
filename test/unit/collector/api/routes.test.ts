/** Tests every route: its answer against its schema, its questions to the rooms below, and its role. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Validator } from '@seriousme/openapi-schema-validator';
import * as z from 'zod';
import * as administration from '../../../../collector/contract/administration.ts';
import * as alerts from '../../../../collector/contract/alert.ts';
import { reconciliation } from '../../../../collector/contract/cloud.ts';
import * as destinations from '../../../../collector/contract/destination.ts';
import * as enforcement from '../../../../collector/contract/enforcement.ts';
import { burnDown, fixFirst } from '../../../../collector/contract/fix_first.ts';
import { followedCalls } from '../../../../collector/contract/followed_calls.ts';
import { group, groupDetail } from '../../../../collector/contract/group.ts';
import {
  host,
  hostDetail,
  hostReadiness,
  overview,
  readinessGroup,
} from '../../../../collector/contract/host.ts';
import { offender, offenderDetail } from '../../../../collector/contract/offender.ts';
import { plan, planDetail, planStep } from '../../../../collector/contract/plan.ts';
import { servedCall } from '../../../../collector/contract/served_call.ts';
import { session } from '../../../../collector/contract/session.ts';
import { storage } from '../../../../collector/contract/storage.ts';
import { triage } from '../../../../collector/contract/triage.ts';
import { time } from '../../../../collector/contract/window.ts';
import { planReportAnswer } from '../../../../protocol/plan_report.ts';
import {
  type ApiBench,
  type AskOptions,
  problemOf,
  startApi,
} from '../../../support/collector/api/api_bench.ts';
import { makeHost, makeOffender } from '../../../support/collector/api/findings.ts';
import { AS_OF } from '../../../support/collector/api/host_pages.ts';
import { PLAN_ID, planReport, stepReport } from '../../../support/enforce/reports.ts';

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
  config: { kind: 'http', preset: 'webhook', values: { url: 'https://hooks.example.com/secret-path' } },
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
  { path: '/api/v1/offenders', as: 'viewer', answer: list(offender).extend({ as_of: time }) },
  { path: `/api/v1/offenders/${makeOffender(1).id}`, as: 'viewer', answer: strict(offenderDetail) },
  { path: '/api/v1/fix-first?limit=3', as: 'viewer', answer: strict(fixFirst) },
  { path: '/api/v1/burn-down', as: 'viewer', answer: strict(burnDown) },
  {
    path: `/api/v1/offenders/${makeOffender(1).id}/triage`,
    method: 'PATCH',
    json: { state: 'fixed', owner: 'payments' },
    as: 'admin',
    answer: strict(triage),
  },
  { path: '/api/v1/hosts', as: 'viewer', answer: list(host).extend({ as_of: z.literal(AS_OF) }) },
  { path: '/api/v1/readiness', as: 'viewer', answer: list(hostReadiness) },
  { path: `/api/v1/hosts/${makeHost(1).id}`, as: 'viewer', answer: strict(hostDetail) },
  { path: '/api/v1/groups?by=tag:team', as: 'viewer', answer: list(group).extend({ as_of: time }) },
  { path: '/api/v1/groups/tag%3Ateam%3Da%2Fb', as: 'viewer', answer: strict(groupDetail) },
  {
    path: '/api/v1/readiness/groups?by=tag:team',
    as: 'viewer',
    answer: list(readinessGroup).extend({ as_of: time }),
  },
  { path: '/api/v1/calls', as: 'viewer', answer: list(servedCall) },
  { path: '/api/v1/calls/arrivals', as: 'viewer', answer: strict(followedCalls) },
  {
    path: '/api/v1/calls/arrivals?after=1790000000000000.4.-&limit=2',
    as: 'viewer',
    answer: strict(followedCalls),
  },
  {
    path: `/api/v1/plans/${PLAN_ID}`,
    method: 'POST',
    json: planReport([stepReport(1)]),
    as: 'admin',
    answer: strict(planReportAnswer),
  },
  { path: '/api/v1/plans', as: 'viewer', answer: list(plan) },
  { path: `/api/v1/plans/${PLAN_ID}`, as: 'viewer', answer: strict(planDetail) },
  { path: `/api/v1/plans/${PLAN_ID}/steps`, as: 'viewer', answer: list(planStep) },
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
  {
    path: '/api/v1/cloud/inventory',
    method: 'POST',
    json: {
      instances: [
        { instance_id: 'i-1', account: '111111111111', region: 'eu-central-1', scaling_group: 'web' },
      ],
      resources: [
        {
          kind: 'image',
          account: '111111111111',
          region: 'eu-central-1',
          id: 'ami-1',
          imds_support: 'v2.0',
        },
      ],
    },
    as: 'admin',
    answer: z.strictObject({ stored: z.literal(2) }),
  },
  { path: '/api/v1/enforcement', as: 'viewer', answer: strict(enforcement.enforcementCollector) },
  {
    path: '/api/v1/enforcement/hosts',
    method: 'POST',
    json: { hosts: ['i-1'] },
    as: 'viewer',
    answer: strict(enforcement.enforcementHosts),
  },
  {
    path: '/api/v1/enforcement/hosts',
    method: 'POST',
    json: { hosts: null, after: 'i-1' },
    as: 'viewer',
    answer: strict(enforcement.enforcementHosts),
  },
  {
    path: '/api/v1/enforcement/group?id=asg:web&account=111111111111&region=eu-central-1',
    as: 'viewer',
    answer: strict(enforcement.enforcementGroup),
  },
  {
    path: '/api/v1/enforcement/calls',
    method: 'POST',
    json: { result: 'refused', since: '2026-03-01T00:00:00Z', hosts: ['i-1'], scaling_groups: ['web'] },
    as: 'viewer',
    answer: strict(enforcement.enforcementCalls),
  },
  {
    path: '/api/v1/enforcement/calls',
    method: 'POST',
    json: { result: 'accepted', since: '2026-03-01T00:00:00Z', hosts: ['i-1'] },
    as: 'viewer',
    answer: strict(enforcement.enforcementCalls),
  },
  {
    path: '/api/v1/enforcement/caller-hosts?offender=0123456789abcdef',
    as: 'viewer',
    answer: strict(enforcement.enforcementCallerHosts),
  },
  {
    path: '/api/v1/enforcement/new-hosts?account=111111111111&region=eu-central-1&since=2026-03-01T00:00:00Z',
    as: 'viewer',
    answer: strict(enforcement.enforcementNewHosts),
  },
  {
    path: '/api/v1/enforcement/plans?type=instance&account=111111111111&region=eu-central-1&id=i-1&except=p-0123456789ab',
    as: 'viewer',
    answer: strict(enforcement.enforcementPlans),
  },
  {
    path: '/api/v1/enforcement/watched',
    method: 'POST',
    json: { hosts: ['i-1'], since: '2026-03-01T00:00:00Z', until: '2026-03-01T01:00:00Z' },
    as: 'viewer',
    answer: strict(enforcement.enforcementWatched),
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
  { path: '/api/v1/storage', as: 'viewer', answer: strict(storage) },
  {
    path: '/api/v1/retention',
    method: 'PUT',
    json: { raw_days: 7, rollup_days: 90, max_bytes: 1024 ** 3 },
    as: 'admin',
    answer: strict(administration.retention),
  },
  { path: '/api/v1/alerts', as: 'viewer', answer: list(alerts.alert) },
  {
    path: '/api/v1/alert/destinations',
    as: 'admin',
    answer: list(destinations.destination).extend({ unrouted: strict(destinations.unroutedAlerts) }),
  },
  {
    path: '/api/v1/alert/destinations',
    method: 'POST',
    json: DESTINATION,
    as: 'admin',
    status: 201,
    answer: strict(destinations.destination),
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
      .replace(/\/v1\/(offenders|hosts|groups|plans)\/[^/]+/, (_, kind: string) => `/v1/${kind}/{id}`);
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
    ['/api/v1/groups?by=colour', 'by'],
    ['/api/v1/groups?host=i-1', 'host'],
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

test('the questions of the enforcement are asked with the given hosts and times', () => {
  const [refused] = api.asked.filter(([method]) => method === 'refusedCalls');
  assert.deepEqual(refused!.slice(1), [Date.UTC(2026, 2, 1), { hostIds: ['i-1'], scalingGroups: ['web'] }]);
  const [after] = api.asked.filter(([method]) => method === 'hostsAfter');
  assert.deepEqual(after!.slice(1), ['i-1', 1000]);
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
