/**
 * Metrics in Prometheus' text format. The values of labels are few and fixed: routes as the API defines them,
 * states, verdicts and severities. They are never a host, a path or a name that an agent reported.
 */
import type { MiddlewareHandler } from 'hono';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { VERSION } from '../../common/version.ts';
import type { Counters, StageCounters } from '../../protocol/records.ts';
import type { LeaseState } from '../admin/lease.ts';
import type { Overview } from '../contract/host.ts';
import type { Offender } from '../contract/offender.ts';
import type { StoreStatistics } from '../store/store.ts';
import type { ApiEnv } from './env.ts';
import { isApiPath } from './paths.ts';

const LATENCY_BUCKETS_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 5, 10];
/** Values of stages that can also decrease. */
const LEVELS = new Set([
  'connections',
  'known_connections',
  'backlog_bytes',
  'waiting_in_line',
  'watchers',
  'relay_watching',
  'in_flight',
  'confirmed_hosts',
]);

export interface Findings {
  overview: Overview;
  offenders: readonly Offender[];
  statistics: StoreStatistics;
  /** Time since the findings were computed. */
  ageSeconds: number;
}

/** Describes what a collector can do now. */
export interface CollectorState {
  /** True where records are taken, as `/readyz` says. */
  isReady: boolean;
  /** Machines that surely have a batch on disk when it is acknowledged; null where the store did not answer. */
  copies: number | null;
  leases: readonly LeaseState[];
}

export class ApiMetrics {
  readonly #registry = new Registry();
  readonly #latency: Histogram;
  readonly #failures: Counter;
  readonly #findingsFailures: Counter;
  readonly #ready: Gauge;
  readonly #copies: Gauge;
  readonly #leaseHeld: Gauge;
  readonly #leaseEpoch: Gauge;
  readonly #fleet: Record<
    'hosts' | 'verdicts' | 'groups' | 'offenders' | 'bytes' | 'calls' | 'workloads' | 'known' | 'age',
    Gauge
  >;
  readonly #stages = new Map<string, Counter | Gauge>();
  #rateLimited: () => number = () => 0;

  constructor() {
    const registers = [this.#registry];
    collectDefaultMetrics({ register: this.#registry });
    const gauge = (name: string, help: string, labelNames: string[] = []) =>
      new Gauge({ name: `imdswatch_${name}`, help, labelNames, registers });
    gauge('build_info', 'Release of the collector, as a label; the value is always 1.', ['version']).set(
      { version: VERSION },
      1,
    );
    this.#latency = new Histogram({
      name: 'imdswatch_http_request_duration_seconds',
      help: 'Time from a request to the start of its answer, by route of the API.',
      labelNames: ['method', 'route', 'status'],
      buckets: LATENCY_BUCKETS_S,
      registers,
    });
    this.#failures = new Counter({
      name: 'imdswatch_http_failures_total',
      help: 'Requests that failed because of an error in the collector.',
      registers,
    });
    this.#findingsFailures = new Counter({
      name: 'imdswatch_metrics_findings_failures_total',
      help: 'Scrapes without findings, because the store did not answer.',
      registers,
    });
    this.#ready = gauge('ready', '1 while the collector takes records, as /readyz says; else 0.');
    this.#copies = gauge(
      'store_copies',
      'Machines that surely have a batch on disk when it is acknowledged; 0 if it may be in memory only.',
    );
    this.#leaseHeld = gauge(
      'lease_held',
      '1 while this collector has the lease, which one of all that share a database has: alerts or retention. Without others it is always 1.',
      ['lease'],
    );
    this.#leaseEpoch = gauge(
      'lease_epoch',
      'How often the lease has changed hands, shown by the collector that has it.',
      ['lease'],
    );
    const limited: Counter = new Counter({
      name: 'imdswatch_http_rate_limited_total',
      help: 'Requests that were refused by a rate limit.',
      registers,
      collect: () => {
        limited.reset();
        limited.inc(this.#rateLimited());
      },
    });
    this.#fleet = {
      hosts: gauge('hosts', 'Hosts that have ever reported, by state.', ['state']),
      verdicts: gauge('hosts_readiness', 'Hosts by verdict, that is their readiness to require IMDSv2.', [
        'verdict',
      ]),
      groups: gauge('groups_readiness', 'Auto Scaling groups by their own verdict.', ['verdict']),
      offenders: gauge('offenders', 'Workloads in the window, by severity.', ['severity']),
      bytes: gauge('store_used_bytes', 'Bytes that the store uses of its limit.'),
      calls: gauge('store_calls', 'Raw calls in the store.'),
      workloads: gauge('store_workloads', 'Workloads in the store.'),
      known: gauge('store_hosts', 'Hosts in the store.'),
      age: gauge('findings_age_seconds', 'Age of the numbers about hosts, offenders and the store.'),
    };
  }

  middleware(): MiddlewareHandler<ApiEnv> {
    return async (c, next) => {
      const began = performance.now();
      await next();
      const labels = {
        method: c.req.method,
        route: routeOf(c.req.path, c.req.routePath),
        status: String(c.res.status),
      };
      this.#latency.observe(labels, (performance.now() - began) / 1000);
    };
  }

  observeRateLimits(refused: () => number): void {
    this.#rateLimited = refused;
  }

  countFailure(): void {
    this.#failures.inc();
  }

  contentType(): string {
    return this.#registry.contentType;
  }

  /** `findings` is null if the store did not answer. */
  async text(stages: StageCounters, findings: Findings | null, state: CollectorState): Promise<string> {
    this.#ready.set(state.isReady ? 1 : 0);
    // A gauge without labels would show 0.
    if (state.copies === null) this.#copies.remove();
    else this.#copies.set(state.copies);
    this.#putLeases(state.leases);
    for (const [stage, counters] of Object.entries(stages)) this.#putStage(stage, counters);
    this.#putFindings(findings);
    return this.#registry.metrics();
  }

  #putLeases(leases: readonly LeaseState[]): void {
    this.#leaseEpoch.reset();
    for (const { name: lease, isHeld, epoch } of leases) {
      this.#leaseHeld.set({ lease }, isHeld ? 1 : 0);
      if (epoch !== null) this.#leaseEpoch.set({ lease }, epoch);
    }
  }

  #putStage(stage: string, counters: Counters): void {
    for (const [name, value] of Object.entries(counters)) {
      const metric = this.#stageMetric(stage, name);
      if (metric instanceof Gauge) metric.set(value);
      else {
        metric.reset();
        metric.inc(value);
      }
    }
  }

  #stageMetric(stage: string, name: string): Counter | Gauge {
    const isLevel = LEVELS.has(name);
    const full = `imdswatch_${stage}_${name}${isLevel ? '' : '_total'}`;
    const known = this.#stages.get(full);
    if (known !== undefined) return known;
    const description = name.replaceAll('_', ' ');
    const options = {
      name: full,
      help: `Stage ${stage} of the collector: ${description}.`,
      registers: [this.#registry],
    };
    const metric = isLevel ? new Gauge(options) : new Counter(options);
    this.#stages.set(full, metric);
    return metric;
  }

  #putFindings(findings: Findings | null): void {
    for (const gauge of Object.values(this.#fleet)) gauge.reset();
    if (findings === null) {
      this.#findingsFailures.inc();
      // A gauge without labels would show 0.
      const { bytes, calls, workloads, known, age } = this.#fleet;
      for (const gauge of [bytes, calls, workloads, known, age]) gauge.remove();
      return;
    }
    const { overview, offenders, statistics, ageSeconds } = findings;
    const { hosts, verdicts, groups, bytes, calls, workloads, known, age } = this.#fleet;
    hosts.set({ state: 'online' }, overview.hosts.online);
    hosts.set({ state: 'silent' }, overview.hosts.silent);
    for (const [verdict, count] of Object.entries(overview.hosts.verdicts)) verdicts.set({ verdict }, count);
    for (const [verdict, count] of Object.entries(overview.groups?.verdicts ?? {}))
      groups.set({ verdict }, count);
    for (const { severity } of offenders) this.#fleet.offenders.inc({ severity });
    bytes.set(statistics.bytes);
    calls.set(statistics.calls);
    workloads.set(statistics.identities);
    known.set(statistics.hosts);
    age.set(ageSeconds);
  }
}

/** Returns the route as the API defines it, so that ids do not become labels. */
function routeOf(path: string, routePath: string): string {
  if (!isApiPath(path) && !routePath.startsWith('/healthz') && !routePath.startsWith('/readyz'))
    return 'page';
  return routePath.includes('*') ? 'none' : routePath;
}
