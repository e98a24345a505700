/**
 * Metrics in Prometheus' text format. The values of labels are few: routes as the API defines them, states, verdicts,
 * severities, at most 50 owners and groups and 100 destinations that people name, and at most 20 releases of agents. They are
 * never a host or a path.
 */

import type { MiddlewareHandler } from 'hono';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { VERSION } from '../../common/version.ts';
import type { StageCounters } from '../../protocol/records.ts';
import type { LeaseState } from '../admin/lease.ts';
import type { StreamState } from '../contract/stream_state.ts';
import type { ReaderState } from '../store/postgres/standby_reader.ts';
import type { StoredCounts } from '../store/stored_tally.ts';
import type { ApiEnv } from './env.ts';
import { type Findings, FleetMetrics } from './fleet_metrics.ts';
import { isApiPath } from './paths.ts';
import { StageMetrics } from './stage_metrics.ts';
import { StreamMetrics } from './stream_metrics.ts';

const LATENCY_BUCKETS_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 5, 10];
/** Releases of agents with a label of their own. The rest is counted as `other`. */
const MAX_VERSIONS = 20;
const RELEASE = /^[0-9A-Za-z.+-]{1,40}$/;

/** Describes what a collector knows of itself without asking the store. */
export interface Observed {
  /** The calls and losses that this collector has stored since its start. */
  stored: StoredCounts;
  /** Connected agents by their release, as they say. */
  agentVersions: ReadonlyMap<string, number>;
  /** End of the collector's certificate in milliseconds since 1970; null without TLS. */
  certificateEndsMs: number | null;
  streams: readonly StreamState[];
  /** By how much the collector's clock is ahead of the shared database's; null where that is not known. */
  clockAheadSeconds: number | null;
}

/** Describes what a collector can do now. */
export interface CollectorState extends Observed {
  /** True where records are taken, as `/readyz` says. */
  isReady: boolean;
  /** Machines that surely have a batch on disk when it is acknowledged; null where the store did not answer. */
  copies: number | null;
  leases: readonly LeaseState[];
  /** The standbys that answer questions; null where there are none. */
  reader: ReaderState | null;
}

export interface MetricDescription {
  name: string;
  help: string;
  labels: readonly string[];
  kind: 'counter' | 'gauge' | 'histogram';
  /** True where every collector that shares a database shows the same value. */
  isOfFleet: boolean;
}

/** Fields of a metric that the types of prom-client leave out. */
interface DescribedMetric {
  name: string;
  help: string;
  labelNames: readonly string[];
}

export class ApiMetrics {
  readonly #registry = new Registry();
  readonly #latency: Histogram;
  readonly #failures: Counter;
  readonly #findingsFailures: Counter;
  readonly #ready: Gauge;
  readonly #copies: Gauge;
  readonly #clockAhead: Gauge;
  readonly #leaseHeld: Gauge;
  readonly #leaseEpoch: Gauge;
  readonly #agents: Gauge;
  readonly #certificateEnds: Gauge;
  readonly #calls: Counter;
  readonly #losses: Counter;
  readonly #unwatched: Counter;
  readonly #fleet: FleetMetrics;
  readonly #stages: StageMetrics;
  readonly #streams: StreamMetrics;
  readonly #standbyLag: Gauge;
  readonly #standbyUsable: Gauge;
  readonly #questions: Counter;
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
    this.#clockAhead = gauge(
      'database_clock_ahead_seconds',
      'Seconds by which the clock of this collector is ahead of that of the database; negative if it is behind. Only with a shared database. Beyond 60 s in either direction the collector gets no lease, and leaves the work of each lease to others.',
    );
    this.#leaseHeld = gauge(
      'lease_held',
      '1 while this collector has the lease, which one of all that share a database has: alerts, streams, retention, judgement or backstage. Without others it is always 1.',
      ['lease'],
    );
    this.#leaseEpoch = gauge(
      'lease_epoch',
      'How often the lease has changed hands, shown by the collector that has it.',
      ['lease'],
    );
    this.#standbyLag = gauge(
      'standby_lag_seconds',
      'Age of the data of a standby in store_reader. Missing while it is not known.',
      ['standby'],
    );
    this.#standbyUsable = gauge(
      'standby_usable',
      '1 while a standby in store_reader can answer questions; else 0.',
      ['standby'],
    );
    this.#questions = new Counter({
      name: 'imdswatch_store_reader_questions_total',
      help: 'Questions to the store that were meant for a standby, by the server that answered, and why that was the primary.',
      labelNames: ['server', 'reason'],
      registers,
    });
    const limited: Counter = new Counter({
      name: 'imdswatch_http_rate_limited_total',
      help: 'Requests that were refused by a rate limit.',
      registers,
      collect: () => {
        limited.reset();
        limited.inc(this.#rateLimited());
      },
    });
    const counter = (name: string, help: string, labelNames: string[]) =>
      new Counter({ name: `imdswatch_${name}`, help, labelNames, registers });
    this.#agents = gauge(
      'agents',
      `Agents that are connected to this collector, by release: the ${MAX_VERSIONS} most frequent, and other.`,
      ['version'],
    );
    this.#certificateEnds = gauge(
      'tls_certificate_expiry_timestamp_seconds',
      "End of the collector's certificate, in seconds since 1970. Absent without TLS.",
    );
    this.#calls = counter(
      'calls_total',
      'Calls that this collector has stored since its start, roll-ups included. imds_version is none for attempts that were blocked and for endpoints without versions.',
      ['imds_version', 'category'],
    );
    this.#losses = counter(
      'losses_total',
      'Losses in the coverage reports that this collector has stored since its start, by stage and counter of the agent.',
      ['stage', 'counter'],
    );
    this.#unwatched = counter(
      'unwatched_seconds_total',
      'Time that agents could not watch, from the coverage reports that this collector has stored since its start.',
      ['stage', 'counter'],
    );
    this.#fleet = new FleetMetrics(this.#registry);
    this.#stages = new StageMetrics(this.#registry);
    this.#streams = new StreamMetrics(this.#registry);
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

  /** Describes the metrics of imdswatch, for the documents: those of the process are the same for any program. */
  async descriptions(): Promise<MetricDescription[]> {
    const fleet = new Registry();
    new FleetMetrics(fleet);
    const ofFleet = new Set((await fleet.getMetricsAsJSON()).map(({ name }) => name));
    return (this.#registry.getMetricsAsArray() as unknown as DescribedMetric[])
      .filter(({ name }) => name.startsWith('imdswatch_'))
      .map((metric) => ({
        name: metric.name,
        help: metric.help,
        labels: metric.labelNames,
        kind: metric instanceof Counter ? 'counter' : metric instanceof Gauge ? 'gauge' : 'histogram',
        isOfFleet: ofFleet.has(metric.name),
      }));
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
    if (state.clockAheadSeconds === null) this.#clockAhead.remove();
    else this.#clockAhead.set(state.clockAheadSeconds);
    this.#putLeases(state.leases);
    this.#putReader(state.reader);
    this.#putStored(state.stored);
    this.#putAgents(state.agentVersions);
    if (state.certificateEndsMs === null) this.#certificateEnds.remove();
    else this.#certificateEnds.set(state.certificateEndsMs / 1000);
    this.#stages.put(stages);
    this.#streams.put(state.streams);
    if (findings === null) this.#findingsFailures.inc();
    this.#fleet.put(findings);
    return this.#registry.metrics();
  }

  #putLeases(leases: readonly LeaseState[]): void {
    this.#leaseEpoch.reset();
    for (const { name: lease, isHeld, epoch } of leases) {
      this.#leaseHeld.set({ lease }, isHeld ? 1 : 0);
      if (epoch !== null) this.#leaseEpoch.set({ lease }, epoch);
    }
  }

  #putReader(reader: ReaderState | null): void {
    for (const metric of [this.#standbyLag, this.#standbyUsable, this.#questions]) metric.reset();
    if (reader === null) return;
    const nowUs = Date.now() * 1000;
    for (const { place: standby, asOfUs, problem } of reader.standbys) {
      this.#standbyUsable.set({ standby }, problem === null ? 1 : 0);
      if (asOfUs !== null) this.#standbyLag.set({ standby }, Math.max(0, Math.floor((nowUs - asOfUs) / 1e6)));
    }
    this.#questions.inc({ server: 'standby', reason: '' }, reader.answered);
    for (const [reason, count] of Object.entries(reader.byPrimary)) {
      this.#questions.inc({ server: 'primary', reason }, count);
    }
  }

  #putStored({ calls, losses, unwatchedMs }: StoredCounts): void {
    for (const metric of [this.#calls, this.#losses, this.#unwatched]) metric.reset();
    for (const { version, category, count } of calls) {
      this.#calls.inc({ imds_version: version === null ? 'none' : String(version), category }, count);
    }
    for (const [name, amount] of Object.entries(losses)) this.#losses.inc(lossLabels(name), amount);
    for (const [name, ms] of Object.entries(unwatchedMs)) this.#unwatched.inc(lossLabels(name), ms / 1000);
  }

  #putAgents(versions: ReadonlyMap<string, number>): void {
    this.#agents.reset();
    const mostFrequent = [...versions].sort(([a, many], [b, more]) => more - many || (a < b ? -1 : 1));
    mostFrequent.forEach(([version, agents], place) => {
      const isNamed = place < MAX_VERSIONS && RELEASE.test(version);
      this.#agents.inc({ version: isNamed ? version : 'other' }, agents);
    });
  }
}

function lossLabels(name: string): { stage: string; counter: string } {
  const dot = name.indexOf('.');
  return dot === -1
    ? { stage: name, counter: name }
    : { stage: name.slice(0, dot), counter: name.slice(dot + 1).replace(/_ms$/, '') };
}

/** Returns the route as the API defines it, so that ids do not become labels. */
function routeOf(path: string, routePath: string): string {
  if (!isApiPath(path) && !routePath.startsWith('/healthz') && !routePath.startsWith('/readyz'))
    return 'page';
  return routePath.includes('*') ? 'none' : routePath;
}
