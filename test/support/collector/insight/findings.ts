/** A real store, filled with records in the form that agents send. */
import { randomUUID } from 'node:crypto';
import { v7 as uuidv7 } from 'uuid';
import { openStore } from '../../../../collector/store/sqlite/sqlite_store.ts';
import type { Store, StoredBatch, StoredRecord } from '../../../../collector/store/store.ts';
import { toMicroseconds, toTimestamp } from '../../../../collector/store/time.ts';
import type { Call, HostFacts } from '../../../../protocol/call.ts';
import type { Coverage, Heartbeat, WireRecord } from '../../../../protocol/records.ts';
import { HOST } from '../calls.ts';
import type { Bench } from '../in_process.ts';

export interface Findings {
  dataDir: string;
  store: Store;
  /**
   * Stores the records of each host as one batch. A coverage report belongs to the host that another record
   * names.
   */
  put: (...records: (WireRecord | Call)[]) => Promise<void>;
}

export function newFindings(bench: Bench): Findings {
  const dataDir = bench.directory();
  const store = openStore(dataDir);
  bench.atEnd(() => store.close());
  const put = async (...given: (WireRecord | Call)[]) => {
    const records = given.map((item): WireRecord => ('kind' in item ? item : { kind: 'call', call: item }));
    const named = records.flatMap((item) => (item.kind === 'coverage' ? [] : [ownHost(item)]));
    const hostOf = (item: WireRecord) => {
      if (item.kind !== 'coverage') return ownHost(item);
      const { host_id: id } = item.coverage;
      return named.find((host) => host.id === id) ?? { ...HOST, id };
    };
    const byHost = Map.groupBy(records, (item) => JSON.stringify(hostOf(item)));
    for (const of of byHost.values()) {
      const batch: StoredBatch = {
        stream: randomUUID(),
        seq: 1,
        host: hostOf(of[0]!),
        callers: [],
        records: [],
      };
      batch.records = of.map((item) => toStored(item, batch));
      await store.write([batch]);
    }
  };
  return { dataDir, store, put };
}

function ownHost(item: Exclude<WireRecord, { kind: 'coverage' }>): HostFacts {
  return item.kind === 'call' ? item.call.host : item.rollup.host;
}

function toStored(item: WireRecord, { callers }: StoredBatch): StoredRecord {
  if (item.kind === 'coverage') return item;
  const {
    process,
    container,
    k8s,
    systemd,
    host: _,
    ...rest
  } = item.kind === 'call' ? item.call : item.rollup;
  const method = rest['attribution.method'];
  const confidence = rest['attribution.confidence'];
  callers.push({
    process,
    container,
    k8s,
    systemd,
    'attribution.method': method,
    'attribution.confidence': confidence,
  });
  const caller = callers.length - 1;
  return item.kind === 'call'
    ? { kind: 'call', caller, call: rest as never }
    : { kind: 'rollup', caller, rollup: rest as never };
}

/** Returns a report that the host was watched all that time, without losses unless `changes` has some. */
export function watched(
  hostId: string,
  from: string,
  to: string,
  losses: Coverage['losses'] = {},
): WireRecord {
  return {
    kind: 'coverage',
    coverage: {
      id: uuidv7(),
      host_id: hostId,
      boot_id: '11111111-2222-4333-8444-555555555555',
      start: from,
      end: to,
      live_ms: (toMicroseconds(to) - toMicroseconds(from)) / 1000,
      kernel_connections: 1,
      seen_connections: 1,
      losses,
    },
  };
}

export function heartbeatOf(hostId: string, timeUs: number): Heartbeat {
  return {
    time: toTimestamp(timeUs),
    host_id: hostId,
    agent_version: '1.2.3',
    started: toTimestamp(timeUs - 1e9),
    counters: {},
    coverage: { live: true, sources: ['any'] },
    attribution: { method: 'ebpf', reason: null },
    agent: { cpu_percent: 1, memory_bytes: 1 },
    spool: { bytes: 0, records: 0, overflowed: {} },
  };
}
