/** Measures the cost of connected agents that send only heartbeats and coverage. */
import { Load } from './load.ts';
import { Subject } from './subject.ts';

/** Intervals of heartbeats and coverage: the defaults of agents. */
const HEARTBEAT_MS = 10_000;
const COVERAGE_MS = 60_000;

export interface IdleResult {
  agents: number;
  /** Processor time of all threads of the collector. */
  resident_bytes: number;
  resident_bytes_before: number;
  bytes_per_agent: number;
  heartbeats_per_second: number;
  cpu_percent: number;
  connected_in_seconds: number;
}

/** Measures each of the ascending `counts` for `forMs`. */
export async function measureIdle(counts: number[], forMs: number, dataDir: string): Promise<IdleResult[]> {
  const subject = await Subject.start({ dataDir, tls: false });
  const load = new Load();
  const results: IdleResult[] = [];
  try {
    const residentBefore = subject.usage().residentBytes;
    for (const agents of counts) {
      const { url, agentToken: token } = subject;
      const connected = await load.order({
        do: 'connect',
        agents,
        urls: [url],
        token,
        caFile: null,
        newProcessShare: 0,
        maxInFlight: 1,
      });
      const before = subject.usage();
      const { heartbeats, seconds } = await load.order({
        do: 'idle',
        forMs,
        heartbeatMs: HEARTBEAT_MS,
        coverageMs: COVERAGE_MS,
      });
      const { residentBytes, cpuSeconds } = subject.usage();
      results.push({
        agents,
        resident_bytes: residentBytes,
        resident_bytes_before: residentBefore,
        bytes_per_agent: (residentBytes - residentBefore) / agents,
        heartbeats_per_second: heartbeats / seconds,
        cpu_percent: ((cpuSeconds - before.cpuSeconds) / seconds) * 100,
        connected_in_seconds: connected.seconds,
      });
    }
    await load.order({ do: 'stop' });
  } catch (error) {
    subject.kill();
    throw error;
  } finally {
    await load.stop();
  }
  await subject.stop();
  return results;
}
