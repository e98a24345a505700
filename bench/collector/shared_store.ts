/**
 * Measures collectors that share a PostgreSQL database: agents send batches of a few calls at a steady rate, and each
 * acknowledgement waits for a standby.
 */
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseCluster } from './database_cluster.ts';
import type { Report } from './generator.ts';
import { NEW_PROCESS_SHARE } from './ingest.ts';
import type { Spread } from './latencies.ts';
import { Load } from './load.ts';
import type { Usage } from './process_usage.ts';
import { MAX_IN_FLIGHT } from './simulated_agent.ts';
import { Subject } from './subject.ts';

const WARM_UP_SLOWER = 3;
/** The file docker/compose.ha.yaml sets the same. */
const SEMI_SPACE_MIB = 64;
/** More than the log of a run of 150 s at 10,000 calls/s. */
const LOG_FILES = 160;

export interface SharedCase {
  collectors: number;
  standbys: number;
  agents: number;
  callsPerSecond: number;
  callsPerBatch: number;
  warmUpMs: number;
  forMs: number;
}

export interface SharedResult {
  collectors: number;
  standbys: number;
  agents: number;
  offered_per_second: number;
  calls_per_frame: number;
  /** Calls that were durable and acknowledged within the measured time. */
  calls_per_second: number;
  acknowledgement: Spread | null;
  /** Processor time in microseconds per call. */
  cpu_us_per_call: {
    collectors_main: number;
    collectors_other: number;
    primary: number;
    standbys: number;
    generator: number;
  };
  wal_bytes_per_call: number;
  /** Sum over all collectors. */
  resident_bytes: number;
  /** Covers the whole run with its warm-up. */
  calls_acknowledged: number;
  calls_stored: number;
  calls_counted: number;
}

/** `profileDir`: where collectors write processor profiles, and the database its statements; null for nowhere. */
export async function measureShared(
  options: SharedCase,
  dir: string,
  profileDir: string | null,
): Promise<SharedResult> {
  const cluster = await DatabaseCluster.start(options.standbys, profileDir !== null, LOG_FILES);
  const subjects: Subject[] = [];
  const load = new Load();
  try {
    if (profileDir !== null) mkdirSync(profileDir, { recursive: true });
    const nodeFlags = profileDir === null ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileDir}`];
    for (let index = 0; index < options.collectors; index += 1) {
      const dataDir = mkdtempSync(join(dir, 'collector-'));
      subjects.push(
        await Subject.start({
          dataDir,
          tls: false,
          store: cluster.url,
          semiSpaceMib: SEMI_SPACE_MIB,
          nodeFlags,
        }),
      );
    }
    const result = await run(options, cluster, subjects, load, profileDir);
    for (const subject of subjects) await subject.stop();
    const { calls, counted } = await cluster.stored();
    return { ...result, calls_stored: calls, calls_counted: counted };
  } catch (error) {
    for (const subject of subjects) subject.kill();
    throw error;
  } finally {
    await load.stop();
    await cluster.close();
  }
}

async function run(
  options: SharedCase,
  cluster: DatabaseCluster,
  subjects: readonly Subject[],
  load: Load,
  profileDir: string | null,
): Promise<Omit<SharedResult, 'calls_stored' | 'calls_counted'>> {
  const { collectors, standbys, agents, callsPerSecond, callsPerBatch, warmUpMs, forMs } = options;
  await load.order({
    do: 'connect',
    agents,
    urls: subjects.map(({ url }) => url),
    token: subjects[0]!.agentToken,
    caFile: null,
    newProcessShare: NEW_PROCESS_SHARE,
    maxInFlight: MAX_IN_FLIGHT,
  });
  const give = (rate: number, ms: number): Promise<Report> =>
    load.order({ do: 'pace', callsPerSecond: rate, callsAtOnce: callsPerBatch, forMs: ms });
  // A fleet does not start at once: every first call of a process brings its description.
  const warm = await give(callsPerSecond / WARM_UP_SLOWER, warmUpMs);
  if (profileDir !== null) await cluster.forgetStatements();
  const before = { cluster: await cluster.usage(), subjects: subjects.map((subject) => subject.usage()) };
  const report = await give(callsPerSecond, forMs);
  const after = { cluster: await cluster.usage(), subjects: subjects.map((subject) => subject.usage()) };
  if (profileDir !== null) {
    const statements = await cluster.statements();
    writeFileSync(join(profileDir, 'statements.json'), JSON.stringify(statements, null, 2));
  }
  await load.order({ do: 'stop' });
  const calls = report.totalAcknowledged;
  const micros = (seconds: number) => (seconds / calls) * 1e6;
  const grown = (key: keyof Usage) =>
    after.subjects.reduce((sum, usage, index) => sum + usage[key] - before.subjects[index]![key], 0);
  return {
    collectors,
    standbys,
    agents,
    offered_per_second: callsPerSecond,
    calls_per_frame: report.calls / report.frames,
    calls_per_second: report.acknowledged / report.seconds,
    acknowledgement: report.acknowledgement,
    cpu_us_per_call: {
      collectors_main: micros(grown('mainThreadSeconds')),
      collectors_other: micros(grown('otherThreadsSeconds')),
      primary: micros(after.cluster.primarySeconds - before.cluster.primarySeconds),
      standbys: micros(after.cluster.standbySeconds - before.cluster.standbySeconds),
      generator: micros(report.cpuSeconds),
    },
    wal_bytes_per_call: (after.cluster.walBytes - before.cluster.walBytes) / calls,
    resident_bytes: after.subjects.reduce((sum, { residentBytes }) => sum + residentBytes, 0),
    calls_acknowledged: warm.totalAcknowledged + calls,
  };
}
