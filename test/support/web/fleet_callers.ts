/** The workloads of the fleet: SDKs, scripts and tools that call with and without tokens. */
import type { CallerFacts } from '../../../collector/store/workload_identity.ts';
import type { ProcessFacts } from '../../../protocol/call.ts';
import { processFacts } from '../collector/calls.ts';

/** Texts that a page without escaping would run as markup. The page must show them unchanged. */
export const HOSTILE = {
  name: '<img src=x onerror=alert(1)>',
  script: '/srv/<script>alert(1)</script>.py',
  path: '/latest/meta-data/<svg onload=alert(1)>',
  agent: '"><script>document.title="owned"</script>',
};

export interface Caller {
  facts: CallerFacts;
  agent: string | null;
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

export const BACKUP = caller(
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
export const API = caller(
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
export const AGENT = caller(
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
export const HEALTH = caller(
  {
    name: 'curl',
    command_args: ['curl', '-sf', 'http://169.254.169.254/latest/meta-data/instance-id'],
    'owner.name': 'deploy',
    script: null,
  },
  'curl/8.5.0',
);
export const WORKER = caller(
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
export const LEGACY = caller(
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
export const UNKNOWN = caller(null, 'Wget/1.21.3');
export const HOSTILE_CALLER = caller(
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
export const FIREWALLED = caller(
  {
    name: 'telemetry',
    'executable.path': '/opt/telemetry/bin/telemetry',
    command_args: ['telemetry'],
    script: null,
    'owner.name': 'telemetry',
  },
  null,
);

export const LONG_PATH = caller(
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
export const SSM_AGENT = caller(
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
);
