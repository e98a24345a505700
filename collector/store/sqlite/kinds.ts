/** What calls are counted by, what else of them hardly varies, and user agents: as numbers. */
import type { DatabaseSync } from 'node:sqlite';
import type { RollupLine } from '../../../protocol/records.ts';
import type { CallKind } from '../store.ts';
import { Dictionary } from './dictionary.ts';
import type { CallTemplate } from './packed_batch.ts';

/**
 * Roles and user agents are the callers' words: whoever makes up a new one for every call must not make a roll-up row
 * for each. Past this many kinds, new ones are counted without them; raw calls keep them.
 */
const MAX_KINDS = 20_000;

/** Leads every key of the roll-ups, see the schema. */
export type KindClass = 1 | 2 | 3;

export interface KindRow {
  id: number;
  class: KindClass;
}

export class Kinds {
  readonly #kinds: Dictionary;
  readonly #shapes: Dictionary;
  readonly #userAgents: Dictionary;
  readonly #countKinds: () => number;
  #room: number;

  constructor(database: DatabaseSync) {
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
    ]);
    this.#shapes = new Dictionary(database, 'shapes', [
      'kind',
      'server_version',
      'method',
      'destination_address',
      'destination_port',
    ]);
    this.#userAgents = new Dictionary(database, 'user_agents', ['text']);
    const count = database.prepare('SELECT count(*) AS count FROM kinds');
    this.#countKinds = () => Number(count.get()!['count']);
    this.#room = MAX_KINDS - this.#countKinds();
  }

  userAgent(text: string | null, timeUs: number): number | null {
    return text === null ? null : this.#userAgents.idOf([text], [text], timeUs);
  }

  ofCall(call: CallTemplate, userAgent: number | null, timeUs: number): KindRow {
    return this.#kind(
      call['imds.version'],
      call['imds.endpoint'],
      call['imds.category'],
      call['http.response.status_code'],
      call.outcome,
      call['imds.fallback'],
      call['imds.role'],
      userAgent,
      timeUs,
    );
  }

  /** Only IMDSv2 calls are rolled up. */
  ofLine(line: RollupLine, userAgent: number | null, timeUs: number): KindRow {
    return this.#kind(
      line.outcome === 'blocked' ? null : 2,
      null,
      line['imds.category'],
      line['http.response.status_code'],
      line.outcome,
      null,
      null,
      userAgent,
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
    timeUs: number,
  ): KindRow {
    const kindClass: KindClass = version ?? 3;
    let values = [version, endpoint, category, status, outcome, fallback, role, userAgent];
    let key = JSON.stringify(values);
    if (this.#room <= 0 && !this.#kinds.has(key)) {
      values = [version, endpoint, category, status, outcome, fallback, null, null];
      key = JSON.stringify(values);
    }
    const { id, added } = this.#kinds.entryOf(key, [kindClass, ...values], timeUs);
    if (added) this.#room -= 1;
    return { id, class: kindClass };
  }

  shapeOf(call: CallTemplate, timeUs: number): number {
    const values = [
      call['imds.kind'],
      call['imds.server_version'],
      call['http.request.method'],
      call['destination.address'],
      call['destination.port'],
    ];
    return this.#shapes.idOf(values, values, timeUs);
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
