/**
 * `bin/node bench/collector/streams.ts MEASURE` measures streams of calls on loopback.
 *
 *   outage   a destination that is down for --minutes (10) while --rate (1,000) calls a second arrive, and then is back
 *   export   --rate (10,000) calls a second for --seconds (60), sent as OTLP while they arrive, on one core
 *   notes    processor time that the notes of arrivals add to a call that is stored, in both stores
 *
 * Prints progress on stderr, and one JSON line on stdout. Exit codes as those of imdswatch; 1 where a call is lost, comes twice
 * or comes out of order.
 */
import { execFileSync } from 'node:child_process';
import { loadavg } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { exitWith } from '../../cli/exit.ts';
import type { Destination } from '../../collector/contract/destination.ts';
import { parseDatabaseUrl } from '../../collector/store/postgres/database_url.ts';
import { PostgresStore } from '../../collector/store/postgres/postgres_store.ts';
import { openStore } from '../../collector/store/sqlite/sqlite_store.ts';
import { OperatorError } from '../../common/operator_error.ts';
import { DatabaseCluster } from './database_cluster.ts';
import { Load } from './load.ts';
import { inNewDirectory } from './new_directory.ts';
import { notesCost } from './notes_cost.ts';
import { type ReceiverReport, StreamReceiver } from './stream_receiver.ts';
import { Subject, storeAtRest } from './subject.ts';

const AGENTS = 50;
const ROUND_MS = 30_000;
const WARM_UP_MS = 30_000;
const DRAIN_SAMPLE_MS = 10_000;
/** Attempts to ask the collector. A machine that is busy answers on a connection that has ended meanwhile. */
const ATTEMPTS = 5;
const PATIENCE_MS = 20 * 60_000;

interface Sample {
  second: number;
  resident_mb: number;
  behind: number;
  received: number;
}

/** A collector with its agents and a receiver. */
class Stage {
  readonly subject: Subject;
  readonly receiver: StreamReceiver;
  readonly load = new Load();
  readonly #token: string;

  private constructor(subject: Subject, receiver: StreamReceiver, token: string) {
    this.subject = subject;
    this.receiver = receiver;
    this.#token = token;
  }

  static async open(dataDir: string): Promise<Stage> {
    const subject = await Subject.start({ dataDir, tls: false });
    const stage = new Stage(subject, new StreamReceiver(), await subject.personToken('admin'));
    const { url, agentToken: token } = subject;
    await stage.load.order({
      ...{ do: 'connect', agents: AGENTS, urls: [url], token, caFile: null, newProcessShare: 0.1 },
      maxInFlight: 8,
    });
    return stage;
  }

  async add(preset: string, port: number): Promise<void> {
    const config = { kind: 'http', preset, values: { url: `http://127.0.0.1:${port}/v1/logs` } };
    await this.#ask('POST', '', { name: preset, stream: 'calls', config });
    while ((await this.destination()).progress?.since == null) await sleep(100);
  }

  async destination(): Promise<Destination> {
    return ((await this.#ask('GET', '')) as { items: Destination[] }).items[0]!;
  }

  /** Waits until at most so many calls wait. Returns the seconds. */
  async untilBehind(most: number): Promise<number> {
    const beganMs = performance.now();
    for (;;) {
      const { progress } = await this.destination();
      if (progress!.behind <= most) return (performance.now() - beganMs) / 1000;
      if (performance.now() - beganMs > PATIENCE_MS) throw new Error(`${progress!.behind} calls still wait`);
      await sleep(500);
    }
  }

  async #ask(method: string, path: string, body?: object): Promise<unknown> {
    const answer = await this.#answer(method, path, body);
    if (!answer.ok) throw new Error(`${method} destinations: ${answer.status} ${await answer.text()}`);
    return answer.json();
  }

  async #answer(method: string, path: string, body?: object): Promise<Response> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await fetch(`${this.subject.apiUrl}/api/v1/alert/destinations${path}`, {
          method,
          headers: { authorization: `Bearer ${this.#token}`, 'content-type': 'application/json' },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        });
      } catch (error) {
        if (attempt >= ATTEMPTS || method !== 'GET') throw error;
      }
    }
  }

  async close(): Promise<void> {
    // The collector has closed connections of agents that sent nothing for long.
    await this.load.ask({ do: 'stop' });
    await Promise.all([this.load.stop(), this.receiver.stop()]);
    await this.subject.stop();
  }

  /** Ends everything at once, after a failure. */
  async kill(): Promise<void> {
    this.subject.kill();
    await Promise.all([this.load.stop(), this.receiver.stop()]);
  }
}

function problemsOf({ calls, duplicates, disordered, missing }: ReceiverReport, given: number): string[] {
  const problems: string[] = [];
  if (calls - duplicates !== given || missing > 0) problems.push(`${given} calls, and ${calls} arrived`);
  if (duplicates > 0) problems.push(`${duplicates} calls came twice`);
  if (disordered > 0) problems.push(`${disordered} calls came before an earlier one`);
  return problems;
}

async function outage(dataDir: string, minutes: number, rate: number) {
  const stage = await Stage.open(dataDir);
  const { load, receiver, subject } = stage;
  const samples: Sample[] = [];
  try {
    const { port } = await receiver.ask({ do: 'listen', port: 0 });
    await stage.add('webhook', port);
    const beganMs = performance.now();
    const sample = async () => {
      const [{ calls }, { progress }] = [await receiver.ask({ do: 'report' }), await stage.destination()];
      const taken = {
        second: Math.round((performance.now() - beganMs) / 1000),
        resident_mb: Math.round(subject.usage().residentBytes / 1e5) / 10,
        ...{ behind: progress!.behind, received: calls },
      };
      samples.push(taken);
      process.stderr.write(`${JSON.stringify(taken)} load ${loadavg()[0]!.toFixed(1)}\n`);
      return taken;
    };
    const give = async (forMs: number) => {
      // A machine that is busy with something else may acknowledge late: what counts is what is stored at the end.
      const { failures, rejected } = await load.ask({ do: 'pace', callsPerSecond: rate, forMs });
      if (failures.length > 0 || rejected > 0)
        throw new Error(failures[0] ?? `${rejected} records were rejected`);
      return sample();
    };
    await give(WARM_UP_MS);
    await receiver.ask({ do: 'close' });
    const downMs = performance.now();
    while (performance.now() - downMs < minutes * 60_000) await give(ROUND_MS);
    const waited = samples.at(-1)!.behind;
    await receiver.ask({ do: 'listen', port });
    const backMs = performance.now();
    const before = subject.usage();
    while ((await sample()).behind > 0) {
      if (performance.now() - backMs > PATIENCE_MS) throw new Error('the stream does not catch up');
      await sleep(DRAIN_SAMPLE_MS);
    }
    const drainSeconds = (performance.now() - backMs) / 1000;
    const cpuSeconds = subject.usage().cpuSeconds - before.cpuSeconds;
    await stage.untilBehind(0);
    const report = await receiver.ask({ do: 'report' });
    const { progress, given_up: givenUp } = await stage.destination();
    await stage.close();
    const { sent, deleted } = progress!;
    const { calls: given } = await storeAtRest(dataDir);
    const ended = { given, waited, drain_seconds: drainSeconds, drain_cpu_seconds: cpuSeconds };
    return { problems: problemsOf(report, given), ...ended, sent, deleted, givenUp, report, samples };
  } catch (error) {
    await stage.kill();
    throw error;
  }
}

async function exportOtlp(dataDir: string, seconds: number, rate: number) {
  const stage = await Stage.open(dataDir);
  const { load, receiver, subject } = stage;
  try {
    execFileSync('taskset', ['-a', '-c', '-p', '0', String(subject.pid)], { stdio: 'ignore' });
    const { port } = await receiver.ask({ do: 'listen', port: 0 });
    await stage.add('otlp', port);
    const warm = await load.order({ do: 'pace', callsPerSecond: rate, forMs: 10_000 });
    const [before, receivedBefore] = [subject.usage(), await receiver.ask({ do: 'report' })];
    const beganMs = performance.now();
    const report = await load.order({ do: 'pace', callsPerSecond: rate, forMs: seconds * 1000 });
    const passed = (performance.now() - beganMs) / 1000;
    const [after, received] = [subject.usage(), await receiver.ask({ do: 'report' })];
    const { progress } = await stage.destination();
    const drainSeconds = await stage.untilBehind(0);
    const all = await receiver.ask({ do: 'report' });
    await stage.close();
    return {
      problems: problemsOf(all, warm.totalAcknowledged + report.totalAcknowledged),
      offered_per_second: rate,
      acknowledged_per_second: report.acknowledged / report.seconds,
      exported_per_second: (received.calls - receivedBefore.calls) / passed,
      behind_at_the_end: progress!.behind,
      drain_seconds: drainSeconds,
      collector_percent_of_a_core: ((after.cpuSeconds - before.cpuSeconds) / passed) * 100,
      collector_us_per_call: ((after.cpuSeconds - before.cpuSeconds) / report.totalAcknowledged) * 1e6,
      acknowledgement: report.acknowledgement,
      resident_mb: after.residentBytes / 1e6,
    };
  } catch (error) {
    await stage.kill();
    throw error;
  }
}

function processSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

async function notes(dataDir: string) {
  const embedded = openStore(dataDir);
  const sqlite = await notesCost(embedded, processSeconds);
  await embedded.close();
  process.stderr.write(`sqlite: ${JSON.stringify(sqlite)}\n`);
  const cluster = await DatabaseCluster.start(0, false);
  try {
    const store = await PostgresStore.open(parseDatabaseUrl(cluster.url));
    const server = async () => (await cluster.usage()).primarySeconds;
    const postgresql = await notesCost(store, async () => processSeconds() + (await server()));
    await store.close();
    return { problems: [], sqlite, postgresql };
  } finally {
    await cluster.close();
  }
}

async function main(): Promise<number> {
  const options = {
    minutes: { type: 'string' },
    rate: { type: 'string' },
    seconds: { type: 'string' },
  } as const;
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  const amount = (text: string | undefined, fallback: number) =>
    text === undefined ? fallback : Number(text);
  const measures: Record<string, () => Promise<{ problems: string[] }>> = {
    outage: () => inNewDirectory((dir) => outage(dir, amount(values.minutes, 10), amount(values.rate, 1000))),
    export: () =>
      inNewDirectory((dir) => exportOtlp(dir, amount(values.seconds, 60), amount(values.rate, 10_000))),
    notes: () => inNewDirectory(notes),
  };
  const measure = measures[positionals[0] ?? ''];
  if (measure === undefined) throw new OperatorError(2, 'Name a measure: outage, export or notes.');
  const loadBefore = loadavg()[0];
  const results = await measure();
  const run = { bench: `streams ${positionals[0]}`, load_before: loadBefore, load_after: loadavg()[0] };
  process.stdout.write(`${JSON.stringify({ ...run, ...results })}\n`);
  return results.problems.length === 0 ? 0 : 1;
}

await exitWith(main);
