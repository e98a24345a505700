/**
 * Measures how long it takes from a call that the agent's stages hand to its outbox until people see it: in
 * the live feed, and among the offenders. The outbox is the real one, with its spool on disk.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { v7 as uuidv7 } from 'uuid';
import { Outbox, toCollector } from '../../agent/outbox/outbox.ts';
import { BUILT_IN_RULES } from '../../collector/store/workload_rules.ts';
import { VERSION } from '../../common/version.ts';
import type { Call } from '../../protocol/call.ts';
import { ApiClient } from './api_client.ts';
import { callerOf, hostOf, v1Call, workloadOf } from './fleet.ts';
import { Latencies, type Spread } from './latencies.ts';
import { Load } from './load.ts';
import { Random } from './random.ts';
import { Subject } from './subject.ts';

/** The host of this agent; no simulated agent has it. */
const HOST = hostOf(999_999);
const HEARTBEAT_MS = 10_000;
const ARRIVAL_TIMEOUT_MS = 20_000;
const MAX_PAUSE_MS = 120;
const LOAD_AGENTS = 100;
/** Calls that are not measured, while connections are opened and code is compiled. */
const WARM_UP_CALLS = 5;

export interface ArrivalResult {
  calls: number;
  load_per_second: number;
  live_feed: Spread | null;
  offenders: Spread | null;
}

export async function measureArrival(
  calls: number,
  callsPerSecond: number,
  dataDir: string,
): Promise<ArrivalResult> {
  const spoolDir = mkdtempSync(join(tmpdir(), 'imdswatch-bench-spool-'));
  const subject = await Subject.start({ dataDir, tls: false });
  const load = new Load();
  let outbox: Outbox | null = null;
  let client: ApiClient | null = null;
  try {
    client = new ApiClient(subject.apiUrl, await subject.personToken('viewer'));
    outbox = openOutbox(subject, spoolDir);
    outbox.start();
    const background = callsPerSecond === 0 ? null : await startLoad(load, subject, callsPerSecond);
    const result = await send(calls, outbox, client);
    background?.end();
    await background?.ended;
    await outbox.stop();
    client.close();
    await load.stop();
    await subject.stop();
    return { calls, load_per_second: callsPerSecond, ...result };
  } catch (error) {
    subject.kill();
    throw error;
  } finally {
    client?.close();
    await load.stop();
    rmSync(spoolDir, { recursive: true, force: true });
  }
}

function openOutbox({ url, agentToken: token }: Subject, spoolDir: string): Outbox {
  const identity = { host: HOST, agentVersion: VERSION, log: pino({ level: 'silent' }) };
  return new Outbox({
    ...identity,
    spoolDir,
    spoolMaxBytes: 64 * 1024 * 1024,
    detail: 'rolled_up',
    rollupIntervalMs: 60_000,
    state: () => ({
      counters: {},
      coverage: { live: true, sources: ['any'] },
      attribution: { method: 'ebpf', reason: null },
    }),
    sink: toCollector({ url, token, spoolDir, heartbeatMs: HEARTBEAT_MS }, identity),
  });
}

async function startLoad(load: Load, { url, agentToken: token }: Subject, callsPerSecond: number) {
  const agents = { agents: LOAD_AGENTS, newProcessShare: 0.1, maxInFlight: 8 };
  await load.order({ do: 'connect', urls: [url], token, caFile: null, ...agents });
  const stopping = new AbortController();
  const rounds = async () => {
    while (!stopping.signal.aborted) await load.order({ do: 'pace', callsPerSecond, forMs: 1000 });
  };
  const ended = rounds();
  ended.catch(() => {}); // whoever awaits `ended` is told
  return { end: () => stopping.abort(), ended };
}

async function send(calls: number, outbox: Outbox, client: ApiClient) {
  const seenMs = new Map<string, number>();
  const live = new Latencies();
  const offenders = new Latencies();
  const random = new Random(7);
  const unwatch = await client.watch(`/api/v1/live?host=${HOST.id}`, (id, atMs) => seenMs.set(id, atMs));
  for (let number = 0; number < calls + WARM_UP_CALLS; number += 1) {
    // Each call has a workload of its own, and so makes a new line among the offenders.
    const workload = workloadOf('arriving', number);
    const start = new Date().toISOString().replace('Z', '000Z');
    const call: Call = {
      ...v1Call(uuidv7(), start, workload, random),
      ...callerOf(workload, 5000 + number, start, random),
      host: HOST,
    };
    const id = BUILT_IN_RULES.workloadIdOfCall(call);
    const handedMs = performance.now();
    outbox.call(call);
    const listedMs = await untilListed(client, id, handedMs);
    const liveMs = await untilSeen(seenMs, call.id, handedMs);
    if (number >= WARM_UP_CALLS) {
      offenders.add(listedMs - handedMs);
      live.add(liveMs - handedMs);
    }
    await sleep(random.next() * MAX_PAUSE_MS);
  }
  unwatch();
  return { live_feed: live.spread(), offenders: offenders.spread() };
}

/** Requests the offenders again and again. The time of an answer is that of its last byte. */
async function untilListed(client: ApiClient, id: string, handedMs: number): Promise<number> {
  while (performance.now() - handedMs < ARRIVAL_TIMEOUT_MS) {
    const { body } = await client.get(`/api/v1/offenders?days=1&limit=1000&host=${HOST.id}`);
    if ((body as { items: { id: string }[] }).items.some((offender) => offender.id === id)) {
      return performance.now();
    }
    await sleep(5);
  }
  throw new Error(`an offender was not listed within ${ARRIVAL_TIMEOUT_MS} ms`);
}

async function untilSeen(seenMs: ReadonlyMap<string, number>, id: string, handedMs: number): Promise<number> {
  while (performance.now() - handedMs < ARRIVAL_TIMEOUT_MS) {
    const atMs = seenMs.get(id);
    if (atMs !== undefined) return atMs;
    await sleep(2);
  }
  throw new Error(`a call was not in the live feed within ${ARRIVAL_TIMEOUT_MS} ms`);
}
