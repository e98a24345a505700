/** The results of a run with a fleet, and their table for people. */
import type { Spread } from '../collector/latencies.ts';
import { layOut, type Row } from '../watch/report.ts';

/** The slope of a line through samples, and its error. */
export interface Growth {
  bytes_per_hour: number;
  error_bytes_per_hour: number;
}

export interface SteadyResult {
  seconds: number;
  /** Agents that lost their collector and came back, though nothing was ended, and why. */
  reconnected: number;
  ends: Record<string, number>;
  heartbeats_per_second: number;
  batches_per_second: number;
  calls_per_second: number;
  acknowledgement: Spread | null;
  /** Percent of one core. */
  cpu_percent: { collectors: number; haproxy: number; primary: number; standbys: number; agents: number };
  /** At the end. `_before`: with nobody connected. */
  collectors_bytes: number;
  collectors_bytes_before: number;
  haproxy_bytes: number;
  haproxy_bytes_before: number;
  primary_bytes: number;
  primary_bytes_before: number;
  wal_bytes_per_second: number;
  /** Growth of the database on disk. */
  disk_bytes_per_second: number;
  /** Between agents and HAProxy with all headers. */
  network_bytes_per_second: number;
  /** Slope of the resident memory of all collectors, with its error. */
  collectors_growth: Growth;
  haproxy_growth: Growth;
  samples: { second: number; collectors_bytes: number[]; haproxy_bytes: number }[];
}

export interface EndingResult {
  ending: string;
  /** Agents that lost their collector, and came back. */
  agents: number;
  handed_over: number;
  /** From the signal until all agents were connected again. */
  seconds: number;
  /** Time that one agent was without a collector. */
  away: Spread | null;
  /** Other reasons than the hand-over, with their number; also those of attempts that failed. */
  ends: Record<string, number>;
  /** Times of the batches that were acknowledged meanwhile. */
  acknowledgement: Spread | null;
  resent_batches: number;
  /** Agents of each collector afterwards. */
  distribution: number[];
  /** Processor time of the processes that are there at the end. */
  cpu_seconds: { collectors: number; haproxy: number };
}

export interface FleetResult {
  agents: number;
  collectors: number;
  standbys: number;
  tls: boolean;
  enrolled_in_seconds: number;
  distribution: number[];
  steady: SteadyResult;
  endings: EndingResult[];
  calls_acknowledged: number;
  calls_stored: number;
  calls_counted: number;
  /** Records that are no calls, half of them roll-ups of 20 calls. */
  other_records_acknowledged: number;
  rolled_up_calls: number;
}

export function tableOf(result: FleetResult): string {
  const { agents, steady, endings } = result;
  const rows: Row[] = [['', 'target', 'measured']];
  rows.push([
    `${agents} agents, ${result.collectors} collectors, ${result.standbys} standbys${result.tls ? ', TLS' : ''}: enrolled`,
    '',
    `${result.enrolled_in_seconds.toFixed(1)} s; of each collector ${result.distribution.join(', ')}`,
  ]);
  addSteady(rows, steady, agents);
  for (const ending of endings) addEnding(rows, ending);
  rows.push([
    'calls acknowledged / stored / in the sums',
    'equal',
    `${result.calls_acknowledged} / ${result.calls_stored} / ${result.calls_counted}`,
  ]);
  rows.push([
    'other records; calls of the roll-ups among them',
    'half × 20',
    `${result.other_records_acknowledged}; ${result.rolled_up_calls}`,
  ]);
  return layOut(rows);
}

function addSteady(rows: Row[], steady: SteadyResult, agents: number): void {
  const { cpu_percent: cpu } = steady;
  rows.push([
    `steady for ${(steady.seconds / 60).toFixed(1)} minutes: heartbeats, batches, calls a second`,
    '',
    [steady.heartbeats_per_second, steady.batches_per_second, steady.calls_per_second]
      .map((each) => each.toFixed(0))
      .join(', '),
  ]);
  rows.push(['  batch sent → acknowledged', '', spread(steady.acknowledgement)]);
  rows.push(['  agents that connected again', '0', `${steady.reconnected}${endsOf(steady.ends)}`]);
  rows.push([
    '  processor of one core: collectors, HAProxy, primary, standbys, agents',
    '',
    [cpu.collectors, cpu.haproxy, cpu.primary, cpu.standbys, cpu.agents]
      .map((each) => `${each.toFixed(1)} %`)
      .join(', '),
  ]);
  const memory = (name: string, after: number, before: number) =>
    rows.push([
      `  ${name}: resident, before the agents; of each agent`,
      '',
      `${mb(after)}, ${mb(before)}; ${((after - before) / agents / 1e3).toFixed(1)} kB`,
    ]);
  memory('collectors together', steady.collectors_bytes, steady.collectors_bytes_before);
  memory('HAProxy', steady.haproxy_bytes, steady.haproxy_bytes_before);
  memory('primary with its buffers', steady.primary_bytes, steady.primary_bytes_before);
  rows.push([
    '  growth of collectors together; HAProxy',
    'flat',
    `${growth(steady.collectors_growth)}; ${growth(steady.haproxy_growth)}`,
  ]);
  const minutely = (perSecond: number) => ((perSecond * 60) / agents / 1e3).toFixed(2);
  rows.push([
    '  kB of each agent a minute: network, write-ahead log, disk',
    '',
    [steady.network_bytes_per_second, steady.wal_bytes_per_second, steady.disk_bytes_per_second]
      .map(minutely)
      .join(', '),
  ]);
}

function addEnding(rows: Row[], result: EndingResult): void {
  const { ending, agents, seconds, handed_over: handedOver, cpu_seconds: cpu } = result;
  rows.push([ending, '', `${agents} agents back after ${seconds.toFixed(1)} s, ${handedOver} handed over`]);
  rows.push(['  an agent without a collector', '', spread(result.away)]);
  rows.push([
    '  batch sent → acknowledged; sent again',
    '',
    `${spread(result.acknowledgement)}; ${result.resent_batches}`,
  ]);
  rows.push(['  agents of each collector afterwards', 'even', result.distribution.join(', ')]);
  rows.push(['  ends that were no hand-over', '', endsOf(result.ends)]);
  rows.push([
    '  processor for each agent: collectors, HAProxy',
    '',
    `${((cpu.collectors * 1e3) / agents).toFixed(2)} ms, ${((cpu.haproxy * 1e3) / agents).toFixed(2)} ms`,
  ]);
}

function endsOf(ends: Record<string, number>): string {
  const parts = Object.entries(ends).map(([reason, times]) => `${times} × ${reason}`);
  return parts.length === 0 ? '' : ` (${parts.join('; ')})`;
}

function growth({ bytes_per_hour: bytes, error_bytes_per_hour: error }: Growth): string {
  const sign = bytes < 0 ? '−' : '+';
  return `${sign}${(Math.abs(bytes) / 1e6).toFixed(1)} ± ${(error / 1e6).toFixed(1)} MB an hour`;
}

function spread(times: Spread | null): string {
  if (times === null) return '–';
  return `p50 ${ms(times.p50_ms)}, p99 ${ms(times.p99_ms)}, max ${ms(times.max_ms)}`;
}

function ms(milliseconds: number): string {
  return `${milliseconds < 10 ? milliseconds.toFixed(1) : milliseconds.toFixed(0)} ms`;
}

function mb(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}
