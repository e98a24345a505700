/**
 * Writes two weeks of a fleet into a store: offenders of every severity, hosts of every verdict, gaps and
 * silent hosts.
 */
import { v7 as uuidv7 } from 'uuid';
import { heardHost } from '../../../collector/store/packed_heartbeat.ts';
import type { CallBody, Store, StoredBatch, StoredRecord } from '../../../collector/store/store.ts';
import type { CallerFacts } from '../../../collector/store/workload_identity.ts';
import type { HostFacts } from '../../../protocol/call.ts';
import type { Heartbeat } from '../../../protocol/records.ts';
import { makeCall } from '../collector/calls.ts';
import {
  AGENT,
  API,
  BACKUP,
  type Caller,
  FIREWALLED,
  HEALTH,
  HOSTILE,
  HOSTILE_CALLER,
  LEGACY,
  LONG_PATH,
  SSM_AGENT,
  UNKNOWN,
  WORKER,
} from './fleet_callers.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const COVERAGE_MS = HOUR_MS;
const WATCHED_DAYS = 16;

interface Pattern {
  caller: Caller;
  hosts: number[];
  /** The first and the last day with calls, in days ago. */
  days: [from: number, to: number];
  perDay: number;
  call: Partial<CallBody>;
}

const CREDENTIALS = {
  'imds.category': 'credentials',
  'imds.role': 'app-role',
  'url.path': '/latest/meta-data/iam/security-credentials/app-role',
} as const;
const V2 = { 'imds.version': 2, 'imds.server_version': 2 } as const;

export interface FleetHost {
  facts: HostFacts;
  /** The first report, in days ago. */
  watchedFrom: number;
  /** The last report and heartbeat, in days ago; 0 is now. */
  watchedTo: number;
  /** A time that was not watched, in days ago. */
  gap?: [from: number, to: number];
  losses?: Record<string, number>;
}

function host(index: number, name: string, more: Partial<FleetHost> = {}): FleetHost {
  const region = index % 3 === 0 ? 'us-east-1' : 'eu-central-1';
  return {
    facts: {
      id: `i-0a1b2c3d4e5f6${index.toString(16).padStart(4, '0')}`,
      name,
      'cloud.account.id': index % 4 === 0 ? '210987654321' : '123456789012',
      'cloud.region': region,
      'cloud.availability_zone': `${region}${'abc'[index % 3]}`,
      type: index % 2 === 0 ? 'm7g.large' : 'c7i.xlarge',
      'image.id': `ami-0f${(index % 3).toString(16).repeat(15)}`,
      tags: {
        team: ['shop', 'billing', 'platform'][index % 3]!,
        env: index % 5 === 0 ? 'staging' : 'production',
      },
    },
    watchedFrom: WATCHED_DAYS,
    watchedTo: 0,
    ...more,
  };
}

export const FLEET: FleetHost[] = [
  host(0, 'shop-web-1'),
  host(1, 'shop-web-2'),
  host(2, 'shop-web-3', { gap: [6, 5.6] }),
  host(3, 'billing-1'),
  host(4, 'backup-1'),
  host(5, 'staging-worker-1'),
  host(6, 'worker-1'),
  host(7, 'edge-1'),
  host(8, 'edge-2'),
  host(9, 'edge-3'),
  host(10, 'ci-runner-1', { watchedFrom: 3 }),
  host(11, 'ci-runner-2', { gap: [9, 8.5], losses: { 'capture.dropped': 42 } }),
  host(12, 'old-vpn-gateway', { watchedTo: 2.3 }),
  host(13, 'batch-9', { watchedTo: 0.05 }),
  host(14, 'locked-down-1'),
];

const PATTERNS: Pattern[] = [
  { caller: BACKUP, hosts: [4], days: [14, 0], perDay: 6, call: CREDENTIALS },
  { caller: API, hosts: [0, 1, 2], days: [12, 0], perDay: 14, call: CREDENTIALS },
  {
    caller: API,
    hosts: [0, 1, 2],
    days: [12, 0],
    perDay: 9,
    call: { 'imds.category': 'role-list', 'url.path': '/latest/meta-data/iam/security-credentials/' },
  },
  {
    caller: AGENT,
    hosts: [0, 3, 4, 6],
    days: [13, 2],
    perDay: 24,
    call: {
      'imds.category': 'identity-document',
      'url.path': '/latest/dynamic/instance-identity/document',
      'caller.role': 'relay',
    },
  },
  {
    caller: HEALTH,
    hosts: [3],
    days: [4, 0.02],
    perDay: 30,
    call: {
      answered_by: 'service',
      'answered_by.evidence': 'departure',
      'answered_by.confidence': 'probable',
      via: {
        kind: 'redirect',
        pid: 4021,
        name: 'envoy',
        'executable.path': '/usr/local/bin/envoy',
        script: null,
        'owner.uid': 1337,
      },
    },
  },
  {
    caller: WORKER,
    hosts: [5, 6],
    days: [7, 0.2],
    perDay: 10,
    call: {
      ...CREDENTIALS,
      'http.response.status_code': 200,
      'imds.fallback': 'token_unanswered',
      'imds.category': 'role-list',
      'url.path': '/latest/meta-data/iam/security-credentials/',
    },
  },
  {
    caller: LEGACY,
    hosts: [14],
    days: [10, 0.1],
    perDay: 5,
    call: { ...CREDENTIALS, 'http.response.status_code': 401, 'imds.server_version': null },
  },
  {
    caller: LONG_PATH,
    hosts: [13],
    days: [8, 2],
    perDay: 2,
    call: { 'url.path': `/latest/meta-data/${'network/interfaces/macs/'.repeat(6)}mac` },
  },
  { caller: UNKNOWN, hosts: [12], days: [9, 3], perDay: 3, call: {} },
  { caller: HOSTILE_CALLER, hosts: [10], days: [1, 0.05], perDay: 12, call: { 'url.path': HOSTILE.path } },
  {
    caller: FIREWALLED,
    hosts: [9],
    days: [5, 0.3],
    perDay: 4,
    call: {
      'imds.version': null,
      'imds.server_version': null,
      'http.request.method': null,
      'url.path': null,
      'http.response.status_code': null,
      outcome: 'blocked',
      'imds.kind': 'other',
      'imds.category': 'other',
    },
  },
  {
    caller: SSM_AGENT,
    hosts: [0, 1, 3, 7, 8, 9],
    days: [14, 0],
    perDay: 8,
    call: { ...CREDENTIALS, ...V2 },
  },
];

/** Returns the same random numbers in each run, so that screenshots differ only where the page does. */
function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

export function stamp(ms: number): string {
  return new Date(ms).toISOString().replace('Z', '000Z');
}

/** Writes the fleet and returns the number of calls. */
export async function writeFleet(store: Store, nowMs: number): Promise<number> {
  const random = seededRandom(4);
  let written = 0;
  for (const [index, fleetHost] of FLEET.entries()) {
    const records: StoredRecord[] = [];
    const callers: CallerFacts[] = [];
    for (const pattern of PATTERNS.filter(({ hosts }) => hosts.includes(index))) {
      const { facts, agent } = pattern.caller;
      if (!callers.includes(facts)) callers.push(facts);
      for (const call of makeCalls(pattern, nowMs, random, agent)) {
        records.push({ kind: 'call', caller: callers.indexOf(facts), call });
        written++;
      }
    }
    for (const record of makeCoverage(fleetHost, index, nowMs)) records.push(record);
    const batch: StoredBatch = { stream: uuidv7(), seq: 1, host: fleetHost.facts, callers, records };
    await store.write([batch]);
    const beat = nowMs - fleetHost.watchedTo * DAY_MS;
    await store.heartbeats([heardHost(makeHeartbeat(fleetHost, beat), beat * 1000)]);
  }
  return written;
}

function* makeCalls(
  { days: [from, to], perDay, call }: Pattern,
  nowMs: number,
  random: () => number,
  agent: string | null,
) {
  const {
    process: _process,
    container: _container,
    k8s: _k8s,
    systemd: _systemd,
    host: _host,
    ...body
  } = makeCall();
  const { 'attribution.method': _method, 'attribution.confidence': _confidence, ...plain } = body;
  for (let day = from; day > to; day -= 1 / (perDay * (0.6 + random() * 0.8))) {
    const ms = nowMs - day * DAY_MS;
    yield {
      ...plain,
      id: uuidv7({ msecs: ms }),
      time: stamp(ms),
      'user_agent.original': agent,
      duration_ms: Math.round((0.4 + random() * 3) * 100) / 100,
      'source.port': 32_768 + Math.floor(random() * 28_000),
      ...call,
    } satisfies CallBody;
  }
}

function* makeCoverage(fleetHost: FleetHost, index: number, nowMs: number): Generator<StoredRecord> {
  const from = nowMs - fleetHost.watchedFrom * DAY_MS;
  const to = nowMs - fleetHost.watchedTo * DAY_MS;
  const boots = [`boot-${index}-a`, `boot-${index}-b`];
  for (let start = from; start < to; start += COVERAGE_MS) {
    const daysAgo = (nowMs - start) / DAY_MS;
    if (fleetHost.gap && daysAgo <= fleetHost.gap[0] && daysAgo > fleetHost.gap[1]) continue;
    const end = Math.min(to, start + COVERAGE_MS);
    const lossy = fleetHost.losses && daysAgo < 2 && daysAgo > 1.9;
    yield {
      kind: 'coverage',
      coverage: {
        id: uuidv7({ msecs: end }),
        host_id: fleetHost.facts.id,
        boot_id: boots[index % 3 === 0 && daysAgo < 4 ? 1 : 0]!,
        start: stamp(start),
        end: stamp(end),
        live_ms: end - start,
        kernel_connections: 3,
        seen_connections: 3,
        losses: lossy ? fleetHost.losses! : {},
      },
    };
  }
}

function makeHeartbeat(fleetHost: FleetHost, ms: number): Heartbeat {
  return {
    time: stamp(ms),
    host_id: fleetHost.facts.id,
    agent_version: '0.1.0',
    started: stamp(ms - 3 * DAY_MS),
    counters: {
      capture: { packets: 1_204_331, dropped: fleetHost.losses ? 42 : 0, reopen_failures: 0 },
      decode: { segments: 1_204_200, malformed: 0 },
      conversation: { requests: 20_133, answers: 20_120, gaps_in_heads: 0, unfinished_requests: 0 },
      attribution: { exact: 20_101, ring_lost: 0 },
      calls: { v1: 431, v2: 19_690, truncated: 0, unattributed: fleetHost.losses ? 3 : 0 },
      spool: { written: 20_121, acknowledged: 20_121 },
    },
    coverage: { live: true, sources: ['any', 'netns 4026532281 (api)'] },
    attribution: { method: 'ebpf', reason: null },
    agent: { cpu_percent: 0.4, memory_bytes: 71 * 1024 * 1024 },
    spool: { bytes: 0, records: 0, overflowed: {} },
  };
}
