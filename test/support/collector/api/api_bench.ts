/** The API over real HTTP on loopback, with the real `Access` and doubles for findings and store. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Logger, pino } from 'pino';
import { Access } from '../../../../collector/access/access.ts';
import { NO_PROXY } from '../../../../collector/access/proxy_identity.ts';
import { openAdmin } from '../../../../collector/admin/admin_schema.ts';
import { Lease } from '../../../../collector/admin/lease.ts';
import { SqliteAdminStore } from '../../../../collector/admin/sqlite/sqlite_admin_store.ts';
import { ALERTS_LEASE_MS, Alerts } from '../../../../collector/alert/alerts.ts';
import { createApp, type Rates } from '../../../../collector/api/app.ts';
import { CoalescedInsight } from '../../../../collector/api/coalesced_insight.ts';
import { ApiMetrics } from '../../../../collector/api/metrics.ts';
import type { ApiParts, FindingsStore, FreshAnswers, View } from '../../../../collector/api/parts.ts';
import { HttpServer } from '../../../../collector/api/server.ts';
import { Views } from '../../../../collector/api/views.ts';
import type { Host } from '../../../../collector/contract/host.ts';
import type { OwnerExplanation } from '../../../../collector/contract/owner.ts';
import type { HostSelection, PageChoice } from '../../../../collector/insight/host_board.ts';
import { ownerRule } from '../../../../collector/insight/owner_rules.ts';
import { NO_OWNERS } from '../../../../collector/insight/owners.ts';
import type { HostFilter } from '../../../../collector/insight/question.ts';
import { LiveFeed } from '../../../../collector/live/live_feed.ts';
import { OwnerWatch } from '../../../../collector/owner_watch.ts';
import { BUILT_IN_RULES } from '../../../../collector/store/workload_rules.ts';
import { makeCall } from '../calls.ts';
import { fakeEnforcement } from './enforcement.ts';
import {
  makeBurnDown,
  makeFixFirst,
  makeGroup,
  makeGroupDetail,
  makeHost,
  makeHostDetail,
  makeOffender,
  makeOffenderDetail,
  makeOverview,
  makeReconciliation,
} from './findings.ts';
import { boardOf, pageOfMade } from './host_pages.ts';

const ADMIN = { name: 'test', sourceAddress: null };
export const CALLS = 2500;
const START = { sinceUs: 1_790_000_000_000_000, position: 4, id: '-' };

export interface ApiBench {
  url: string;
  parts: ApiParts;
  alerts: Alerts;
  tokens: { viewer: string; admin: string };
  /** The calls of insight and store, with method and arguments. */
  asked: [string, ...unknown[]][];
  logged: { level: number; msg: string }[];
  /** Requests `path`, with GET as a viewer unless `options` say otherwise. */
  ask(path: string, options?: AskOptions): Promise<Response>;
  end(): Promise<void>;
}
export interface AskOptions extends Omit<RequestInit, 'body'> {
  as?: 'nobody' | 'viewer' | 'admin';
  json?: unknown;
}

export async function startApi(changes: Partial<ApiParts> = {}, rates?: Rates): Promise<ApiBench> {
  const directory = mkdtempSync(join(tmpdir(), 'imdswatch-test-'));
  const logged: { level: number; msg: string }[] = [];
  const log: Logger = pino({ level: 'debug' }, { write: (line: string) => logged.push(JSON.parse(line)) });
  const asked: [string, ...unknown[]][] = [];
  const admin = openAdmin(directory);
  const adminStore = new SqliteAdminStore(admin);
  const access = await Access.open(
    adminStore,
    {
      agentToken: null,
      agentTokenHost: null,
      proxy: { ...NO_PROXY, userHeader: 'X-Forwarded-User', trustedAddresses: ['127.0.0.2'], admins: [] },
      secure: false,
      publicUrl: null,
    },
    log,
  );
  const view: View = { insight: new CoalescedInsight(fakeInsight(asked)), calls: fakeCalls(asked) };
  const views = new Views(() => view);
  const store = fakeStore(asked);
  const alerts = new Alerts({
    admin: adminStore,
    lease: new Lease(adminStore, 'alerts', { durationMs: ALERTS_LEASE_MS }),
    insight: {
      offenders: async () => [],
      async *glances() {
        yield [];
      },
      describeHosts: async () => [],
      groups: async () => [],
      endedTriage: async () => [],
    },
    store: { coverage: async () => [], hosts: async () => [] },
    owners: () => NO_OWNERS,
    publicUrl: null,
    log,
  });
  const owners = await OwnerWatch.open({ admin: adminStore, settingRules: [ownerRule('tag:team')], log });
  const live = new LiveFeed({ heartbeatMs: 50 });
  const parts: ApiParts = {
    views,
    deciding: {
      ...view.insight.fresh,
      explainOwner: async (id) => (id === makeOffender(1).id ? explanation(id) : null),
    },
    owners,
    reader: () => null,
    enforcement: fakeEnforcement(asked),
    access,
    alerts,
    triage: adminStore.triage,
    plans: adminStore.plans,
    store,
    storage: async () => ({
      kind: 'embedded',
      copies: 1,
      survives_loss_of_machine: false,
      text: 'On one disk.',
      problem: null,
      clock: null,
      reader: null,
    }),
    rules: BUILT_IN_RULES,
    followed: {
      begin: async () => ({ calls: [], next: START, deleted: 0, waiting: 0 }),
      page: async (after, limit) => {
        asked.push(['followed', after, limit]);
        return {
          calls: [{ ...makeCall(), offender: '0123456789abcdef', stored: '2026-11-29T08:00:00.000000Z' }],
          next: { ...after, position: after.position + 3 },
          deleted: 2,
          waiting: 9,
        };
      },
    },
    live,
    leases: () => [
      { name: 'alerts', isHeld: true, epoch: 7 },
      { name: 'retention', isHeld: false, epoch: null },
    ],
    metrics: new ApiMetrics(),
    counters: () => ({ ingest: { frames: 3, connections: 1 }, live: live.counters() }),
    observed: () => ({
      stored: {
        calls: [{ version: 1, category: 'credentials', count: 4 }],
        losses: { 'capture.dropped': 2 },
        unwatchedMs: { 'watch.stalled_ms': 1500 },
      },
      agentVersions: new Map([['0.1.0', 3]]),
      certificateEndsMs: 2_000_000_000_000,
      clockAheadSeconds: -1.5,
      streams: [
        {
          name: 'lake "1"',
          stream: 'calls',
          counts: {
            ...{ sent: 900, attempts_failed: 3, deleted_unsent: 5, unfit: 2 },
            ...{ given_up_refused: 1, given_up_partial: 4, given_up_template: 0 },
          },
          waiting: { records: 7, seconds: 12.5 },
        },
      ],
    }),
    oidc: null,
    metricsGroupTag: null,
    unready: async () => null,
    log,
    defaultWindowDays: 14,
    tls: false,
    pageDirectory: join(directory, 'no-page'),
    ...changes,
  };
  const server = new HttpServer(createApp(parts, rates), {
    tls: null,
    maxAgents: 10,
    bounds: {
      total: 100,
      perAddress: 100,
      isTrustedProxy: (address) => access.isTrustedProxy(address),
      clientAddress: (headers, address) => access.clientAddress(headers, address),
    },
    onAgent: async (_request, socket) => {
      socket.destroy();
      return false;
    },
    log,
  });
  const port = await server.listen('127.0.0.1', 0);
  const url = `http://127.0.0.1:${port}`;
  const tokens = {
    viewer: (await access.createToken({ kind: 'person', name: 'victor', role: 'viewer' }, ADMIN)).secret,
    admin: (await access.createToken({ kind: 'person', name: 'ada', role: 'admin' }, ADMIN)).secret,
  };
  return {
    url,
    parts,
    alerts,
    tokens,
    asked,
    logged,
    ask: (path, { as = 'viewer', json, ...init } = {}) => {
      const headers = new Headers(init.headers);
      // The server may end a connection that was idle while a test kept this process busy.
      headers.set('Connection', 'close');
      if (as !== 'nobody') headers.set('Authorization', `Bearer ${tokens[as]}`);
      if (json !== undefined && !headers.has('Content-Type')) headers.set('Content-Type', 'application/json');
      return fetch(`${url}${path}`, {
        redirect: 'manual',
        ...init,
        headers,
        ...(json !== undefined && { body: typeof json === 'string' ? json : JSON.stringify(json) }),
      });
    },
    end: async () => {
      live.close();
      await server.close();
      await alerts.stop();
      await owners.stop();
      await access.close();
      admin.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

export async function problemOf(
  response: Response,
  status: number,
): Promise<{ detail: string; errors?: { in: string; field: string }[] }> {
  assert.equal(response.status, status);
  assert.equal(response.headers.get('content-type'), 'application/problem+json');
  const problem = (await response.json()) as { status: number; type: string; title: string; detail: string };
  assert.equal(problem.status, status);
  assert.equal(problem.type, 'about:blank');
  assert.ok(problem.title.length > 0 && problem.detail.length > 0);
  return problem;
}

function fakeInsight(asked: [string, ...unknown[]][]): FreshAnswers {
  const answer =
    <T>(name: string, value: (...question: never[]) => T) =>
    async (...question: unknown[]): Promise<T> => {
      asked.push([name, ...question]);
      return value(...(question as never[]));
    };
  const offenders = Array.from({ length: 30 }, (_, number) => makeOffender(number));
  const hosts = Array.from({ length: 25 }, (_, number) => makeHost(number));
  const readinessOf = (host: Host) => ({ host, readiness: makeHostDetail(1).readiness });
  return {
    overview: answer('overview', makeOverview),
    offenders: answer('offenders', () => offenders),
    offendersOf: answer('offendersOf', () => offenders),
    fixFirstOf: answer('fixFirstOf', makeFixFirst),
    offender: answer('offender', (id: string) => (id === makeOffender(1).id ? makeOffenderDetail(1) : null)),
    board: answer('board', () => boardOf(hosts)),
    hostPage: answer('hostPage', (_question: never, selection: HostSelection, page: PageChoice) =>
      pageOfMade(hosts, selection, page),
    ),
    async *glances() {
      yield [];
    },
    describeHosts: answer('describeHosts', () => []),
    async *allHosts(_question, selection = {}) {
      asked.push(['allHosts', selection]);
      yield pageOfMade(hosts, selection, { limit: hosts.length, place: null }).items;
    },
    readinessPage: answer('readinessPage', (_question: never, filter: HostFilter, page: PageChoice) => {
      const { items, next } = pageOfMade(hosts, filter, page);
      return { items: items.map(readinessOf), next };
    }),
    async *allReadiness(_question, filter = {}) {
      asked.push(['allReadiness', filter]);
      yield hosts.map(readinessOf);
    },
    host: answer('host', (id: string) => (id === makeHost(1).id ? makeHostDetail(1) : null)),
    groups: answer('groups', () => [makeGroup()]),
    untriagedOf: answer('untriagedOf', () => []),
    groupsOf: answer('groupsOf', () => [makeGroup()]),
    group: answer('group', makeGroupDetail),
    readinessGroups: answer('readinessGroups', () => [
      {
        value: 'eu-central-1',
        hosts: 6,
        verdicts: makeOverview().hosts.verdicts,
        calls_v1: 1,
        ready_without_start: 0,
        command: null,
        command_notes: [],
      },
    ]),
    reconciliation: answer('reconciliation', () => hosts.map(({ id }) => makeReconciliation(id))),
    fixFirst: answer('fixFirst', makeFixFirst),
    burnDown: answer('burnDown', makeBurnDown),
    triageRecords: answer('triageRecords', () => []),
    endedTriage: answer('endedTriage', () => []),
  };
}

function fakeCalls(asked: [string, ...unknown[]][]): View['calls'] {
  const calls = Array.from({ length: CALLS }, (_, number) => makeCall({ 'url.path': `/${number}` }));
  return async (filter, limit, cursor) => {
    asked.push(['calls', filter, limit, cursor]);
    const start = Number(cursor ?? 0);
    const end = Math.min(calls.length, start + limit);
    return { calls: calls.slice(start, end), next: end === calls.length ? null : String(end) };
  };
}

function fakeStore(asked: [string, ...unknown[]][]): FindingsStore {
  return {
    putCloudCounts: async (counts) => {
      asked.push(['putCloudCounts', counts]);
    },
    putCloudInstances: async (instances) => {
      asked.push(['putCloudInstances', instances]);
    },
    putCloudInventory: async (inventory) => {
      asked.push(['putCloudInventory', inventory]);
    },
    statistics: async () => ({ bytes: 4096, calls: CALLS, oldestCallUs: 0, identities: 30, hosts: 25 }),
    write: async () => [],
  };
}

function explanation(id: string): OwnerExplanation {
  const nowhere = { namespace: null, unit: null, image: null, script: null };
  return {
    ...{ id, title: '/opt/app', owner: 'payments', owner_by: 'rule' },
    found: { owner: 'payments', rule: 'tag:team', source: 'setting' },
    facts: { ...nowhere, executable: '/opt/app', accounts: [], tags: { team: ['payments'] } },
  };
}
