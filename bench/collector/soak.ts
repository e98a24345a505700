/** Measures the memory of a collector over a long time of mixed load: it must not grow. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Load } from './load.ts';
import { PageUser } from './page_user.ts';
import { Random } from './random.ts';
import { type Line, regressionLine } from './regression.ts';
import { databaseBytes, Subject } from './subject.ts';

export interface SoakSize {
  minutes: number;
  callsPerSecond: number;
  agents: number;
  /** Time between two samples. */
  sampleMs: number;
  seed: number;
}

export interface SoakSample {
  minute: number;
  resident_bytes: number;
  heap_bytes: number[];
  external_bytes: number;
  disk_bytes: number;
}

/** Returns the growth in bytes per hour with its error, from the samples after the warm-up. */
export interface Growth {
  bytes_per_hour: number;
  error_bytes_per_hour: number;
  mean_bytes: number;
}

export interface SoakResult {
  minutes: number;
  calls: number;
  reconnects: number;
  questions: number;
  exports: number;
  feeds: number;
  live_calls: number;
  samples: SoakSample[];
  resident: Growth;
  heap: Growth;
}

/** Time of the warm-up, while caches fill and code is compiled. */
const WARM_UP_SHARE = 0.25;
const HEARTBEAT_MS = 5_000;
const COVERAGE_MS = 30_000;
const RECONNECT_MS = 3_000;
const NEW_PROCESS_SHARE = 0.1;
/** Interval of the generator's reports. */
const ROUND_MS = 30_000;

export async function measureSoak(
  size: SoakSize,
  dataDir: string,
  progress: (text: string) => void,
): Promise<SoakResult> {
  const subject = await Subject.start({ dataDir, tls: false, measuresMemory: true });
  const load = new Load();
  let user: PageUser | null = null;
  try {
    const { url, agentToken: token } = subject;
    const { agents, callsPerSecond } = size;
    const connect = {
      agents,
      urls: [url],
      token,
      caFile: null,
      newProcessShare: NEW_PROCESS_SHARE,
      maxInFlight: 8,
    };
    await load.order({ do: 'connect', ...connect });
    user = new PageUser({
      url: subject.apiUrl,
      token: await subject.personToken('admin'),
      hosts: agents,
      random: new Random(size.seed),
    });
    user.start();
    const endMs = performance.now() + size.minutes * 60_000;
    const samples: SoakSample[] = [];
    const sampling = sample(subject, size, endMs, samples, progress);
    sampling.catch(() => {}); // awaited below, unless the load fails first
    let calls = 0;
    let reconnects = 0;
    while (performance.now() < endMs) {
      user.check();
      const forMs = Math.min(ROUND_MS, endMs - performance.now());
      const mix = { heartbeatMs: HEARTBEAT_MS, coverageMs: COVERAGE_MS, reconnectMs: RECONNECT_MS };
      const report = await load.order({ do: 'mix', forMs, callsPerSecond, ...mix });
      calls += report.totalAcknowledged;
      reconnects += report.reconnects;
    }
    await sampling;
    await user.stop();
    await load.order({ do: 'stop' });
    await load.stop();
    await subject.stop();
    const { questions, exports, feeds, liveCalls } = user;
    const settled = samples.slice(Math.floor(samples.length * WARM_UP_SHARE));
    return {
      minutes: size.minutes,
      calls,
      reconnects,
      questions,
      exports,
      feeds,
      live_calls: liveCalls,
      samples,
      resident: growthOf(settled, ({ resident_bytes }) => resident_bytes),
      heap: growthOf(settled, ({ heap_bytes }) => heap_bytes.reduce((sum, bytes) => sum + bytes, 0)),
    };
  } catch (error) {
    subject.kill();
    throw error;
  } finally {
    await user?.stop().catch(() => {}); // what it has to tell was told above
    await load.stop();
  }
}

async function sample(
  subject: Subject,
  { sampleMs }: SoakSize,
  endMs: number,
  samples: SoakSample[],
  progress: (text: string) => void,
): Promise<void> {
  const beganMs = performance.now();
  for (let count = 1; beganMs + count * sampleMs <= endMs; count += 1) {
    await sleep(Math.max(0, beganMs + count * sampleMs - performance.now()));
    const { residentBytes, heapBytes, externalBytes } = await subject.memory();
    const taken: SoakSample = {
      minute: (performance.now() - beganMs) / 60_000,
      resident_bytes: residentBytes,
      heap_bytes: heapBytes,
      external_bytes: externalBytes,
      disk_bytes: databaseBytes(subject.dataDir),
    };
    samples.push(taken);
    progress(lineOf(taken));
  }
}

function lineOf({ minute, resident_bytes, heap_bytes, external_bytes, disk_bytes }: SoakSample): string {
  const mb = (bytes: number) => (bytes / 1e6).toFixed(1);
  const heaps = heap_bytes.map(mb).join(' + ');
  return `minute ${minute.toFixed(1)}: resident ${mb(resident_bytes)} MB, heap after collection ${heaps} MB, external ${mb(external_bytes)} MB, disk ${mb(disk_bytes)} MB`;
}

function growthOf(samples: readonly SoakSample[], bytesOf: (sample: SoakSample) => number): Growth {
  const points = samples.map((sample) => ({ at: sample.minute / 60, value: bytesOf(sample) }));
  const line: Line = regressionLine(points);
  return {
    bytes_per_hour: line.slope,
    error_bytes_per_hour: line.slopeError,
    mean_bytes: points.reduce((sum, { value }) => sum + value, 0) / points.length,
  };
}
