/** Who calls, said once: processes and their workloads as rows that calls refer to. */
import { hash } from 'node:crypto';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import {
  type CallerFacts,
  identityId,
  type WorkloadIdentity,
  workloadIdentity,
} from '../workload_identity.ts';
import type { HostBounds } from './host_bounds.ts';
import type { PackedCaller } from './packed_batch.ts';

/** The lasting processes of some thousand hosts. One that was pushed out costs as much as a new one. */
const MAX_CACHED = 65_536;
const MAX_CACHED_IDENTITIES = 16_384;

/** Name of the workload that stands for those of a host that are not told apart. */
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
/** Facts of a process that was not kept. */
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
  /** Of the latest record, to be stored by `flush`. */
  lastUs: number;
  changed: boolean;
}

export class Callers {
  readonly #findIdentity: StatementSync;
  readonly #insertIdentity: StatementSync;
  readonly #insertCaller: StatementSync;
  readonly #insertFacts: StatementSync;
  readonly #touch: StatementSync;
  readonly #cache = new Map<string, CallerRow>();
  readonly #identities = new Map<string, number>();
  readonly #changed = new Set<CallerRow>();
  readonly #onHost: StatementSync;
  readonly #knownCaller: StatementSync;
  readonly #bounds: HostBounds;
  /** Host and workload that this transaction has let in. */
  readonly #letIn = new Set<string>();

  constructor(database: DatabaseSync, bounds: HostBounds) {
    this.#bounds = bounds;
    this.#onHost = database.prepare('SELECT 1 FROM identity_hosts WHERE identity = ? AND host = ?');
    this.#knownCaller = database.prepare('SELECT 1 FROM callers WHERE hash = ?');
    this.#findIdentity = database.prepare('SELECT id FROM identities WHERE key = ?');
    // An update that changes nothing makes RETURNING give the row that is there.
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

  /** Most callers are known by the JSON of their facts: it is read only where it says something new. */
  rowOf(
    { json, attributed }: PackedCaller,
    host: { id: string; row: number },
    sourceAddress: string,
  ): CallerRow {
    // Where the process is not known, the source address tells workloads apart.
    const where = attributed ? '' : sourceAddress;
    const key = hash('sha256', JSON.stringify([host.id, where, json]), 'base64');
    const known = this.#cache.get(key);
    if (known !== undefined) return known;
    const facts = JSON.parse(json) as CallerFacts;
    const identity = this.#identityRow(workloadIdentity(facts, host.id, sourceAddress), host);
    const bytes = Buffer.from(key, 'base64');
    const isNew = this.#knownCaller.get(bytes) === undefined;
    const isKept = !isNew || this.#keepsCaller(host.row, json);
    const caller = isKept ? this.#insert(bytes, identity, host.row, json) : this.#unkept(identity, host);
    if (this.#cache.size >= MAX_CACHED) this.#cache.delete(this.#cache.keys().next().value!);
    this.#cache.set(key, caller);
    return caller;
  }

  #keepsCaller(host: number, json: string): boolean {
    return this.#bounds.allows(host, 'callers') && this.#bounds.allows(host, 'caller_bytes', json.length);
  }

  #insert(hashed: Buffer, identity: number, host: number, json: string): CallerRow {
    const row = this.#insertCaller.get(hashed, identity, host)!;
    // Nothing was seen yet of a new row, or of one whose calls were all known.
    if (row['last_us'] === 0) this.#insertFacts.run(Number(row['id']), json);
    return {
      caller: Number(row['id']),
      identity: Number(row['identity']),
      lastUs: Number(row['last_us']),
      changed: false,
    };
  }

  /** One row for all processes of a workload on a host that has more processes than are kept. */
  #unkept(identity: number, host: { id: string; row: number }): CallerRow {
    const hashed = hash('sha256', JSON.stringify([host.id, 'not kept', identity]), 'buffer');
    return this.#insert(hashed, identity, host.row, NOT_KEPT);
  }

  /** The workload that stands for all those of a host that are beyond its bound. */
  otherIdentity(host: { id: string; row: number }): number {
    return this.#insertedIdentity({ ...NO_WORKLOAD, name: OTHER_WORKLOADS, hostId: host.id });
  }

  #identityRow(identity: WorkloadIdentity, host: { id: string; row: number }): number {
    const id = identityId(identity);
    const known = this.#identities.get(id) ?? this.#find(id);
    if (known !== undefined && this.#onHost.get(known, host.row) !== undefined) return known;
    const pair = `${host.row} ${id}`;
    if (this.#letIn.has(pair)) return this.#insertedIdentity(identity);
    if (!this.#bounds.allows(host.row, 'workloads')) return this.otherIdentity(host);
    this.#letIn.add(pair);
    return this.#insertedIdentity(identity);
  }

  #find(id: string): number | undefined {
    const row = this.#findIdentity.get(id);
    return row === undefined ? undefined : Number(row['id']);
  }

  /** New processes are mostly of workloads that are known. */
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

  seen(row: CallerRow, timeUs: number): void {
    if (timeUs <= row.lastUs) return;
    row.lastUs = timeUs;
    if (row.changed) return;
    row.changed = true;
    this.#changed.add(row);
  }

  /** Before the end of every transaction. */
  flush(): void {
    for (const row of this.#changed) {
      this.#touch.run(row.lastUs, row.caller);
      row.changed = false;
    }
    this.#changed.clear();
    this.#letIn.clear();
  }

  /** After a rollback or a deletion, rows that were remembered may not exist. */
  forget(): void {
    this.#cache.clear();
    this.#identities.clear();
    this.#changed.clear();
    this.#letIn.clear();
  }
}
