/** Puts calls together from their rows and from what these refer to, which many calls have in common. */
import type { Call, HostFacts } from '../../protocol/call.ts';
import { fromBytes } from './sqlite/uuid_bytes.ts';
import { toTimestamp } from './time.ts';
import type { CallerFacts } from './workload_identity.ts';

/** Values of each kind that are kept. A description of a process has some 1,500 characters. */
const MAX_KEPT = 4000;

export type Row = Record<string, unknown>;

/** The columns of the table of calls. */
export interface RawCall extends Row {
  time_us: number;
  id: Uint8Array;
  host: number;
  caller: number;
  kind: number;
  shape: number;
  user_agent: number | null;
}

/** Rows that calls refer to, by numbers that are never given again. They never change. */
export class CallParts {
  readonly kinds = new Map<number, Row>();
  readonly shapes = new Map<number, Row>();
  readonly userAgents = new Map<number, string>();
  readonly callers = new Map<number, CallerFacts>();

  /** Makes room before a page is read. All of one page fits in. */
  trim(): void {
    for (const kept of [this.kinds, this.shapes, this.userAgents, this.callers]) {
      if (kept.size > MAX_KEPT) kept.clear();
    }
  }

  clear(): void {
    for (const kept of [this.kinds, this.shapes, this.userAgents, this.callers]) kept.clear();
  }

  /** Returns null where something that the row refers to was deleted. */
  callOf(row: RawCall, host: HostFacts | undefined): Call | null {
    const kind = this.kinds.get(row.kind);
    const shape = this.shapes.get(row.shape);
    const facts = this.callers.get(row.caller);
    const userAgent = row.user_agent === null ? null : (this.userAgents.get(row.user_agent) ?? null);
    if (kind === undefined || shape === undefined || facts === undefined || host === undefined) return null;
    return callFrom({ ...row, ...kind, ...shape, user_agent_text: userAgent }, facts, host);
  }
}

/** Columns of a kind and of a shape, as `callFrom` needs them. */
export const KIND_COLUMNS = 'version, endpoint, category, status, outcome, fallback, role';
export const SHAPE_COLUMNS =
  'kind AS shape_kind, server_version, hops, token_hop_limit, method, destination_address, destination_port, relay';

/** Makes a call of a row of calls that is joined with its kind and its shape. */
export function callFrom(row: Row, facts: CallerFacts, host: HostFacts): Call {
  return {
    id: fromBytes(row['id'] as Uint8Array),
    time: toTimestamp(Number(row['time_us'])),
    'imds.version': row['version'] as Call['imds.version'],
    'imds.kind': row['shape_kind'] as Call['imds.kind'],
    'imds.category': row['category'] as Call['imds.category'],
    'imds.role': row['role'] as string | null,
    'imds.endpoint': row['endpoint'] as Call['imds.endpoint'],
    'imds.server_version': row['server_version'] as Call['imds.server_version'],
    'imds.fallback': row['fallback'] as Call['imds.fallback'],
    'imds.hops': row['hops'] as number | null,
    'imds.token_hop_limit': row['token_hop_limit'] as number | null,
    'http.request.method': row['method'] as string | null,
    'url.path': row['path'] as string | null,
    'url.query': row['query'] as string | null,
    'user_agent.original': row['user_agent_text'] as string | null,
    'http.response.status_code': row['status'] as number | null,
    outcome: row['outcome'] as Call['outcome'],
    duration_ms: row['duration_ms'] as number | null,
    'source.address': String(row['source_address']),
    'source.port': Number(row['source_port']),
    'destination.address': String(row['destination_address']),
    'destination.port': Number(row['destination_port']),
    ...(row['relay'] === null ? {} : (JSON.parse(String(row['relay'])) as Partial<Call>)),
    ...facts,
    host,
  };
}
