/**
 * Measures a collector with honest agents and one hostile host: acknowledgements, memory, and the page's
 * answers.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiClient } from './api_client.ts';
import { ATTACKS, HOSTILE_ID } from './attacks.ts';
import type { Report } from './generator.ts';
import type { HostileReport } from './hostile_host.ts';
import { Latencies, type Spread } from './latencies.ts';
import { Load } from './load.ts';
import { MAX_IN_FLIGHT } from './simulated_agent.ts';
import { Subject } from './subject.ts';

const HOSTILE_HOST = join(import.meta.dirname, 'hostile_host.ts');
const SAMPLE_MS = 200;
/** Pages that are requested during the attack, one after the other. */
const PAGES = [
  '/api/v1/overview',
  '/api/v1/hosts',
  '/api/v1/offenders',
  '/api/v1/readiness/groups?by=account',
  '/api/v1/calls',
  `/api/v1/hosts/${HOSTILE_ID}`,
];

export interface HostileCase {
  agents: number;
  callsPerSecond: number;
  quietMs: number;
  attackMs: number;
}

export interface HostileResult {
  attack: string;
  /** Latencies of the honest agents' batches. */
  quiet: Spread | null;
  attacked: Spread | null;
  max_resident_bytes: number;
  pages: Spread | null;
  slowest_page: string;
  hostile: HostileReport;
  acknowledged_calls: number;
}

export async function measureHostile(
  attack: string,
  { agents, callsPerSecond, quietMs, attackMs }: HostileCase,
  dataDir: string,
): Promise<HostileResult> {
  const subject = await Subject.start({ dataDir, tls: false });
  const load = new Load();
  try {
    const api = new ApiClient(subject.apiUrl, await subject.personToken('viewer'));
    const { url, agentToken: token } = subject;
    await load.order({
      do: 'connect',
      agents,
      urls: [url],
      token,
      caFile: null,
      newProcessShare: 0.1,
      maxInFlight: MAX_IN_FLIGHT,
    });
    const pace = (forMs: number) => load.order({ do: 'pace', callsPerSecond, forMs });
    await pace(quietMs / 4);
    const quiet = await withPages(api, pace(quietMs));
    const memory = watchMemory(subject);
    const hostile = startHostile(url, token, attack, attackMs);
    const attacked = await withPages(api, pace(attackMs));
    const result: HostileResult = {
      attack,
      quiet: quiet.report.acknowledgement,
      attacked: attacked.report.acknowledgement,
      max_resident_bytes: memory.stop(),
      pages: attacked.pages.spread(),
      slowest_page: attacked.slowest,
      hostile: await hostile,
      acknowledged_calls: attacked.report.totalAcknowledged,
    };
    await load.order({ do: 'stop' });
    await load.stop();
    await subject.stop();
    return result;
  } catch (error) {
    await load.stop().catch(() => {});
    subject.kill();
    throw error;
  }
}

export const ATTACK_NAMES = Object.keys(ATTACKS);

/** Requests every page again and again until the work has ended. */
async function withPages(
  api: ApiClient,
  work: Promise<Report>,
): Promise<{ report: Report; pages: Latencies; slowest: string }> {
  let isOver = false;
  const ended = work.finally(() => {
    isOver = true;
  });
  ended.catch(() => {});
  const pages = new Latencies();
  let slowest = { path: '', ms: 0 };
  while (!isOver) {
    for (const path of PAGES) {
      const ms = await askFor(api, path);
      if (ms === null) continue;
      pages.add(ms);
      if (ms > slowest.ms) slowest = { path, ms };
    }
    await sleep(SAMPLE_MS);
  }
  return { report: await ended, pages, slowest: slowest.path };
}

/** Returns null if there is no such host yet. */
async function askFor(api: ApiClient, path: string): Promise<number | null> {
  try {
    return (await api.get(path)).ms;
  } catch (error) {
    if (/: 404 /.test((error as Error).message)) return null;
    throw error;
  }
}

function watchMemory(subject: Subject): { stop: () => number } {
  let most = 0;
  const look = () => {
    most = Math.max(most, subject.usage().residentBytes);
  };
  const timer = setInterval(look, SAMPLE_MS);
  return {
    stop: () => {
      clearInterval(timer);
      look();
      return most;
    },
  };
}

async function startHostile(
  url: string,
  token: string,
  attack: string,
  forMs: number,
): Promise<HostileReport> {
  const child = spawn(process.execPath, [HOSTILE_HOST, url, token, attack, String(forMs)], {
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: forMs + 30_000,
  });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    said += chunk;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`the hostile host ended with ${code}`);
  return JSON.parse(said) as HostileReport;
}
