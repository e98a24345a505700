/**
 * Metrics of one agent. All their labels have fixed sets of values: nothing of a call, a process or a host is a label. Values are
 * set when somebody asks, from what the stages count anyway.
 */
import { Counter, Gauge, Registry } from 'prom-client';
import { isLoss, LOSSES, SPOOL_LOSSES } from '../../protocol/losses.ts';
import type { Heartbeat, StageCounters } from '../../protocol/records.ts';
import { CALL_CONFIDENCES, CALL_VERSIONS, type CallCounts } from './call_counts.ts';

const MS = '_ms';

/** The state of the agent at the time of a question. */
export interface AgentReadings {
  version: string;
  /** The way callers are found, such as `ebpf`. */
  attribution: NonNullable<Heartbeat['attribution']['way']>;
  calls: CallCounts;
  counters: StageCounters;
  isLive: boolean;
  /** Time since the start in which the capture was live. */
  watchedSeconds: number;
  /** Connections to the endpoints that the kernel made; null where the way of attribution reports none. */
  kernelConnections: number | null;
  seenConnections: number;
  isConnected: boolean;
  spool: { bytes: number; maxBytes: number; records: number; isFailing: boolean; oldestSeconds: number };
  /** Seconds of processor time, resident bytes, and the start in seconds since 1970. */
  process: { cpuSeconds: number; residentBytes: number; startSeconds: number };
}

export class AgentMetrics {
  readonly #registry = new Registry();
  readonly #info = this.#gauge('agent_info', 'The release of the agent, and the way it finds callers.', [
    ...['version', 'attribution'],
  ]);
  readonly #calls = this.#counter('agent_calls_total', 'Calls that were seen, by version of IMDS.', [
    'imds_version',
  ]);
  readonly #confidence = this.#counter(
    'agent_attributed_calls_total',
    'Calls that were seen, by how sure their caller is.',
    ['confidence'],
  );
  readonly #losses = this.#counter('agent_losses_total', 'Losses by stage and reason, see docs/operate.md.', [
    ...['stage', 'reason'],
  ]);
  readonly #unwatched = this.#counter(
    'agent_unwatched_seconds_total',
    'Time for which other network namespaces were not watched or not followed.',
    ['reason'],
  );
  readonly #live = this.#gauge('agent_capture_live', '1 while packets are captured.');
  readonly #watched = this.#counter('agent_watched_seconds_total', 'Time in which packets were captured.');
  readonly #kernel = this.#counter(
    'agent_kernel_connections_total',
    'Connections to the endpoints that the kernel reported. Without eBPF there is no value.',
  );
  readonly #seen = this.#counter(
    'agent_seen_connections_total',
    'Connections to the endpoints that were seen.',
  );
  readonly #connected = this.#gauge(
    'agent_collector_connected',
    '1 while the agent is connected to a collector.',
  );
  readonly #spoolBytes = this.#gauge('agent_spool_bytes', 'Size of the records that wait for the collector.');
  readonly #spoolMax = this.#gauge('agent_spool_max_bytes', 'Largest size of the spool.');
  readonly #spoolRecords = this.#gauge('agent_spool_records', 'Records that wait for the collector.');
  readonly #spoolAge = this.#gauge('agent_spool_oldest_seconds', 'Age of the oldest record that waits.');
  readonly #spoolFailing = this.#gauge(
    'agent_spool_failing',
    '1 while records cannot be written to the disk.',
  );
  readonly #cpu = this.#counter('process_cpu_seconds_total', 'Processor time of the agent.', [], '');
  readonly #memory = this.#gauge('process_resident_memory_bytes', 'Resident memory of the agent.', [], '');
  readonly #start = this.#gauge(
    'process_start_time_seconds',
    'Start of the agent, in seconds since 1970.',
    [],
    '',
  );

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** Returns the metrics in the text format of Prometheus. */
  text(now: AgentReadings): Promise<string> {
    for (const metric of this.#registry.getMetricsAsArray()) (metric as unknown as Gauge).reset();
    const { calls, counters, spool, process } = now;
    this.#info.set({ version: now.version, attribution: now.attribution }, 1);
    for (const version of CALL_VERSIONS) this.#calls.inc({ imds_version: version }, calls.versions[version]);
    for (const confidence of CALL_CONFIDENCES)
      this.#confidence.inc({ confidence }, calls.confidences[confidence]);
    for (const [stage, reasons] of Object.entries({ ...LOSSES, spool: SPOOL_LOSSES })) {
      for (const reason of reasons) this.#lose(stage, reason, counters);
    }
    this.#live.set(Number(now.isLive));
    this.#watched.inc(now.watchedSeconds);
    if (now.kernelConnections !== null) this.#kernel.inc(now.kernelConnections);
    else this.#kernel.remove();
    this.#seen.inc(now.seenConnections);
    this.#connected.set(Number(now.isConnected));
    this.#spoolBytes.set(spool.bytes);
    this.#spoolMax.set(spool.maxBytes);
    this.#spoolRecords.set(spool.records);
    this.#spoolAge.set(spool.oldestSeconds);
    this.#spoolFailing.set(Number(spool.isFailing));
    this.#cpu.inc(process.cpuSeconds);
    this.#memory.set(process.residentBytes);
    this.#start.set(process.startSeconds);
    return this.#registry.metrics();
  }

  #lose(stage: string, reason: string, counters: StageCounters): void {
    const count = counters[stage]?.[reason] ?? 0;
    if (!isLoss(stage, reason)) return;
    if (reason.endsWith(MS)) this.#unwatched.inc({ reason: reason.slice(0, -MS.length) }, count / 1000);
    else this.#losses.inc({ stage, reason }, count);
  }

  #gauge(name: string, help: string, labelNames: string[] = [], prefix = 'imdswatch_'): Gauge {
    return new Gauge({ name: `${prefix}${name}`, help, labelNames, registers: [this.#registry] });
  }

  #counter(name: string, help: string, labelNames: string[] = [], prefix = 'imdswatch_'): Counter {
    return new Counter({ name: `${prefix}${name}`, help, labelNames, registers: [this.#registry] });
  }
}
