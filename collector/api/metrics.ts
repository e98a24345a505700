/**
 * Metrics in Prometheus' text format. Label values are few and fixed: routes as written in the API, states, verdicts, severities;
 * never a host, a path or a name from the field.
 */
import type { MiddlewareHandler } from 'hono';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { VERSION } from '../../common/version.ts';
import type { Counters, StageCounters } from '../../protocol/records.ts';
import type { Overview } from '../contract/host.ts';
import type { Offender } from '../contract/offender.ts';
import type { StoreStatistics } from '../store/store.ts';
import type { ApiEnv } from './env.ts';
import { isApiPath } from './paths.ts';

const LATENCY_BUCKETS_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 5, 10];
/** Counters of stages that go down as well. */
const LEVELS = new Set(['connections', 'known_connections', 'backlog_bytes', 'watchers', 'in_flight']);

export interface Findings {
  overview: Overview;
  offenders: readonly Offender[];
  statistics: StoreStatistics;
  /** Since they were worked out. */
  ageSeconds: number;
}

export class ApiMetrics {
  readonly #registry = new Registry();
  readonly #latency: Histogram;
  readonly #failures: Counter;
  readonly #findingsFailures: Counter;
  readonly #fleet: Record<
    'hosts' | 'verdicts' | 'offenders' | 'bytes' | 'calls' | 'workloads' | 'known' | 'age',
    Gauge
  >;
  readonly #stages = new Map<string, Counter | Gauge>();
  #rateLimited: () => number = () => 0;

  constructor() {
    const registers = [this.#registry];
    collectDefaultMetrics({ register: this.#registry });
    const gauge = (name: string, help: string, labelNames: string[] = []) =>
      new Gauge({ name: `imdswatch_${name}`, help, labelNames, registers });
    gauge('build_info', 'The release that runs; always 1.', ['version']).set({ version: VERSION }, 1);
    this.#latency = new Histogram({
      name: 'imdswatch_http_request_duration_seconds',
      help: 'Time until an answer began, by route of the API.',
      labelNames: ['method', 'route', 'status'],
      buckets: LATENCY_BUCKETS_S,
      registers,
    });
    this.#failures = new Counter({
      name: 'imdswatch_http_failures_total',
      help: 'Requests that ended in an error of the collector.',
      registers,
    });
    this.#findingsFailures = new Counter({
      name: 'imdswatch_metrics_findings_failures_total',
      help: 'Scrapes that went without findings, because the store did not answer.',
      registers,
    });
    const limited: Counter = new Counter({
      name: 'imdswatch_http_rate_limited_total',
      help: 'Requests that came too often.',
      registers,
      collect: () => {
        limited.reset();
        limited.inc(this.#rateLimited());
      },
    });
    this.#fleet = {
      hosts: gauge('hosts', 'Hosts that ever reported, by state.', ['state']),
      verdicts: gauge('hosts_readiness', 'Hosts by readiness for IMDSv2 only.', ['verdict']),
      offenders: gauge('offenders', 'Workloads in the window, by severity.', ['severity']),
      bytes: gauge('store_used_bytes', 'What the store takes of its bound.'),
      calls: gauge('store_calls', 'Raw calls that are kept.'),
      workloads: gauge('store_workloads', 'Workloads that are known.'),
      known: gauge('store_hosts', 'Hosts that are known.'),
      age: gauge('findings_age_seconds', 'How old the numbers of hosts, offenders and the store are.'),
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

  failed(): void {
    this.#failures.inc();
  }

  contentType(): string {
    return this.#registry.contentType;
  }

  /** `findings` null: the store could not say. */
  async text(stages: StageCounters, findings: Findings | null): Promise<string> {
    for (const [stage, counters] of Object.entries(stages)) this.#putStage(stage, counters);
    this.#putFindings(findings);
    return this.#registry.metrics();
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
    const words = name.replaceAll('_', ' ');
    const options = {
      name: full,
      help: `Stage ${stage} of the collector: ${words}.`,
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
      // Those without labels would say 0.
      const { bytes, calls, workloads, known, age } = this.#fleet;
      for (const gauge of [bytes, calls, workloads, known, age]) gauge.remove();
      return;
    }
    const { overview, offenders, statistics, ageSeconds } = findings;
    const { hosts, verdicts, bytes, calls, workloads, known, age } = this.#fleet;
    hosts.set({ state: 'online' }, overview.hosts.online);
    hosts.set({ state: 'silent' }, overview.hosts.silent);
    for (const [verdict, count] of Object.entries(overview.hosts.verdicts)) verdicts.set({ verdict }, count);
    for (const { severity } of offenders) this.#fleet.offenders.inc({ severity });
    bytes.set(statistics.bytes);
    calls.set(statistics.calls);
    workloads.set(statistics.identities);
    known.set(statistics.hosts);
    age.set(ageSeconds);
  }
}

/** As the route is written, so that ids do not become labels. */
function routeOf(path: string, routePath: string): string {
  if (!isApiPath(path) && !routePath.startsWith('/healthz') && !routePath.startsWith('/readyz'))
    return 'page';
  return routePath.includes('*') ? 'none' : routePath;
}
