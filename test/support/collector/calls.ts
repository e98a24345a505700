/** Calls as the stages of an agent make them, for tests of later stages. */
import { v7 as uuidv7 } from 'uuid';
import type { AgentState } from '../../../agent/outbox/outbox.ts';
import type { Call, HostFacts, ProcessFacts } from '../../../protocol/call.ts';

export const HOST: HostFacts = { id: 'i-0123456789abcdef0', name: 'web-1' };

export function processFacts(changes: Partial<ProcessFacts> = {}): ProcessFacts {
  return {
    pid: 4321,
    start_time: '2026-11-22T08:00:00.120000Z',
    name: 'curl',
    'executable.path': '/usr/bin/curl',
    command_args: ['curl', '-s', 'http://metadata/latest/meta-data/'],
    working_directory: '/srv/app',
    'owner.uid': 1000,
    'owner.name': 'app',
    script: null,
    ancestors: [
      { pid: 4300, name: 'sh', 'executable.path': '/usr/bin/dash', command_args: ['sh', '-c', 'poll'] },
      { pid: 900, name: 'cron', 'executable.path': '/usr/sbin/cron', command_args: ['cron', '-f'] },
      {
        pid: 1,
        name: 'systemd',
        'executable.path': '/usr/lib/systemd/systemd',
        command_args: ['/sbin/init'],
      },
    ],
    ...changes,
  };
}

export function makeCall(changes: Partial<Call> = {}): Call {
  return {
    id: uuidv7(),
    time: new Date().toISOString().replace('Z', '000Z'),
    'imds.version': 1,
    'imds.kind': 'read',
    'imds.category': 'metadata',
    'imds.role': null,
    'imds.endpoint': 'ipv4',
    'imds.server_version': 1,
    'imds.fallback': null,
    'imds.hops': null,
    'imds.token_hop_limit': null,
    'http.request.method': 'GET',
    'url.path': '/latest/meta-data/instance-id',
    'url.query': null,
    'user_agent.original': 'curl/8.5.0',
    'http.response.status_code': 200,
    outcome: 'answered',
    duration_ms: 1.25,
    'source.address': '10.0.0.5',
    'source.port': 40000,
    'destination.address': '169.254.169.254',
    'destination.port': 80,
    process: processFacts(),
    container: null,
    k8s: null,
    systemd: { unit: 'cron.service', slice: 'system.slice' },
    'attribution.method': 'ebpf',
    'attribution.confidence': 'exact',
    host: HOST,
    ...changes,
  };
}

/** Returns a state of the stages before the outbox. */
export function agentState(): AgentState {
  return {
    counters: {},
    coverage: { live: true, sources: ['any'] },
    attribution: { method: 'ebpf', reason: null },
  };
}
