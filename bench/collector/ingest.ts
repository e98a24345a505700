/** Measures how many calls per second become durable and are acknowledged, and how long that takes. */
import type { Report } from './generator.ts';
import type { Spread } from './latencies.ts';
import { Load } from './load.ts';
import { MAX_IN_FLIGHT } from './simulated_agent.ts';
import { Subject, storeAtRest } from './subject.ts';

/** Share of the calls whose process makes no other one, so that its agent must describe it first. */
export const NEW_PROCESS_SHARE = 0.1;
/**
 * Unacknowledged batches of all agents together, where they send as much as they may. With 8 batches each,
 * 1,000 agents would have a gigabyte in their sockets, and the measured time would be the time in there.
 */
const SATURATING_BATCHES = 64;

export interface IngestCase {
  name: string;
  agents: number;
  /** Calls per second; null for as many as the agents may send. */
  callsPerSecond: number | null;
  tls: boolean;
  newProcessShare: number;
  warmUpMs: number;
  forMs: number;
}

export interface IngestResult {
  name: string;
  agents: number;
  offered_per_second: number | null;
  tls: boolean;
  new_process_share: number;
  /** Calls that were durable and acknowledged within the measured time. */
  calls_per_second: number;
  calls_per_frame: number;
  wire_bytes_per_call: number;
  /** Time of a batch from the write to the socket until its acknowledgement. */
  acknowledgement: Spread | null;
  /** Time of a call from its agent, which batches for 50 ms, until its acknowledgement. */
  delivery: Spread | null;
  /** Percent of one core during the measurement. */
  cpu: { collector_main: number; collector_other: number; generator: number };
  /**
   * Processor time of the collector in microseconds per call, which other load on the machine affects less.
   */
  cpu_us_per_call: { collector_main: number; collector_other: number };
  resident_bytes: number;
  /** Covers the whole run with its warm-up. */
  calls_acknowledged: number;
  calls_stored: number;
  disk_bytes_per_call: number;
}

export async function measureIngest(
  { name, agents, callsPerSecond, tls, newProcessShare, warmUpMs, forMs }: IngestCase,
  dataDir: string,
  nodeFlags: string[],
): Promise<IngestResult> {
  const subject = await Subject.start({ dataDir, tls, nodeFlags });
  const load = new Load();
  let warm: Report;
  let report: Report;
  let residentBytes: number;
  let collector = { main: 0, other: 0 };
  try {
    await load.order({
      do: 'connect',
      agents,
      urls: [subject.url],
      token: subject.agentToken,
      caFile: subject.caFile,
      newProcessShare,
      maxInFlight:
        callsPerSecond === null
          ? Math.max(1, Math.min(MAX_IN_FLIGHT, Math.floor(SATURATING_BATCHES / agents)))
          : MAX_IN_FLIGHT,
    });
    const give = (ms: number) =>
      load.order(
        callsPerSecond === null ? { do: 'saturate', forMs: ms } : { do: 'pace', callsPerSecond, forMs: ms },
      );
    warm = await give(warmUpMs);
    const before = subject.usage();
    report = await give(forMs);
    const after = subject.usage();
    residentBytes = after.residentBytes;
    collector = {
      main: after.mainThreadSeconds - before.mainThreadSeconds,
      other: after.otherThreadsSeconds - before.otherThreadsSeconds,
    };
    await load.order({ do: 'stop' });
  } catch (error) {
    subject.kill();
    throw error;
  } finally {
    await load.stop();
  }
  await subject.stop();
  const atRest = await storeAtRest(dataDir);
  const acknowledged = warm.totalAcknowledged + report.totalAcknowledged;
  const percent = (seconds: number) => (seconds / report.totalSeconds) * 100;
  return {
    name,
    agents,
    offered_per_second: callsPerSecond,
    tls,
    new_process_share: newProcessShare,
    calls_per_second: report.acknowledged / report.seconds,
    calls_per_frame: report.calls / report.frames,
    wire_bytes_per_call: report.bytes / report.calls,
    acknowledgement: report.acknowledgement,
    delivery: report.delivery,
    cpu: {
      collector_main: percent(collector.main),
      collector_other: percent(collector.other),
      generator: percent(report.cpuSeconds),
    },
    cpu_us_per_call: {
      collector_main: (collector.main / report.totalAcknowledged) * 1e6,
      collector_other: (collector.other / report.totalAcknowledged) * 1e6,
    },
    resident_bytes: residentBytes,
    calls_acknowledged: acknowledged,
    calls_stored: atRest.calls,
    disk_bytes_per_call: atRest.bytes / atRest.calls,
  };
}
