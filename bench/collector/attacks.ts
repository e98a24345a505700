/** Makes the frames of one hostile host. Each attack makes as many frames as the collector takes. */
import { randomBytes } from 'node:crypto';
import { DAY_US } from '../../collector/contract/window.ts';
import type { CallBody } from '../../collector/store/store.ts';
import type { CallerFacts } from '../../protocol/call.ts';

export const HOSTILE_ID = 'i-0badbadbadbadbad0';
const DAY_MS = DAY_US / 1000;

/** Returns frame number `at`, counted from 0, without its sequence number. */
type Attack = (at: number) => Record<string, unknown>;

export const ATTACKS: Record<string, Attack> = {
  'made-up coverage': (at) =>
    batch(
      many(1000, (index) => {
        const startMs = windowStart() + (((at * 1000 + index) * 2500) % (13.9 * DAY_MS));
        return coverage(startMs, startMs + 1, { losses: { made_up: 1 } });
      }),
    ),
  'boots without end': (at) =>
    batch(
      many(1000, (index) => {
        const number = at * 1000 + index;
        const startMs = windowStart() + ((number * 2500) % (13.9 * DAY_MS));
        return coverage(startMs, startMs + 1, { boot_id: `boot-${number}` });
      }),
    ),
  'a clock that jumps': () =>
    batch(
      many(1000, () => {
        const startMs = windowStart() + Math.random() * 13.9 * DAY_MS;
        return coverage(startMs, startMs + 60_000, { live_ms: Math.random() * 60_000 });
      }),
    ),
  'workloads without end': (at) =>
    batch(
      many(500, (index) => call({}, index)),
      many(500, (index) => caller(index, { 'executable.path': `/opt/made-up-${at * 500 + index}` })),
    ),
  'processes without end': (at) =>
    batch(
      many(500, (index) => call({}, index)),
      many(500, (index) => caller(index, { pid: 1 + ((at * 500 + index) % 4_000_000) })),
    ),
  'huge texts': (at) =>
    batch(
      many(20, (index) =>
        call(
          { 'url.path': `/${'p'.repeat(60_000)}`, 'user_agent.original': `u${index}`.repeat(9_000) },
          index,
        ),
      ),
      many(20, (index) =>
        caller(index, {
          script: `/${at}-${index}-${'s'.repeat(50_000)}`,
          command_args: many(50, () => 'a'.repeat(1000)),
        }),
      ),
    ),
  'roles, agents and paths without end': (at) =>
    batch(
      many(1000, (index) => {
        const number = at * 1000 + index;
        return call({
          'imds.role': `role-${number}`,
          'user_agent.original': `agent/${number}`,
          'url.path': `/latest/${number}`,
          'http.request.method': `M${number}`,
          'http.response.status_code': 100 + (number % 900),
        });
      }),
      [caller(0)],
    ),
  'calls of every hour of a year': (at) =>
    batch(
      many(1000, (index) => call({}, 0, Date.now() - ((at * 1000 + index) % 8760) * 3_600_000)),
      [caller(0)],
    ),
  'heartbeats at full speed': () => ({ type: 'heartbeat', heartbeat: heartbeat() }),
  'small batches at full speed': () => batch([call()], [caller(0)]),
  'empty batches at full speed': () => batch([]),
  'tables of callers': (at) =>
    batch(
      [],
      many(1000, (index) => caller(index, { pid: 1 + ((at * 1000 + index) % 4_000_000) })),
    ),
  'records that are not valid': () =>
    batch(
      many(1000, () => ({ kind: 'call', caller: 0, call: { id: 1, time: [], 'imds.version': {} } })),
      [caller(0)],
    ),
  'one batch again and again': () => ({
    ...batch(
      many(1000, () => call()),
      [caller(0)],
    ),
    seq: 1,
  }),
};

function many<T>(count: number, make: (index: number) => T): T[] {
  return Array.from({ length: count }, (_, index) => make(index));
}

function batch(records: unknown[], callers: unknown[] = []): Record<string, unknown> {
  return { type: 'batch', records, callers, forget: true };
}

function windowStart(): number {
  return Date.now() - 14 * DAY_MS;
}

function uuidv7(ms: number): string {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(Math.max(0, Math.floor(ms)), 0, 6);
  bytes[6] = (bytes[6]! & 15) | 0x70;
  bytes[8] = (bytes[8]! & 63) | 0x80;
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

function timestamp(ms: number): string {
  return new Date(ms).toISOString();
}

function coverage(startMs: number, endMs: number, changes: object) {
  return {
    kind: 'coverage',
    coverage: {
      id: uuidv7(endMs),
      host_id: HOSTILE_ID,
      boot_id: 'one',
      start: timestamp(startMs),
      end: timestamp(endMs),
      live_ms: endMs - startMs,
      kernel_connections: 0,
      seen_connections: 0,
      losses: {},
      ...changes,
    },
  };
}

function call(changes: Partial<CallBody> = {}, callerRef = 0, ms = Date.now()) {
  const body: CallBody = {
    id: uuidv7(ms),
    time: timestamp(ms),
    'imds.version': 1,
    'imds.kind': 'read',
    'imds.category': 'metadata',
    'imds.role': null,
    'imds.endpoint': 'ipv4',
    'imds.server_version': 1,
    'imds.fallback': null,
    'http.request.method': 'GET',
    'url.path': '/latest/meta-data/',
    'url.query': null,
    'user_agent.original': 'hostile/1',
    'http.response.status_code': 200,
    outcome: 'answered',
    duration_ms: 1,
    'source.address': '10.0.0.1',
    'source.port': 40_000,
    'destination.address': '169.254.169.254',
    'destination.port': 80,
    ...changes,
  };
  return { kind: 'call', caller: callerRef, call: body };
}

function caller(ref: number, changes: Partial<NonNullable<CallerFacts['process']>> = {}) {
  return {
    ref,
    process: {
      pid: 4242,
      start_time: timestamp(Date.now() - 1_000_000),
      name: 'hostile',
      'executable.path': '/usr/bin/hostile',
      command_args: ['hostile'],
      working_directory: '/',
      'owner.uid': 0,
      'owner.name': 'root',
      script: null,
      ancestors: [],
      ...changes,
    },
    container: null,
    k8s: null,
    systemd: null,
    'attribution.method': 'ebpf',
    'attribution.confidence': 'exact',
  };
}

function heartbeat() {
  const counters = Object.fromEntries(many(100, (index) => [`counter_of_no_use_${index}`, index]));
  return {
    time: timestamp(Date.now()),
    host_id: HOSTILE_ID,
    agent_version: '0.0.0',
    started: timestamp(Date.now()),
    counters: Object.fromEntries(many(20, (index) => [`stage_${index}`, counters])),
    coverage: { live: true, sources: ['any'] },
    attribution: { method: 'ebpf', reason: null },
    agent: { cpu_percent: 0, memory_bytes: 0 },
    spool: { bytes: 0, records: 0, overflowed: {} },
  };
}
