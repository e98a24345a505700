/** Makes heartbeats as large as those of real agents. */
import type { Heartbeat } from '../../protocol/records.ts';

const DAY_MS = 86_400_000;
/** With these a heartbeat has 5 kB of JSON. */
const COUNTERS = 160;

export function heartbeatOf(hostId: string, nowMs: number): Heartbeat {
  const counters = Array.from({ length: COUNTERS }, (_, index) => [`counter_of_something_${index}`, index]);
  return {
    time: timestamp(nowMs),
    host_id: hostId,
    agent_version: '1.0.0',
    started: timestamp(nowMs - DAY_MS),
    counters: { capture: Object.fromEntries(counters) },
    coverage: { live: true, sources: ['any'] },
    attribution: { method: 'ebpf', reason: null },
    agent: { cpu_percent: 0.4, memory_bytes: 75_000_000 },
    spool: { bytes: 0, records: 0, overflowed: {} },
  };
}

function timestamp(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, -1)}000Z`;
}
