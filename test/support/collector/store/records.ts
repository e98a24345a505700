/** Batches in the form of ingest, for tests of the store. */
import { v7 as uuidv7 } from 'uuid';
import type { StoredCaller } from '../../../../collector/store/defined_caller.ts';
import type {
  CallFilter,
  Scope,
  StoredBatch,
  StoredRecord,
  StoreQueries,
} from '../../../../collector/store/store.ts';
import { toTimestamp } from '../../../../collector/store/time.ts';
import type { CallerFacts } from '../../../../collector/store/workload_identity.ts';
import type { Call, HostFacts } from '../../../../protocol/call.ts';
import type { Coverage, Rollup, RollupLine } from '../../../../protocol/records.ts';
import { makeCall, processFacts } from '../calls.ts';

export const EVER = { sinceUs: 0, untilUs: Number.MAX_SAFE_INTEGER };
export const ALL: Scope = { window: EVER, hosts: null, identities: null };
/** Returns the ids of all hosts. */
export async function idsIn(store: Pick<StoreQueries, 'hostPage'>): Promise<string[]> {
  return (await store.hostPage(null, null, 1000)).map(({ facts }) => facts.id);
}

export const ALL_CALLS: CallFilter = {
  window: EVER,
  hosts: null,
  identities: null,
  version: null,
  categories: null,
  outcomes: null,
  path: null,
};

export const host = (name: string): HostFacts => ({ id: `i-${name}`, name });

/** Returns a caller. Each name is a workload of its own. */
export function program(name: string): CallerFacts {
  return callerOf(makeCall({ process: processFacts({ 'executable.path': `/usr/bin/${name}`, name }) }));
}

export function callerOf(call: Call): CallerFacts {
  const { process, container, k8s, systemd } = call;
  return {
    process,
    container,
    k8s,
    systemd,
    'attribution.method': call['attribution.method'],
    'attribution.confidence': call['attribution.confidence'],
  };
}

export function call(timeUs: number, changes: Partial<Call> = {}, caller = 0): StoredRecord {
  const { process, container, k8s, systemd, host, ...rest } = makeCall({
    time: toTimestamp(timeUs),
    ...changes,
  });
  const { 'attribution.method': method, 'attribution.confidence': confidence, ...body } = rest;
  return { kind: 'call', caller, call: body };
}

export function rollup(
  firstUs: number,
  lastUs: number,
  lines: Partial<RollupLine>[],
  changes: Partial<Rollup> = {},
): StoredRecord {
  const all = lines.map((line) => ({
    'imds.kind': 'read' as const,
    'imds.category': 'metadata' as const,
    'http.request.method': 'GET',
    'url.path': '/latest/meta-data/',
    'http.response.status_code': 200,
    outcome: 'answered' as const,
    count: 1,
    ...line,
  }));
  return {
    kind: 'rollup',
    caller: 0,
    rollup: {
      id: uuidv7(),
      first_time: toTimestamp(firstUs),
      last_time: toTimestamp(lastUs),
      count: all.reduce((sum, { count }) => sum + count, 0),
      'user_agent.original': 'Boto3/1.34',
      'source.address': '10.0.0.5',
      lines: all,
      ...changes,
    },
  };
}

export function report(
  hostId: string,
  startUs: number,
  endUs: number,
  changes: Partial<Coverage> = {},
): StoredRecord {
  const coverage: Coverage = {
    id: uuidv7(),
    host_id: hostId,
    boot_id: 'boot-1',
    start: toTimestamp(startUs),
    end: toTimestamp(endUs),
    live_ms: Math.max(0, (endUs - startUs) / 1000),
    kernel_connections: 2,
    seen_connections: 2,
    losses: {},
    ...changes,
  };
  return { kind: 'coverage', coverage };
}

/** Returns a function that makes the next batch of a stream. */
export function stream(of: HostFacts, callers: StoredCaller[] = [program('curl')]) {
  const name = `stream-${of.id}-${uuidv7()}`;
  let seq = 0;
  return (...records: StoredRecord[]): StoredBatch => {
    seq += 1;
    return { stream: name, seq, host: of, callers, records };
  };
}
