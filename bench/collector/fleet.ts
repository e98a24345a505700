/** Invents a fleet: its hosts, their workloads, and the calls of those. */

import type { CallBody, RollupBody } from '../../collector/store/store.ts';
import type { CallerFacts } from '../../collector/store/workload_identity.ts';
import type { Call, HostFacts, ProcessFacts } from '../../protocol/call.ts';
import { IMDS_IPV4, IMDS_PORT } from '../../protocol/endpoints.ts';
import type { RollupLine } from '../../protocol/records.ts';
import type { Random } from './random.ts';

/** A deployment: the same on every host that has it. */
export interface Workload {
  name: string;
  executable: string;
  args: string[];
  script: string | null;
  user: string;
  uid: number;
  unit: string | null;
  image: string | null;
  userAgent: string;
  role: string;
}

const ACCOUNTS = ['111122223333', '222233334444', '333344445555', '444455556666'];
const REGIONS = ['eu-central-1', 'eu-west-1', 'us-east-1'];
const TEAMS = ['payments', 'search', 'data', 'platform', 'web'];
const TYPES = ['m7i.large', 'c7g.xlarge', 't3.medium', 'r6i.2xlarge'];

export function hostOf(number: number): HostFacts {
  const region = REGIONS[number % REGIONS.length]!;
  return {
    id: `i-${number.toString(16).padStart(17, '0')}`,
    name: `host-${String(number).padStart(5, '0')}`,
    'cloud.account.id': ACCOUNTS[number % ACCOUNTS.length]!,
    'cloud.region': region,
    'cloud.availability_zone': `${region}${'abc'[number % 3]}`,
    type: TYPES[number % TYPES.length]!,
    'image.id': `ami-${(number % 7).toString(16).padStart(17, '0')}`,
    tags: { team: TEAMS[number % TEAMS.length]!, stage: number % 10 < 7 ? 'production' : 'staging' },
  };
}

const SDKS = [
  'Boto3/1.9.96 Python/2.7.18 Linux/4.14.355 Botocore/1.12.96',
  'aws-sdk-java/1.11.700 Linux/5.10.0 OpenJDK_64-Bit_Server_VM/25.392-b08',
  'aws-sdk-go/1.25.30 (go1.12.17; linux; amd64)',
  'aws-sdk-nodejs/2.500.0 linux/v12.22.12',
  'aws-cli/1.16.300 Python/3.6.9 Linux/5.4.0 botocore/1.13.36',
  'curl/8.5.0',
  'python-requests/2.31.0',
  'Wget/1.21.4',
] as const;

/** Returns a workload. A third each are services, scripts and containers. */
export function workloadOf(prefix: string, number: number): Workload {
  const name = `${prefix}-${number}`;
  const service = {
    name,
    executable: `/opt/${name}/bin/${name}`,
    args: [`/opt/${name}/bin/${name}`, '--config', `/etc/${name}/service.yaml`, '--listen', '0.0.0.0:8080'],
    script: null,
    user: name,
    uid: 1000 + number,
    unit: `${name}.service`,
    image: null,
    userAgent: SDKS[number % SDKS.length]!,
    role: `${name}-role`,
  };
  if (number % 3 === 0) return service;
  if (number % 3 === 1) {
    const script = `/srv/${name}/main.py`;
    const args = ['/usr/bin/python3', script, '--environment', 'production'];
    return { ...service, executable: '/usr/bin/python3.11', args, script, user: 'app', uid: 1000 };
  }
  return { ...service, user: 'root', uid: 0, unit: null, image: `registry.example.com/team/${name}:1.4.2` };
}

/**
 * Returns a process of a workload, as an agent describes it: about 1,000 bytes of JSON, with three parents.
 */
export function callerOf(workload: Workload, pid: number, startTime: string, random: Random): CallerFacts {
  const { name, executable, args, script, user, uid, unit, image } = workload;
  const isContained = image !== null;
  const parent = (parentPid: number, parentName: string, path: string, parentArgs: string[]) => ({
    pid: parentPid,
    name: parentName,
    'executable.path': path,
    command_args: parentArgs,
  });
  const process: ProcessFacts = {
    pid,
    start_time: startTime,
    name: name.slice(0, 15),
    'executable.path': executable,
    command_args: args,
    working_directory: `/srv/${name}`,
    'owner.uid': uid,
    'owner.name': user,
    script,
    ancestors: [
      isContained
        ? parent(pid - 20, 'containerd-shim', '/usr/bin/containerd-shim-runc-v2', ['-namespace', 'moby'])
        : parent(pid - 1, 'bash', '/usr/bin/bash', ['/bin/bash', `/opt/${name}/bin/start.sh`]),
      parent(pid - 2, 'supervise', '/usr/sbin/supervise', ['/usr/sbin/supervise', '--watch', name]),
      parent(1, 'systemd', '/usr/lib/systemd/systemd', ['/sbin/init', 'splash']),
    ],
  };
  const container = isContained
    ? { id: random.hex(64), name: `${name}-1`, 'image.name': image, runtime: 'docker' }
    : null;
  return {
    process,
    container,
    k8s: null,
    systemd: isContained ? null : { unit, slice: 'system.slice' },
    'attribution.method': 'ebpf',
    'attribution.confidence': 'exact',
  };
}

interface Asked {
  category: Call['imds.category'];
  path: string;
}

const ROLES_PATH = '/latest/meta-data/iam/security-credentials/';
const V1_READS: readonly Asked[] = [
  { category: 'metadata', path: '/latest/meta-data/instance-id' },
  { category: 'metadata', path: '/latest/meta-data/placement/availability-zone' },
  { category: 'metadata', path: '/latest/meta-data/local-ipv4' },
  { category: 'identity-document', path: '/latest/dynamic/instance-identity/document' },
  { category: 'role-list', path: ROLES_PATH },
  { category: 'user-data', path: '/latest/user-data' },
];
/** Shares of the calls without a token that read credentials, and that the service refused. */
const CREDENTIALS_SHARE = 0.3;
const REFUSED_SHARE = 0.02;

/** Returns a call without a token, which agents send whole. */
export function v1Call(id: string, time: string, { userAgent, role }: Workload, random: Random): CallBody {
  const asked =
    random.next() < CREDENTIALS_SHARE
      ? { category: 'credentials' as const, path: `${ROLES_PATH}${role}` }
      : random.of(V1_READS);
  const isRefused = random.next() < REFUSED_SHARE;
  return {
    id,
    time,
    'imds.version': 1,
    'imds.kind': 'read',
    'imds.category': asked.category,
    'imds.role': asked.category === 'credentials' ? role : null,
    'imds.endpoint': 'ipv4',
    'imds.server_version': isRefused ? null : 1,
    'imds.fallback': null,
    'http.request.method': 'GET',
    'url.path': asked.path,
    'url.query': null,
    'user_agent.original': userAgent,
    'http.response.status_code': isRefused ? 401 : 200,
    outcome: 'answered',
    duration_ms: Math.round(random.next() * 2000) / 1000,
    'source.address': '10.20.30.40',
    'source.port': 32_768 + random.below(28_000),
    'destination.address': IMDS_IPV4,
    'destination.port': IMDS_PORT,
  };
}

const V2_READS: readonly (Asked & { status: number })[] = [
  { category: 'metadata', path: '/latest/meta-data/instance-id', status: 200 },
  { category: 'metadata', path: '/latest/meta-data/spot/instance-action', status: 404 },
  { category: 'identity-document', path: '/latest/dynamic/instance-identity/document', status: 200 },
];

/**
 * Returns the roll-up of one process and minute with `calls` calls with a token, four reads for each token
 * request.
 */
export function v2Rollup(
  id: string,
  times: { first: string; last: string },
  calls: number,
  { userAgent }: Workload,
): RollupBody {
  const tokens = Math.max(1, Math.floor(calls / 5));
  const lines: RollupLine[] = [line('token', 'PUT', '/latest/api/token', 'token', 200, tokens)];
  let left = calls - tokens;
  V2_READS.forEach(({ category, path, status }, index) => {
    const count = index === V2_READS.length - 1 ? left : Math.floor((calls - tokens) / V2_READS.length);
    left -= count;
    if (count > 0) lines.push(line(category, 'GET', path, 'read', status, count));
  });
  return {
    id,
    first_time: times.first,
    last_time: times.last,
    count: calls,
    'user_agent.original': userAgent,
    'source.address': '10.20.30.40',
    lines,
  };
}

function line(
  category: Call['imds.category'],
  method: string,
  path: string,
  kind: Call['imds.kind'],
  status: number,
  count: number,
): RollupLine {
  return {
    'imds.kind': kind,
    'imds.category': category,
    'http.request.method': method,
    'url.path': path,
    'http.response.status_code': status,
    outcome: 'answered',
    count,
  };
}
