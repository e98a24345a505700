/**
 * Numbers of the kinds that calls are counted by, of their other properties that hardly vary (shapes), and of
 * user agents.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { CallerRole } from '../../../protocol/call.ts';
import type { RollupLine } from '../../../protocol/records.ts';
import { CUT_MARK } from '../../../protocol/text_bounds.ts';
import { isRefusedToken, isV1Use, type JudgedFields } from '../../../protocol/v1_use.ts';
import type { CallKind } from '../store.ts';
import { Dictionary } from './dictionary.ts';
import type { HostBounds } from './host_bounds.ts';
import type { CallTemplate } from './packed_batch.ts';
import { KIND_CLASS } from './total_rows.ts';

/**
 * Callers choose roles and user agents. A caller that makes up a new one for every call must not add a
 * roll-up row for each. Beyond this number of kinds, calls are counted without role and user agent. Raw calls
 * keep both.
 */
const MAX_KINDS = 20_000;

/** The fields of a call that are stored together, as JSON. */
export const RELAY_FIELDS = [
  'answered_by',
  'answered_by.evidence',
  'answered_by.confidence',
  'via',
  'caller.role',
  'caller.connection',
] as const;

/** The first column of every key of the roll-ups, see the schema. */
export type KindClass = Exclude<(typeof KIND_CLASS)[keyof typeof KIND_CLASS], 0>;

export interface KindRow {
  id: number;
  class: KindClass;
}

/** The rows that all calls of one template refer to. */
export interface TemplateRow {
  userAgent: number | null;
  kind: KindRow;
  shape: number;
  /** False where a bound made the store merge: another host may be below its bound. */
  isExact: boolean;
}

export class Kinds {
  readonly #kinds: Dictionary;
  readonly #shapes: Dictionary;
  readonly #userAgents: Dictionary;
  readonly #bounds: HostBounds;
  readonly #kindOf: StatementSync;
  readonly #countKinds: () => number;
  #room: number;
  /** Times that a value was merged with others. */
  #merged = 0;

  constructor(database: DatabaseSync, bounds: HostBounds) {
    this.#bounds = bounds;
    this.#kindOf = database.prepare(
      'SELECT version, endpoint, category, status, outcome, fallback, answered_by, caller_role FROM kinds WHERE id = ?',
    );
    this.#kinds = new Dictionary(database, 'kinds', [
      'class',
      'version',
      'endpoint',
      'category',
      'status',
      'outcome',
      'fallback',
      'role',
      'user_agent',
      'answered_by',
      'caller_role',
    ]);
    this.#shapes = new Dictionary(database, 'shapes', [
      'kind',
      'server_version',
      'method',
      'destination_address',
      'destination_port',
      'hops',
      'token_hop_limit',
      'relay',
    ]);
    this.#userAgents = new Dictionary(database, 'user_agents', ['text']);
    const count = database.prepare('SELECT count(*) AS count FROM kinds');
    this.#countKinds = () => Number(count.get()!['count']);
    this.#room = MAX_KINDS - this.#countKinds();
  }

  /** `lastUs`: time of the latest of the calls. */
  templateRow(template: CallTemplate, host: number, lastUs: number): TemplateRow {
    const mergedBefore = this.#merged;
    const userAgent = this.userAgent(template['user_agent.original'], host, lastUs);
    const kind = this.#kindOfCall(template, userAgent, host, lastUs);
    const shape = this.#shapeOf(template, host, lastUs);
    return { userAgent, kind, shape, isExact: this.#merged === mergedBefore };
  }

  userAgent(text: string | null, host: number, timeUs: number): number | null {
    if (text === null) return null;
    const isKept = this.#userAgents.has(JSON.stringify([text])) || this.#bounds.tryUse(host, 'user_agents');
    if (!isKept) this.#merged += 1;
    const kept = isKept ? text : CUT_MARK;
    return this.#userAgents.idOf([kept], [kept], timeUs);
  }

  #kindOfCall(call: CallTemplate, userAgent: number | null, host: number, timeUs: number): KindRow {
    return this.#kind(
      call['imds.version'],
      call['imds.endpoint'],
      call['imds.category'],
      call['http.response.status_code'],
      call.outcome,
      call['imds.fallback'],
      call['imds.role'],
      userAgent,
      call.answered_by === 'host' ? 'host' : null,
      call['caller.role'] ?? null,
      host,
      timeUs,
    );
  }

  /** Only IMDSv2 calls are rolled up. */
  kindOfLine(line: RollupLine, userAgent: number | null, host: number, timeUs: number): KindRow {
    return this.#kind(
      line.outcome === 'blocked' ? null : 2,
      null,
      line['imds.category'],
      line['http.response.status_code'],
      line.outcome,
      null,
      null,
      userAgent,
      null,
      null,
      host,
      timeUs,
    );
  }

  #kind(
    version: CallKind['version'],
    endpoint: CallKind['endpoint'],
    category: CallKind['category'],
    status: number | null,
    outcome: CallKind['outcome'],
    fallback: CallKind['fallback'],
    role: string | null,
    userAgent: number | null,
    answeredBy: 'host' | null,
    callerRole: CallerRole | null,
    host: number,
    timeUs: number,
  ): KindRow {
    const values = [version, endpoint, category, status, outcome, fallback];
    const known = [...values, role, userAgent, answeredBy, callerRole];
    const isKept =
      this.#kinds.has(keyOfKind(known)) || (this.#room > 0 && this.#bounds.tryUse(host, 'kinds'));
    if (isKept) return this.#entry(known, timeUs);
    this.#merged += 1;
    values[3] = coarseStatus(status);
    return this.#entry([...values, null, null, answeredBy, callerRole], timeUs);
  }

  /** Returns the kind without the properties that callers choose. There is a bounded number of these. */
  coarseKind(kind: KindRow, timeUs: number): KindRow {
    const row = this.#kindOf.get(kind.id)!;
    const { version, endpoint, category, status, outcome, fallback } = row as unknown as CallKind;
    const [answeredBy, callerRole] = [row['answered_by'], row['caller_role']] as (string | null)[];
    const values = [version, endpoint, category, coarseStatus(status), outcome, fallback, null, null];
    return this.#entry([...values, answeredBy!, callerRole!], timeUs);
  }

  #entry(values: (string | number | null)[], timeUs: number): KindRow {
    const kindClass = classOf(values);
    const { id, added } = this.#kinds.entryOf(keyOfKind(values), [kindClass, ...values], timeUs);
    if (added) this.#room -= 1;
    return { id, class: kindClass };
  }

  #shapeOf(call: CallTemplate, host: number, timeUs: number): number {
    const values = [
      call['imds.kind'],
      call['imds.server_version'],
      call['http.request.method'],
      call['destination.address'],
      call['destination.port'],
      call['imds.hops'] ?? null,
      call['imds.token_hop_limit'] ?? null,
      relayText(call),
    ];
    const isKept = this.#shapes.has(keyOfShape(values)) || this.#bounds.tryUse(host, 'shapes');
    if (!isKept) this.#merged += 1;
    const kept = isKept
      ? values
      : [
          call['imds.kind'],
          call['imds.server_version'],
          CUT_MARK,
          CUT_MARK,
          call['destination.port'] === 80 ? 80 : 0,
          ...[null, null, null],
        ];
    return this.#shapes.entryOf(keyOfShape(kept), kept, timeUs).id;
  }

  flush(): void {
    this.#kinds.flush();
    this.#shapes.flush();
    this.#userAgents.flush();
  }

  forget(): void {
    this.#kinds.forget();
    this.#shapes.forget();
    this.#userAgents.forget();
    this.#room = MAX_KINDS - this.#countKinds();
  }
}

/**
 * Returns the class of a kind. IMDSv2 calls whose token was refused are not in the sums of class `v2`,
 * because a verdict looks at them for each workload.
 */
function classOf(values: (string | number | null)[]): KindClass {
  const [version, endpoint, category, status, , fallback, , , answeredBy] = values;
  const fields = { version, endpoint, category, status, fallback, answeredBy } as JudgedFields & {
    status: number | null;
  };
  if (isV1Use(fields)) return KIND_CLASS.v1;
  return version === 2 && !isRefusedToken(fields) ? KIND_CLASS.v2 : KIND_CLASS.neither;
}

/** Statuses that are counted one by one. Others are counted as the first of their hundred. */
const DISTINCT_STATUSES = new Set([200, 400, 401, 403, 404, 405, 429, 500, 502, 503, 504]);

function coarseStatus(status: number | null): number | null {
  return status === null || DISTINCT_STATUSES.has(status) ? status : Math.floor(status / 100) * 100;
}

/** Keys of earlier releases have neither who answered nor the caller's role: nulls at the end are left out. */
function keyOfKind(values: (string | number | null)[]): string {
  const [answeredBy, callerRole] = values.slice(-2);
  const left = callerRole !== null ? 0 : answeredBy !== null ? 1 : 2;
  return JSON.stringify(values.slice(0, values.length - left));
}

/** Rows of older agents keep the key that they had before hops were measured, and before relays were known. */
function keyOfShape(values: (string | number | null)[]): string {
  const [hops, tokenHopLimit, relay] = values.slice(-3);
  const added = relay !== null ? 3 : hops !== null || tokenHopLimit !== null ? 2 : 0;
  return JSON.stringify(values.slice(0, values.length - 3 + added));
}

/** Returns what is known of relays and answerers as JSON; null for a call that says nothing about them. */
function relayText(call: CallTemplate): string | null {
  const fields = Object.fromEntries(RELAY_FIELDS.map((field) => [field, call[field]]));
  return Object.values(fields).every((value) => value == null) ? null : JSON.stringify(fields);
}
