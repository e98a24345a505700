/** Formats the results of a run as a table for people. */
import { layOut, type Row } from '../watch/report.ts';
import type { ArrivalResult } from './arrival.ts';
import type { HostileResult } from './hostile.ts';
import type { IdleResult } from './idle.ts';
import type { IngestResult } from './ingest.ts';
import type { Spread } from './latencies.ts';
import type { QuestionsResult } from './questions.ts';
import type { ShapeResult } from './shapes.ts';
import type { SharedResult } from './shared_store.ts';
import type { Growth, SoakResult } from './soak.ts';

export interface WireResult {
  new_process_share: number;
  calls_per_batch: number;
  protocol_1_bytes_per_call: number;
  protocol_2_bytes_per_call: number;
}

export interface Results {
  wire?: WireResult[];
  shapes?: ShapeResult[];
  ingest?: IngestResult[];
  idle?: IdleResult[];
  arrival?: ArrivalResult[];
  questions?: QuestionsResult[];
  soak?: SoakResult;
  shared?: SharedResult;
  hostile?: HostileResult[];
}

/** The load that the collector must sustain, and the number of idle agents that its memory target is for. */
const CALLS_PER_SECOND = 30_000;
const IDLE_AGENTS = 5_000;
/** Questions with a target for their time, which holds for a store of `MANY_CALLS`. */
const QUICK_QUESTIONS = ['offenders', 'hosts with readiness', 'readiness groups'];
const MANY_CALLS = 100_000_000;

export function tableOf({
  wire = [],
  shapes = [],
  ingest = [],
  idle = [],
  arrival = [],
  questions = [],
  soak,
  shared,
  hostile = [],
}: Results): string {
  const rows: Row[] = [['', 'target', 'measured']];
  for (const { new_process_share, calls_per_batch, ...bytes } of wire) {
    const { protocol_1_bytes_per_call: one, protocol_2_bytes_per_call: two } = bytes;
    const what = `bytes a call on the wire, ${calls_per_batch} a batch, ${percent(new_process_share)} by new processes`;
    rows.push([what, '', `protocol 1: ${one.toFixed(0)}, protocol 2: ${two.toFixed(0)}`]);
  }
  for (const { name, calls_per_core_second, bytes_per_call } of shapes) {
    const target = name === 'otlp, protobuf' ? '≥ 10,000/s' : '';
    const rate = Math.round(calls_per_core_second);
    rows.push([
      `calls a second by one core: ${name}`,
      target,
      `${rate}/s, ${bytes_per_call.toFixed(0)} bytes`,
    ]);
  }
  for (const result of ingest) addIngest(rows, result);
  for (const { agents, resident_bytes, bytes_per_agent, cpu_percent } of idle) {
    const target = agents === IDLE_AGENTS ? '≤ 500 MB' : '';
    rows.push([`${agents} idle agents: resident`, target, mb(resident_bytes)]);
    rows.push(['  each; processor of one core', '', `${kb(bytes_per_agent)}, ${cpu_percent.toFixed(1)} %`]);
  }
  for (const { load_per_second, live_feed, offenders } of arrival) {
    const under = load_per_second === 0 ? 'at rest' : `at ${load_per_second} calls/s`;
    rows.push([`packet to page, ${under}: live feed`, '< 1 s', spread(live_feed)]);
    rows.push(['  among the offenders', '< 1 s', spread(offenders)]);
  }
  for (const result of questions) addQuestions(rows, result);
  if (soak !== undefined) addSoak(rows, soak);
  if (shared !== undefined) addShared(rows, shared);
  for (const result of hostile) addHostile(rows, result);
  return layOut(rows);
}

function addHostile(rows: Row[], { attack, quiet, attacked, pages, ...result }: HostileResult): void {
  const { hostile, max_resident_bytes: resident, slowest_page: slowest } = result;
  rows.push([
    `one hostile host: ${attack}`,
    '',
    `${hostile.frames} frames sent, ${hostile.acknowledgements} acknowledgements`,
  ]);
  const target = quiet === null ? '' : `p99 < ${(2 * quiet.p99_ms).toFixed(0)} ms`;
  const was = quiet === null ? '' : ` (quiet: p99 ${quiet.p99_ms.toFixed(1)} ms)`;
  rows.push(['  acknowledgement of the others', target, `${spread(attacked)}${was}`]);
  rows.push(['  collector, resident at most', '< 600 MB', mb(resident)]);
  rows.push(['  pages; the slowest', '< 500 ms', `${spread(pages)}; ${slowest}`]);
}

function addIngest(rows: Row[], result: IngestResult): void {
  const { name, offered_per_second, calls_per_second, cpu, cpu_us_per_call: us } = result;
  const isFull = offered_per_second === null || offered_per_second >= CALLS_PER_SECOND;
  rows.push([`${name}: durable calls/s`, isFull ? `${CALLS_PER_SECOND}` : '', calls_per_second.toFixed(0)]);
  rows.push([
    '  batch sent → acknowledged',
    offered_per_second === CALLS_PER_SECOND ? 'p99 < 500 ms' : '',
    spread(result.acknowledgement),
  ]);
  if (result.delivery !== null) rows.push(['  call handed over → acknowledged', '', spread(result.delivery)]);
  rows.push([
    '  calls a frame, bytes a call: wire, disk',
    '',
    `${result.calls_per_frame.toFixed(1)}, ${result.wire_bytes_per_call.toFixed(0)}, ${result.disk_bytes_per_call.toFixed(0)}`,
  ]);
  rows.push([
    '  processor: collector main + others, generator',
    '',
    `${cpu.collector_main.toFixed(0)} % + ${cpu.collector_other.toFixed(0)} %, ${cpu.generator.toFixed(0)} %`,
  ]);
  rows.push([
    '  collector, µs a call: main + others',
    '',
    `${us.collector_main.toFixed(1)} + ${us.collector_other.toFixed(1)}`,
  ]);
  rows.push([
    '  acknowledged / stored, resident',
    'equal',
    `${result.calls_acknowledged} / ${result.calls_stored}, ${mb(result.resident_bytes)}`,
  ]);
}

function addQuestions(rows: Row[], { store, disk_bytes, questions, resident_bytes }: QuestionsResult): void {
  const { calls, rawCalls, rollups, hosts, days, madeInSeconds } = store;
  rows.push([
    `store of ${calls} calls, ${hosts} hosts, ${days} days`,
    '',
    `${rawCalls} one by one, the rest in ${rollups} roll-ups; made in ${madeInSeconds.toFixed(0)} s`,
  ]);
  rows.push([
    '  on disk; a record; resident after asking',
    '',
    `${mb(disk_bytes)}, ${(disk_bytes / (rawCalls + rollups)).toFixed(0)} bytes, ${mb(resident_bytes)}`,
  ]);
  for (const { question, first_ms, bytes, ...times } of questions) {
    const isNamed = QUICK_QUESTIONS.some((name) => question.startsWith(name));
    const target = isNamed && calls >= MANY_CALLS * 0.99 ? 'p95 < 200 ms' : '';
    rows.push([
      `  ${question}`,
      target,
      `p50 ${ms(times.p50_ms)}, p95 ${ms(times.p95_ms)}, first ${ms(first_ms)}, ${kb(bytes)}`,
    ]);
  }
}

function addSoak(rows: Row[], soak: SoakResult): void {
  const { minutes, calls, reconnects, questions, exports, feeds, live_calls, samples } = soak;
  rows.push([`mixed load for ${minutes} minutes`, '', `${calls} calls, ${reconnects} reconnects`]);
  rows.push([
    '  questions, exports, live feeds',
    '',
    `${questions}, ${exports}, ${feeds} with ${live_calls} calls`,
  ]);
  rows.push(['  resident memory, from a quarter of it on', 'flat', growth(soak.resident)]);
  rows.push(['  heap in use after collection, all threads', 'flat', growth(soak.heap)]);
  const last = samples.at(-1);
  if (last !== undefined) rows.push(['  on disk at the end', '', mb(last.disk_bytes)]);
}

function addShared(rows: Row[], { cpu_us_per_call: us, ...result }: SharedResult): void {
  const { collectors, standbys, agents, offered_per_second: offered } = result;
  rows.push([
    `${collectors} collectors, ${standbys} quorum standbys, ${agents} agents, ${result.calls_per_frame.toFixed(1)} calls a batch: durable calls/s`,
    `${offered}`,
    result.calls_per_second.toFixed(0),
  ]);
  rows.push(['  batch sent → acknowledged', 'p99 < 250 ms', spread(result.acknowledgement)]);
  rows.push([
    '  µs a call: collectors main + others, primary, standbys, generator',
    '',
    `${us.collectors_main.toFixed(1)} + ${us.collectors_other.toFixed(1)}, ${us.primary.toFixed(1)}, ${us.standbys.toFixed(1)}, ${us.generator.toFixed(1)}`,
  ]);
  rows.push([
    '  write-ahead log a call; collectors, resident',
    '',
    `${result.wal_bytes_per_call.toFixed(0)} bytes, ${mb(result.resident_bytes)}`,
  ]);
  rows.push([
    '  acknowledged / stored / in the sums',
    'equal',
    `${result.calls_acknowledged} / ${result.calls_stored} / ${result.calls_counted}`,
  ]);
}

/** Formats the slope of the line. Without growth, zero is within its error. */
function growth({ bytes_per_hour, error_bytes_per_hour, mean_bytes }: Growth): string {
  const signed = `${bytes_per_hour < 0 ? '−' : '+'}${(Math.abs(bytes_per_hour) / 1e6).toFixed(1)}`;
  return `${signed} ± ${(error_bytes_per_hour / 1e6).toFixed(1)} MB an hour on ${mb(mean_bytes)}`;
}

function spread(times: Spread | null): string {
  if (times === null) return '–';
  return `p50 ${ms(times.p50_ms)}, p99 ${ms(times.p99_ms)}, max ${ms(times.max_ms)}`;
}

function ms(milliseconds: number): string {
  return `${milliseconds < 10 ? milliseconds.toFixed(1) : milliseconds.toFixed(0)} ms`;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`;
}

/** Unit of the targets: 1 MB is 1,000,000 bytes. */
function mb(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}

function kb(bytes: number): string {
  return `${(bytes / 1e3).toFixed(1)} kB`;
}
