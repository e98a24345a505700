/** Rows of processes and of their workloads, which calls refer to by number. */

import { hash } from 'node:crypto';
import type { DatabaseSync, SQLOutputValue, StatementSync } from 'node:sqlite';
import { deleteOldestEntries } from '../../../common/bounded_map.ts';
import { callerKey } from '../defined_caller.ts';
import { HELPER_PROGRAMS } from '../helper_programs.ts';
import {
  type CallerFacts,
  identityId,
  type WorkloadIdentity,
  workloadIdentity,
} from '../workload_identity.ts';
import type { HostBounds } from './host_bounds.ts';
import type { PackedCaller } from './packed_callers.ts';

/**
 * Enough for the lasting processes of a thousand hosts. A caller that was pushed out costs as much as a new
 * one.
 */
const MAX_CACHED = 65_536;
const MAX_CACHED_IDENTITIES = 16_384;
/**
 * The time of a process is stored once in each of these spans at most. It is part of an index, and a process that calls
 * every few seconds would change that with most transactions.
 */
export const CALLER_TIME_US = 60_000_000;

/** Name of the workload that stands for all workloads of a host beyond its bound. */
export const OTHER_WORKLOADS = 'other workloads';
const NO_WORKLOAD: WorkloadIdentity = {
  attributed: true,
  executable: null,
  name: null,
  script: null,
  user: null,
  uid: null,
  image: null,
  unit: null,
  k8sNamespace: null,
  k8sContainer: null,
  hostId: null,
  sourceAddress: null,
};
/** Facts in place of those of a process beyond the bound. */
const NOT_KEPT = JSON.stringify({
  process: null,
  container: null,
  k8s: null,
  systemd: null,
  'attribution.method': 'none',
  'attribution.confidence': 'none',
} satisfies CallerFacts);

export interface CallerRow {
  caller: number;
  identity: number;
  /** Time of the latest record, and the time that is stored (`CALLER_TIME_US`). */
  lastUs: number;
  storedUs: number;
  changed: boolean;
}

export class Callers {
  readonly #findIdentity: StatementSync;
  readonly #keyOf: StatementSync;
  readonly #insertIdentity: StatementSync;
  readonly #insertCaller: StatementSync;
  readonly #insertFacts: StatementSync;
  readonly #touch: StatementSync;
  readonly #cache = new Map<string, CallerRow>();
  readonly #identities = new Map<string, number>();
  readonly #changed = new Set<CallerRow>();
  readonly #onHost: StatementSync;
  readonly #findCaller: StatementSync;
  readonly #bounds: HostBounds;
  /** Pairs of host and workload that this transaction has admitted. */
  readonly #admitted = new Set<string>();

  readonly #helpers: ReadonlySet<string>;

  constructor(database: DatabaseSync, bounds: HostBounds, helperPrograms: readonly string[]) {
    this.#helpers = new Set([...HELPER_PROGRAMS, ...helperPrograms]);
    this.#bounds = bounds;
    this.#onHost = database.prepare('SELECT 1 FROM identity_hosts WHERE identity = ? AND host = ?');
    this.#findCaller = database.prepare('SELECT id, identity, last_us FROM callers WHERE hash = ?');
    this.#findIdentity = database.prepare('SELECT id FROM identities WHERE key = ?');
    this.#keyOf = database.prepare('SELECT key FROM identities WHERE id = ?');
    // RETURNING gives an existing row only where the statement updates it; this update changes nothing.
    this.#insertIdentity = database.prepare(
      'INSERT INTO identities (key, facts) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET key = key RETURNING id',
    );
    this.#insertCaller = database.prepare(
      `INSERT INTO callers (hash, identity, host, last_us) VALUES (?, ?, ?, 0)
       ON CONFLICT (hash) DO UPDATE SET hash = hash RETURNING id, identity, last_us`,
    );
    this.#insertFacts = database.prepare(
      'INSERT INTO caller_facts (caller, facts) VALUES (?, ?) ON CONFLICT DO NOTHING',
    );
    this.#touch = database.prepare('UPDATE callers SET last_us = max(last_us, ?) WHERE id = ?');
  }

  /** Tells whether the row of a caller is remembered, by its key in base64. */
  remembers(key: string): boolean {
    return this.#cache.has(key);
  }

  /** Returns the row of a caller, and adds it where it is new. */
  callerRow(
    { json, key: ownKey }: PackedCaller,
    host: { id: string; row: number },
    sourceAddress: string,
  ): CallerRow {
    const key = ownKey ?? callerKey(host.id, sourceAddress, json!);
    const known = this.knownRow(key);
    if (known !== undefined) return known;
    // `BatchWriter.missingCallers` has found the callers without a description that are not known.
    const row = this.#newCaller(Buffer.from(key, 'base64'), json!, host, sourceAddress);
    this.#remember(key, row);
    return row;
  }

  /** Returns the row of a caller; undefined where there is none. */
  knownRow(key: string): CallerRow | undefined {
    const known = this.#cache.get(key);
    if (known !== undefined) return known;
    const stored = this.#findCaller.get(Buffer.from(key, 'base64'));
    if (stored === undefined) return undefined;
    const row = rowOf(stored);
    this.#remember(key, row);
    return row;
  }

  #remember(key: string, row: CallerRow): void {
    deleteOldestEntries(this.#cache, MAX_CACHED - 1);
    this.#cache.set(key, row);
  }

  #newCaller(key: Buffer, json: string, host: { id: string; row: number }, sourceAddress: string): CallerRow {
    const facts = JSON.parse(json) as CallerFacts;
    const identity = this.#identityRow(workloadIdentity(facts, host.id, sourceAddress, this.#helpers), host);
    if (!this.#keepsCaller(host.row, json)) return this.#unkept(identity, host);
    return this.#insert(key, identity, host.row, json);
  }

  #keepsCaller(host: number, json: string): boolean {
    return this.#bounds.tryUse(host, 'callers') && this.#bounds.tryUse(host, 'caller_bytes', json.length);
  }

  #insert(hashed: Buffer, identity: number, host: number, json: string): CallerRow {
    const row = this.#insertCaller.get(hashed, identity, host)!;
    // A row has no time yet where it is new, or where all calls of its first batch were known.
    if (row['last_us'] === 0) this.#insertFacts.run(Number(row['id']), json);
    return rowOf(row);
  }

  /** Returns the row for all processes of a workload on a host that are beyond the bound. */
  #unkept(identity: number, host: { id: string; row: number }): CallerRow {
    // The number of a workload is another one in another store, or in the working set of a writer.
    const workload = this.#keyOf.get(identity)!['key'];
    const hashed = hash('sha256', JSON.stringify([host.id, 'not kept', workload]), 'buffer');
    return this.#insert(hashed, identity, host.row, NOT_KEPT);
  }

  /** Returns the workload that stands for all workloads of a host beyond its bound. */
  otherIdentity(host: { id: string; row: number }): number {
    return this.#insertedIdentity({ ...NO_WORKLOAD, name: OTHER_WORKLOADS, hostId: host.id });
  }

  #identityRow(identity: WorkloadIdentity, host: { id: string; row: number }): number {
    const id = identityId(identity);
    const known = this.#identities.get(id) ?? this.#find(id);
    if (known !== undefined && this.#onHost.get(known, host.row) !== undefined) return known;
    const pair = `${host.row} ${id}`;
    if (this.#admitted.has(pair)) return this.#insertedIdentity(identity);
    if (!this.#bounds.tryUse(host.row, 'workloads')) return this.otherIdentity(host);
    this.#admitted.add(pair);
    return this.#insertedIdentity(identity);
  }

  #find(id: string): number | undefined {
    const row = this.#findIdentity.get(id);
    return row === undefined ? undefined : Number(row['id']);
  }

  /**
   * Returns the row of a workload, and adds it where it is new. Most new processes belong to known workloads.
   */
  #insertedIdentity(identity: WorkloadIdentity): number {
    const id = identityId(identity);
    let row = this.#identities.get(id);
    if (row === undefined) {
      row = Number(this.#insertIdentity.get(id, JSON.stringify(identity))!['id']);
      if (this.#identities.size >= MAX_CACHED_IDENTITIES) this.#identities.clear();
      this.#identities.set(id, row);
    }
    return row;
  }

  noteUse(row: CallerRow, timeUs: number): void {
    if (timeUs <= row.lastUs) return;
    row.lastUs = timeUs;
    if (row.changed || Math.floor(timeUs / CALLER_TIME_US) <= Math.floor(row.storedUs / CALLER_TIME_US))
      return;
    row.changed = true;
    this.#changed.add(row);
  }

  /** Writes times. Must be called before the end of every transaction. */
  flush(): void {
    for (const row of this.#changed) {
      this.#touch.run(row.lastUs, row.caller);
      row.storedUs = row.lastUs;
      row.changed = false;
    }
    this.#changed.clear();
    this.#admitted.clear();
  }

  /** Forgets all rows. Required after a rollback or a deletion, when they may not exist. */
  forget(): void {
    this.#cache.clear();
    this.#identities.clear();
    this.#changed.clear();
    this.#admitted.clear();
  }
}

function rowOf(stored: Record<string, SQLOutputValue>): CallerRow {
  return {
    caller: Number(stored['id']),
    identity: Number(stored['identity']),
    lastUs: Number(stored['last_us']),
    storedUs: Number(stored['last_us']),
    changed: false,
  };
}
