/** The collector: composition only. */
import { fileURLToPath } from 'node:url';
import type { Logger } from 'pino';
import { VERSION } from '../common/version.ts';
import type { StageCounters } from '../protocol/records.ts';
import { Access } from './access/access.ts';
import type { OidcSignIn } from './access/oidc/oidc_sign_in.ts';
import type { OidcOptions } from './access/oidc/options.ts';
import { signInLink } from './access/sign_in_link.ts';
import { ServerTls } from './access/tls.ts';
import { proxyOptions } from './access_settings.ts';
import { Lease } from './admin/lease.ts';
import type { ChangedPlan } from './admin/plans.ts';
import { ALERTS_LEASE_MS, Alerts } from './alert/alerts.ts';
import { PlanAlerts } from './alert/plan_alerts.ts';
import { createApp } from './api/app.ts';
import { CoalescedInsight } from './api/coalesced_insight.ts';
import { ApiMetrics } from './api/metrics.ts';
import type { View } from './api/parts.ts';
import { HttpServer } from './api/server.ts';
import { Views } from './api/views.ts';
import { CATALOGUE_LEASE_MS, CatalogueWatch } from './backstage/catalogue_watch.ts';
import type { BackstageOptions } from './backstage/options.ts';
import { backstageOptions } from './backstage_settings.ts';
import { ClockWatch } from './clock_watch.ts';
import {
  type CollectorSettings,
  checkCollectorSettings,
  configuredAgentToken,
  isAnyAddress,
  listenAddress,
  ownerRules,
  workloadRules,
} from './config.ts';
import { SHARED_GATHER_MS } from './ingest/gathering.ts';
import { IngestServer } from './ingest/server.ts';
import { storeProblem } from './ingest/store_probe.ts';
import { Writer } from './ingest/writer.ts';
import { EnforcementQuestions } from './insight/enforcement.ts';
import { ScopeMembersOutside } from './insight/group/members_outside.ts';
import { Insight } from './insight/insight.ts';
import { JUDGEMENT_LEASE_MS, KeptJudgement } from './kept_judgement.ts';
import { LiveFeed } from './live/live_feed.ts';
import { oidcOptions } from './oidc_settings.ts';
import type { OpenedData } from './opened_data.ts';
import { OwnerWatch } from './owner_watch.ts';
import { PlanWatch } from './plan_watch.ts';
import { RETENTION_LEASE_MS, RetentionTimer } from './retention.ts';
import { FollowedCalls } from './store/followed_calls.ts';
import { dataNowUs } from './store/reading.ts';
import { ScopedQueries } from './store/scoped_queries.ts';
import { WorkloadQueries } from './store/workload_queries.ts';
import { openData } from './store_place.ts';
import { openStreams } from './stream/open_streams.ts';

const PAGE_DIRECTORY = fileURLToPath(new URL('../web/dist', import.meta.url));

const DRAINING = 'This collector is about to end, and hands its agents over to others.';

export interface Collector {
  /** The bound address for agents, with the actual port where the setting has port 0. */
  address: { host: string; port: number; url: string };
  /** Address of the page. */
  pageUrl: string;
  /** Returns a link that signs one admin in, once, within 15 minutes of this call. */
  signInLink(): Promise<string>;
  counters(): StageCounters;
  /** Describes the state in one line. Resolves when the store has answered, however long that takes. */
  state(): Promise<{ takesRecords: boolean; status: string }>;
  /** Stores the batches that were received, then closes the store. */
  stop(): Promise<void>;
}

/** Starts a collector. Throws `OperatorError` (settings, certificate, address or store). */
export async function startCollector(settings: CollectorSettings, log: Logger): Promise<Collector> {
  checkCollectorSettings(settings);
  const agentToken = configuredAgentToken(settings);
  const oidcOfSettings = oidcOptions(settings);
  const backstage = backstageOptions(settings);
  const endings: (() => unknown)[] = [];
  const end = async () => {
    for (const ending of endings.splice(0).reverse()) await ending();
  };
  try {
    return await compose(settings, { agentToken, oidc: oidcOfSettings, backstage }, log, endings, end);
  } catch (error) {
    await end();
    throw error;
  }
}

async function compose(
  settings: CollectorSettings,
  {
    agentToken,
    oidc: oidcOfSettings,
    backstage,
  }: { agentToken: string | null; oidc: OidcOptions | null; backstage: BackstageOptions | null },
  log: Logger,
  /** Functions that end the parts. They are called in the opposite order. */
  endings: (() => unknown)[],
  end: () => Promise<void>,
): Promise<Collector> {
  const publicUrl = settings.public_url ?? null;
  const tls = await ServerTls.fromSettings(settings, log);
  if (tls !== null) endings.push(() => tls.close());
  const data = await openData(settings, settings.helper_programs, log);
  const { store, admin } = data;
  endings.push(
    () => store.close(),
    () => data.reader?.close(),
    () => data.closeAdmin(),
    () => data.feed?.close(),
  );
  const access = await Access.open(
    admin,
    {
      agentToken,
      agentTokenHost: settings.agent_token_host ?? null,
      proxy: proxyOptions(settings),
      secure: tls !== null || publicUrl?.startsWith('https:') === true,
      publicUrl,
    },
    log,
  );
  endings.push(() => access.close());
  const oidc = oidcOfSettings === null ? null : await openOidc(oidcOfSettings, { access, log });

  if (data.isShared) await logStorage(data, log);

  const rules = workloadRules(settings);
  // Questions of people. What decides an action asks the store itself.
  const questions = data.reader ?? store;
  const live = new LiveFeed({ rules, relay: data.feed });
  const writer = new Writer(store, log, {
    gatherMs: data.isShared ? SHARED_GATHER_MS : 0,
    stored: {
      isListening: () => live.isWatched || planAlerts.isListening,
      onStored: (batches) => {
        live.publish(batches);
        planAlerts.onStored(batches);
      },
    },
  });
  const ingest = new IngestServer({
    identify: (request) => access.identifyAgent(request),
    issueCredential: (hostId, claim) => access.enrol(hostId, claim),
    hasCredential: (hostId) => access.hasCredential(hostId),
    addressOf: ({ headers, socket }) => access.clientAddress(headers, socket.remoteAddress),
    maxConnections: settings.max_connections,
    idleMs: settings.idle_seconds * 1000,
    pace: {
      heartbeatSeconds: settings.agent_heartbeat_seconds ?? null,
      silentAfterSeconds: settings.silent_after_seconds,
    },
    store,
    writer,
    log,
  });
  const clockCheck = new ClockWatch(log);
  const catalogueLease = new Lease(admin, 'backstage', { durationMs: CATALOGUE_LEASE_MS, clockCheck });
  const catalogue =
    backstage === null
      ? null
      : await CatalogueWatch.open({ ...backstage, admin, lease: catalogueLease, log });
  endings.push(() => catalogue?.stop());
  const owners = await OwnerWatch.open({ admin, settingRules: ownerRules(settings), catalogue, log });
  endings.push(() => owners.stop());
  const judging = {
    readinessWindowDays: settings.readiness_window_days,
    readinessMaxMissingSeconds: settings.readiness_max_missing_seconds,
    silentAfterSeconds: settings.silent_after_seconds,
    rules,
    owners: () => owners.owners(),
  };
  const triage = () => admin.triage.all();
  const deciding = new Insight(store, { ...judging, triage });
  const now = () => dataNowUs(Date.now() * 1000) / 1000;
  const answers = data.reader === null ? deciding : new Insight(data.reader, { ...judging, triage, now });
  const judgementLease = new Lease(admin, 'judgement', { durationMs: JUDGEMENT_LEASE_MS, clockCheck });
  const keptDays = settings.readiness_window_days;
  const kept = new KeptJudgement({
    admin,
    lease: judgementLease,
    insight: answers,
    store,
    madeWith: () => [
      ...[VERSION, keptDays, judging.readinessMaxMissingSeconds, judging.silentAfterSeconds],
      ...[settings.helper_programs, settings.release_patterns, owners.owners().tagKeys],
    ],
    defaultWindowDays: keptDays,
    log,
  });
  const onChange = () => data.reader?.requireNews();
  const views = new Views((sight) => {
    const queries = sight === null ? questions : new ScopedQueries(questions, sight);
    const selected = new WorkloadQueries(queries, rules);
    const calls: View['calls'] = (...question) => selected.calls(...question);
    // Answers that are judged in advance are about the whole fleet.
    if (sight === null)
      return { calls, insight: new CoalescedInsight(answers, { kept, keptDays, onChange }) };
    const own = new Insight(queries, {
      ...judging,
      triage,
      ...(data.reader !== null && { now }),
      outside: new ScopeMembersOutside(questions, sight),
    });
    return { calls, insight: new CoalescedInsight(own, { onChange }) };
  });
  owners.onChange(() => views.forget());
  const lease = new Lease(admin, 'alerts', { durationMs: ALERTS_LEASE_MS, clockCheck });
  const alerts = new Alerts({
    ...{ admin, lease, insight: deciding, store, publicUrl, log },
    owners: () => owners.owners(),
  });
  const enforcement = new EnforcementQuestions(store, judging);
  const planAlerts = await PlanAlerts.open({
    admin,
    lease,
    questions: enforcement,
    store,
    record: (drafts, subjects, held) => alerts.record(drafts, subjects, held),
    storedSoFar: () => writer.storedSoFar(),
    log,
  });
  const notice = (changed: readonly ChangedPlan[]) => {
    live.publishPlans(changed.map(({ plan: { id, phase, reported } }) => ({ id, phase, reported })));
    planAlerts.onPlans(changed);
  };
  const planWatch = new PlanWatch(admin.plans, notice, log);
  endings.push(() => planWatch.stop());
  const { streams, lease: streamsLease } = openStreams({
    ...{ admin, store, insight: deciding, publicUrl, log, clockCheck },
    offenderOf: (call) => rules.workloadIdOfCall(call),
    retention: () => access.retention(),
  });
  const retentionLease = new Lease(admin, 'retention', { durationMs: RETENTION_LEASE_MS, clockCheck });
  const retention = new RetentionTimer(store, access, retentionLease, log);
  endings.push(() => retention.stop());
  access.onTokenEnded(({ kind, hostId }) => {
    if (kind !== 'person') ingest.disconnect(hostId);
    void live.check();
  });

  // In a database an empty write is a commit. The last failure tells less than that: the database may be back.
  const problem = () => storeProblem(store, data.isShared ? { failing: false } : writer);

  let isDraining = false;
  const counters = (): StageCounters => ({
    ingest: ingest.counters(),
    writer: writer.counters(),
    access: { ...access.counters(), ...oidc?.counters() },
    insight: views.counters(),
    owners: owners.counters(),
    ...(catalogue !== null && { backstage: catalogue.counters() }),
    judgement: kept.counters(),
    live: live.counters(),
    alerts: alerts.counters(),
    plan_alerts: planAlerts.counters(),
    streams: streams.counters(),
    retention: retention.counters(),
    http: server.counters(),
    ...(tls !== null && { tls: tls.counters() }),
  });
  const app = createApp({
    views,
    deciding,
    enforcement,
    access,
    oidc,
    alerts,
    triage: admin.triage,
    owners,
    plans: admin.plans,
    store: {
      putCloudCounts: (counts) => store.putCloudCounts(counts),
      putCloudInstances: (instances) => store.putCloudInstances(instances),
      putCloudInventory: (inventory) => store.putCloudInventory(inventory),
      statistics: () => questions.statistics(),
      write: (batches) => store.write(batches),
    },
    storage: async () => {
      const { reader, ...stored } = await data.storage();
      return { ...stored, clock: clockCheck.problem, reader };
    },
    reader: () => data.reader?.state() ?? null,
    leases: () =>
      [lease.state, retentionLease.state, judgementLease.state, streamsLease.state].concat(
        catalogue === null ? [] : catalogueLease.state,
      ),
    rules,
    followed: new FollowedCalls(store, (call) => rules.workloadIdOfCall(call)),
    live,
    metrics: new ApiMetrics(),
    counters,
    observed: () => ({
      stored: writer.stored(),
      agentVersions: ingest.agentVersions(),
      certificateEndsMs: tls?.expiresMs ?? null,
      streams: streams.states(),
      clockAheadSeconds: clockCheck.aheadSeconds,
    }),
    metricsGroupTag: settings.metrics_group_tag ?? null,
    unready: async () => (isDraining ? DRAINING : problem()),
    log,
    defaultWindowDays: settings.readiness_window_days,
    tls: tls !== null,
    pageDirectory: PAGE_DIRECTORY,
  });
  const server = new HttpServer(app, {
    tls: tls?.options ?? null,
    maxAgents: settings.max_connections,
    bounds: {
      total: settings.max_unauthenticated,
      perAddress: settings.max_unauthenticated_per_address,
      isTrustedProxy: (address) => access.isTrustedProxy(address),
      clientAddress: (headers, address) => access.clientAddress(headers, address),
    },
    onAgent: (request, socket, head) => ingest.onUpgrade(request, socket, head),
    log,
  });
  endings.push(async () => {
    live.close();
    await Promise.all([ingest.close(), server.close()]);
    await writer.settled();
  });

  await kept.start();
  endings.push(() => kept.stop());
  const { host, port: wanted } = listenAddress(settings);
  const port = await server.listen(host, wanted);
  if (tls !== null && server.tlsServer !== null) tls.follow(server.tlsServer);
  alerts.start();
  planAlerts.start();
  streams.start();
  endings.push(() => streams.stop());
  endings.push(() => planAlerts.stop().then(() => alerts.stop()));
  const urlOf = (scheme: string, name: string) =>
    `${scheme}${tls === null ? '' : 's'}://${name.includes(':') ? `[${name}]` : name}:${port}`;
  const pageUrl = publicUrl ?? urlOf('http', isAnyAddress(host) ? 'localhost' : host);
  await access.setAddress(pageUrl);
  const url = urlOf('ws', host);
  log.info({ listen: url, page: pageUrl, store: data.place }, 'the collector is listening');
  let stopped: Promise<void> | null = null;
  const drain = async () => {
    if (settings.drain_seconds === 0) return;
    isDraining = true;
    log.info({ seconds: settings.drain_seconds }, 'handing the agents over to other collectors');
    await ingest.drain(settings.drain_seconds * 1000);
  };
  return {
    address: { host, port, url },
    pageUrl,
    signInLink: async () => {
      const by = { name: 'collector', sourceAddress: null };
      return signInLink(pageUrl, await access.createSignInCode({ role: 'admin', scope: null }, by));
    },
    counters,
    async state() {
      // An empty write waits for its turn, however long. The next line reports its error.
      await store.write([]).catch(() => {});
      const found = await problem();
      const agents = ingest.counters()['connections'] ?? 0;
      const listens = `Listening on ${host}:${port}; ${agents} ${agents === 1 ? 'agent' : 'agents'} connected`;
      return { takesRecords: found === null, status: found === null ? listens : `${found} ${listens}` };
    },
    stop: () => {
      stopped ??= drain()
        .then(end)
        .then(() => log.info('the collector has stopped'));
      return stopped;
    },
  };
}

/** Loads the libraries of OpenID Connect, which no other collector needs. The start does not wait for the provider. */
async function openOidc(options: OidcOptions, parts: { access: Access; log: Logger }): Promise<OidcSignIn> {
  const { OidcSignIn } = await import('./access/oidc/oidc_sign_in.ts');
  const oidc = new OidcSignIn(options, parts);
  void oidc.announce();
  return oidc;
}

/** Says once what an acknowledgement is worth in a database, whose settings are its operator's. */
async function logStorage({ place, storage }: OpenedData, log: Logger): Promise<void> {
  const { copies, survives_loss_of_machine: isSafe, text } = await storage();
  const fields = { store: place, copies };
  if (isSafe) log.info(fields, text);
  else log.warn(fields, text);
}
