/**
 * Writes two weeks of a fleet into a store: offenders of every severity, hosts of every verdict, gaps and
 * silent hosts.
 */
import { v7 as uuidv7 } from 'uuid';
import type { CallBody, Store, StoredBatch, StoredRecord } from '../../../collector/store/store.ts';
import type { CallerFacts } from '../../../collector/store/workload_identity.ts';
import type { HostFacts, ProcessFacts } from '../../../protocol/call.ts';
import type { Heartbeat } from '../../../protocol/records.ts';
import { makeCall, processFacts } from '../collector/calls.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const COVERAGE_MS = HOUR_MS;
const WATCHED_DAYS = 16;

/** Texts that a page without escaping would run as markup. The page must show them unchanged. */
export const HOSTILE = {
  name: '<img src=x onerror=alert(1)>',
  script: '/srv/<script>alert(1)</script>.py',
  path: '/latest/meta-data/<svg onload=alert(1)>',
  agent: '"><script>document.title="owned"</script>',
};

interface Caller {
  facts: CallerFacts;
  agent: string | null;
}

interface Pattern {
  caller: Caller;
  hosts: number[];
  /** The first and the last day with calls, in days ago. */
  days: [from: number, to: number];
  perDay: number;
  call: Partial<CallBody>;
}

const INIT = {
  pid: 1,
  name: 'systemd',
  'executable.path': '/usr/lib/systemd/systemd',
  command_args: ['/sbin/init'],
};

function caller(
  process: Partial<ProcessFacts> | null,
  agent: string | null,
  more: Partial<CallerFacts> = {},
): Caller {
  return {
    agent,
    facts: {
      process: process === null ? null : processFacts(process),
      container: null,
      k8s: null,
      systemd: null,
      'attribution.method': process === null ? 'none' : 'ebpf',
      'attribution.confidence': process === null ? 'none' : 'exact',
      ...more,
    },
  };
}

const BACKUP = caller(
  {
    pid: 18_211,
    name: 'python3',
    'executable.path': '/usr/bin/python3.11',
    command_args: ['/usr/bin/python3', '/opt/backup/upload.py', '--bucket', 'acme-nightly'],
    script: '/opt/backup/upload.py',
    'owner.name': 'backup',
    ancestors: [
      {
        pid: 18_190,
        name: 'backup.sh',
        'executable.path': '/usr/bin/bash',
        command_args: ['/bin/bash', '/opt/backup/backup.sh'],
      },
      {
        pid: 17_900,
        name: 'cron',
        'executable.path': '/usr/sbin/cron',
        command_args: ['/usr/sbin/CRON', '-f'],
      },
      { pid: 611, name: 'cron', 'executable.path': '/usr/sbin/cron', command_args: ['/usr/sbin/cron', '-f'] },
      INIT,
    ],
  },
  'Boto/2.49.0 Python/2.7.18 Linux/6.1.0',
  { systemd: { unit: 'cron.service', slice: 'system.slice' } },
);
const API = caller(
  {
    pid: 2210,
    name: 'node',
    'executable.path': '/usr/local/bin/node',
    command_args: ['node', 'server.js', '--port', '8080'],
    script: '/app/server.js',
    'owner.name': 'node',
    ancestors: [
      {
        pid: 2190,
        name: 'tini',
        'executable.path': '/sbin/tini',
        command_args: ['/sbin/tini', '--', 'node', 'server.js'],
      },
      {
        pid: 2150,
        name: 'containerd-shim',
        'executable.path': '/usr/bin/containerd-shim-runc-v2',
        command_args: ['/usr/bin/containerd-shim-runc-v2', '-namespace', 'k8s.io'],
      },
      INIT,
    ],
  },
  'aws-sdk-nodejs/2.1360.0 linux/v18.19.0 promise',
  {
    container: {
      id: 'a'.repeat(64),
      name: 'api',
      'image.name': 'registry.acme.example/shop/api:4.18.2',
      runtime: 'containerd',
    },
    k8s: { 'pod.uid': null, 'pod.name': 'api-7d9f-x2', 'namespace.name': 'shop', 'container.name': 'api' },
  },
);
const AGENT = caller(
  {
    pid: 940,
    name: 'inventory',
    'executable.path': '/opt/inventory/bin/inventory',
    command_args: ['/opt/inventory/bin/inventory', '--daemon'],
    'owner.name': 'root',
    'owner.uid': 0,
    ancestors: [INIT],
  },
  'Go-http-client/1.1',
  { systemd: { unit: 'inventory.service', slice: 'system.slice' } },
);
const HEALTH = caller(
  {
    name: 'curl',
    command_args: ['curl', '-sf', 'http://169.254.169.254/latest/meta-data/instance-id'],
    'owner.name': 'deploy',
    script: null,
  },
  'curl/8.5.0',
);
const WORKER = caller(
  {
    pid: 3100,
    name: 'python3',
    'executable.path': '/usr/local/bin/python3.12',
    command_args: ['python3', '-m', 'celery', 'worker'],
    script: '-m celery',
    'owner.name': 'app',
    ancestors: [
      {
        pid: 3090,
        name: 'containerd-shim',
        'executable.path': '/usr/bin/containerd-shim-runc-v2',
        command_args: null,
      },
      INIT,
    ],
  },
  'Boto3/1.34.20 md/Botocore#1.34.20 ua/2.0 os/linux#6.1.0 lang/python#3.12.1',
  {
    container: {
      id: 'b'.repeat(64),
      name: 'worker',
      'image.name': 'registry.acme.example/shop/worker:2.9.0',
      runtime: 'docker',
    },
  },
);
const LEGACY = caller(
  {
    pid: 1402,
    name: 'java',
    'executable.path': '/usr/lib/jvm/java-8-openjdk/bin/java',
    command_args: ['java', '-Xmx2g', '-jar', '/opt/billing/billing.jar'],
    script: '/opt/billing/billing.jar',
    'owner.name': 'billing',
    ancestors: [INIT],
  },
  'aws-sdk-java/1.11.300 Linux/6.1.0 OpenJDK_64-Bit_Server_VM/25.392 java/1.8.0_392',
  { systemd: { unit: 'billing.service', slice: 'system.slice' } },
);
const UNKNOWN = caller(null, 'Wget/1.21.3');
const HOSTILE_CALLER = caller(
  {
    pid: 666,
    name: HOSTILE.name.slice(0, 15),
    'executable.path': '/usr/bin/python3.11',
    command_args: ['python3', HOSTILE.script, HOSTILE.name],
    script: HOSTILE.script,
    'owner.name': 'nobody',
  },
  HOSTILE.agent,
);
const FIREWALLED = caller(
  {
    name: 'telemetry',
    'executable.path': '/opt/telemetry/bin/telemetry',
    command_args: ['telemetry'],
    script: null,
    'owner.name': 'telemetry',
  },
  null,
);

const LONG_PATH = caller(
  {
    pid: 7100,
    name: 'ruby',
    'executable.path': '/usr/bin/ruby3.1',
    command_args: ['ruby'],
    script: `/srv/${'releases-of-a-service/'.repeat(9)}synchronise-${'the-inventory-'.repeat(5)}nightly.rb`,
    'owner.name': 'sync',
  },
  'Ruby',
);

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
    call: { 'imds.category': 'identity-document', 'url.path': '/latest/dynamic/instance-identity/document' },
  },
  { caller: HEALTH, hosts: [3], days: [4, 0.02], perDay: 30, call: {} },
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
    caller: caller(
      {
        name: 'amazon-ssm-agen',
        'executable.path': '/usr/bin/amazon-ssm-agent',
        command_args: ['amazon-ssm-agent'],
        script: null,
        'owner.name': 'root',
        'owner.uid': 0,
        ancestors: [INIT],
      },
      'aws-sdk-go/1.55.5',
    ),
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
    await store.heartbeat(makeHeartbeat(fleetHost, beat), beat * 1000);
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
